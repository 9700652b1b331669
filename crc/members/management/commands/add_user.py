"""add_user EMAIL --member S --role R --password-stdin"""

import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand, member
from crc.members.models import User
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
            "--password-stdin",
            action="store_true",
            required=True,
            help="read the password from standard input, one line",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError: bad address, weak password, a desk role outside the desk."""
        organisation = member(options["member"])
        if options["role"] in DESK_ROLES and not organisation.is_desk:
            raise CommandError(
                f"{options['role']} is a role of the desk; {organisation.slug} is not the desk."
            )
        email, password = options["email"].strip().lower(), sys.stdin.readline().rstrip("\r\n")
        draft = User(email=email, name=options["name"], organisation=organisation)
        try:
            validate_email(email)
            validate_password(password, draft)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        with transaction.atomic():
            user = User.objects.filter(email=email).first() or draft
            if user.organisation_id != organisation.pk:
                raise CommandError(f"{email} belongs to {user.organisation.slug}.")
            user.role, user.name = options["role"], options["name"] or user.name
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
