"""remove_contact EMAIL --member S"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand, member
from crc.members.models import Contact, User


class Command(HubCommand):
    """Also what waits to be sent does not go there any more."""

    help = (
        "Send a member's warnings to this address no longer. add_member --contact brings it back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("email")
        parser.add_argument("--member", required=True, help="the member's slug")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an address that is no contact of the member."""
        organisation, email = member(options["member"]), options["email"].strip().lower()
        contacts = Contact.objects.filter(organisation=organisation)
        with transaction.atomic():
            removed, _ = contacts.filter(email__iexact=email).delete()
            if not removed:
                known = ", ".join(contacts.values_list("email", flat=True)) or "none"
                raise CommandError(
                    f"{email} is no contact of {organisation.slug}. Its contacts: {known}."
                )
            audit.record(
                "contact.removed", actor="operator", subject=email, organisation=organisation.slug
            )
        if User.objects.filter(email=email, organisation=organisation, is_active=True).exists():
            self.warn(f"{email} still has an account, which gets warnings too: see remove_user.")
        self.answer(
            options,
            f"{email} is no contact of {organisation.name} any more.",
            member=organisation.slug,
            email=email,
        )
