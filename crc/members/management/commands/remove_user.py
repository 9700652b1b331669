"""remove_user EMAIL"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand
from crc.members.models import User


class Command(HubCommand):
    """The account is closed, not deleted: reports and answers keep their author."""

    help = "Close a person's account: no login, no mail. add_user opens it again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an address without an account."""
        email = options["email"].strip().lower()
        if not User.objects.filter(email=email).exists():
            raise CommandError(f"{email} has no account.")
        with transaction.atomic():
            if User.objects.filter(email=email, is_active=True).update(is_active=False):
                audit.record("user.removed", actor="operator", subject=email)
        self.answer(options, f"{email} can no longer log in.", email=email)
