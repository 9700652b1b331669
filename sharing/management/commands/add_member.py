"""add_member NAME --slug S --role R --ceiling TLP"""

from argparse import ArgumentParser
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand, checked_name, checked_slug
from crc.members.models import Contact, Organisation
from crc.members.roles import PortRole
from sharing import collections
from sharing.stix.markings import Tlp
from sharing.stix.telltales import LONG

# One letter is in every text.
SHORTEST: Final = 2


class Command(HubCommand):
    """Run again with the same slug to change name, role, ceiling or tell-tales."""

    help = "Add an organisation, with its inbox."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("name")
        parser.add_argument("--slug", required=True)
        parser.add_argument(
            "--role", required=True, choices=[r for r in PortRole.values if r != PortRole.DESK]
        )
        parser.add_argument(
            "--ceiling",
            help="the strictest marking it may see; AMBER+STRICT for a new member",
            choices=[t.value for t in Tlp if t is not Tlp.RED],
        )
        parser.add_argument(
            "--contact",
            action="append",
            default=[],
            metavar="EMAIL",
            help="an address that warnings go to; may be given several times",
        )
        parser.add_argument(
            "--language",
            choices=dict(settings.LANGUAGES),
            help="of the mails to the contacts named here; English for a new one",
        )
        parser.add_argument(
            "--telltale",
            action="append",
            metavar="WORD",
            help="a word that would give the member away: brand, domain, prefix; those given "
            "replace the ones before",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for a bad slug, name, address or tell-tale."""
        checked_slug(options["slug"], Organisation)
        name = checked_name(options["name"], Organisation, "name")
        telltales = self._telltales(options["telltale"])
        try:
            for email in options["contact"]:
                validate_email(email)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        if options["slug"] == collections.DESK:
            raise CommandError("The slug 'desk' is the hub's own.")
        with transaction.atomic():
            organisation, made = Organisation.objects.update_or_create(
                slug=options["slug"],
                defaults={
                    "name": name,
                    "port_role": options["role"],
                    "is_active": True,
                    # What is not said stays as it is.
                    **({"ceiling": options["ceiling"]} if options["ceiling"] else {}),
                    **({"telltales": telltales} if telltales else {}),
                },
            )
            for email in options["contact"]:
                Contact.objects.update_or_create(
                    organisation=organisation,
                    email=email.lower(),
                    defaults={"language": options["language"]} if options["language"] else {},
                )
            alias = collections.inbox(organisation).alias
            audit.record(
                "member.added" if made else "member.changed",
                actor="operator",
                subject=organisation.slug,
                ceiling=organisation.ceiling,
            )
        self.answer(
            options,
            f"{organisation.name} {'is' if made else 'was'} a member"
            f"{'' if made else ', and is now as you say'}; its inbox is {alias}.",
            slug=organisation.slug,
            inbox=alias,
            made=made,
        )

    def _telltales(self, given: list[str] | None) -> list[str]:
        words = [word.strip() for word in given or ()]
        for word in words:
            if len(word) < SHORTEST:
                raise CommandError(
                    f"The tell-tale {word!r} is too short: it would be found everywhere."
                )
            if len(word) < LONG:
                self.warn(
                    f"the tell-tale {word!r} is short. Such a word counts only where it stands by "
                    "itself, not inside another; give the longer form too, such as the domain."
                )
        return words
