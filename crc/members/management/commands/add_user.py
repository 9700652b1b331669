"""add_user EMAIL --member S --role R --password-stdin"""

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand, active_member
from crc.members.models import Organisation, User
from crc.members.roles import DESK_ROLES, UserRole


class Command(HubCommand):
    """Add a person, or change the role and password of one."""

    help = "Add a user to a member. Run again to change role or password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("email")
        parser.add_argument("--member", required=True, help="the member's slug")
        parser.add_argument("--role", default=UserRole.MEMBER, choices=UserRole.values)
        parser.add_argument("--name", default="")
        parser.add_argument(
            "--language",
            choices=dict(settings.LANGUAGES),
            help="of pages and mails; English for a new user, who can change it",
        )
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from standard input, one line; a terminal is asked for it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError: bad address, weak password, a role that makes no sense there."""
        organisation = active_member(options["member"])
        _check_role(options["role"], organisation)
        email = options["email"].strip().lower()
        try:
            validate_email(email)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        password = _password(from_stdin=options["password_stdin"])
        draft = User(email=email, name=options["name"], organisation=organisation)
        try:
            validate_password(password, draft)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        with transaction.atomic():
            user = User.objects.filter(email=email).first() or draft
            if user.organisation_id != organisation.pk:
                raise CommandError(f"{email} belongs to {user.organisation.slug}.")
            user.role, user.name = options["role"], options["name"] or user.name
            user.language = options["language"] or user.language
            user.is_active = True
            user.set_password(password)
            user.save()
            audit.record(
                "user.saved",
                actor="operator",
                subject=email,
                organisation=organisation.slug,
                role=user.role,
            )
        self.answer(
            options,
            f"{email} may log in for {organisation.name} as {user.get_role_display()}.",
            email=email,
            role=user.role,
        )


def _check_role(role: str, organisation: Organisation) -> None:
    if role in DESK_ROLES and not organisation.is_desk:
        raise CommandError(f"{role} is a role of the desk; {organisation.slug} is not the desk.")
    if role not in DESK_ROLES and organisation.is_desk:
        raise CommandError(
            f"{role} is no role at the desk: its people could open neither the queue nor a case. "
            "Say --role analyst or --role desk-admin."
        )


def _password(*, from_stdin: bool) -> str:
    """From standard input; a terminal is asked, unseen and twice. Raises CommandError."""
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("The same again: ") != password:
            raise CommandError("The two were not the same. Nothing was changed.")
        return password
    if not from_stdin:
        raise CommandError("Say --password-stdin and send the password on standard input.")
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError("No password came on standard input.")
    return password
