"""issue_key --member S --scope X [--scope Y] [--label L] [--markings M] [--days N]"""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import CommandError
from django.utils import timezone

from crc.members import keys
from crc.members.command import HubCommand, active_member, longest
from crc.members.models import ApiKey
from crc.members.roles import Markings, Scope

MAX_DAYS: Final = 3_650


class Command(HubCommand):
    """Prints the key alone: it is shown this once."""

    help = "Issue an API key and print it. It cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("--member", required=True, help="the member's slug")
        parser.add_argument("--scope", action="append", required=True, choices=Scope.values)
        parser.add_argument("--label", default="")
        parser.add_argument(
            "--markings",
            choices=Markings.values,
            default=Markings.TLP2.value,
            help="tlp1+2 for a tool that reads TLP 1 alone: it is never given more than TLP:AMBER",
        )
        parser.add_argument(
            "--days",
            type=int,
            help=f"expires after so many days, {MAX_DAYS} at most; else it is good until revoked",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an unknown member, a life that is none, a label too long."""
        organisation, days = active_member(options["member"]), options["days"]
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise CommandError(
                f"A key cannot live for {days} days. Say 1 to {MAX_DAYS}, or leave --days out for "
                "a key that is good until revoked."
            )
        if len(options["label"]) > longest(ApiKey, "label"):
            raise CommandError(f"A label has {longest(ApiKey, 'label')} characters at most.")
        expires = timezone.now() + timedelta(days=days) if days else None
        key, token = keys.issue(
            organisation,
            options["scope"],
            actor="operator",
            label=options["label"],
            markings=options["markings"],
            expires_at=expires,
        )
        self.answer(options, token, key=token, lookup=key.lookup, scopes=key.scopes)
