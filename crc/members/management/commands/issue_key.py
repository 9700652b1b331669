"""issue_key --member S --scope X [--scope Y] [--label L] [--markings M]"""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.utils import timezone

from crc.members import keys
from crc.members.command import HubCommand, member
from crc.members.roles import Markings, Scope


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
        parser.add_argument("--days", type=int, default=0, help="expires after so many days")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an unknown member."""
        organisation = member(options["member"])
        expires = timezone.now() + timedelta(days=options["days"]) if options["days"] else None
        key, token = keys.issue(
            organisation,
            options["scope"],
            actor="operator",
            label=options["label"],
            markings=options["markings"],
            expires_at=expires,
        )
        self.answer(options, token, key=token, lookup=key.lookup, scopes=key.scopes)
