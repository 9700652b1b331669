"""remove_member SLUG"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand, member
from crc.members.models import Organisation


class Command(HubCommand):
    """Its people and keys are out from the next request on; what it reported stays."""

    help = "End a membership: no logins, keys or warnings. add_member takes the member back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("slug")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an unknown member, or the desk."""
        organisation = member(options["slug"])
        if organisation.is_desk:
            raise CommandError("The desk runs the hub; it cannot leave.")
        with transaction.atomic():
            active = Organisation.objects.filter(pk=organisation.pk, is_active=True)
            if active.update(is_active=False):
                audit.record("member.removed", actor="operator", subject=organisation.slug)
        self.answer(options, f"{organisation.name} is no longer a member.", slug=organisation.slug)
