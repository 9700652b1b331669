"""add_endpoint --member S --channel C --address A [--label L] [--language ja]"""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from alerts import endpoints
from alerts.channels import CHANNELS
from crc.members.command import HubCommand, active_member


class Command(HubCommand):
    """Prints the secret alone where the channel has one. The operator's word verifies it."""

    help = "Send a member's warnings to an address: a chat channel, a SIEM, a phone, a webhook."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("--member", required=True, help="the member's slug")
        parser.add_argument(
            "--channel", required=True, choices=[n for n, one in CHANNELS.items() if one.offered]
        )
        parser.add_argument("--address", required=True)
        parser.add_argument("--label", default="", help="what the member calls it")
        parser.add_argument(
            "--language",
            choices=dict(settings.LANGUAGES),
            default="en",
            help="of what is sent there; English if not said",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an address the hub will not call, or has."""
        try:
            made = endpoints.add(
                active_member(options["member"]),
                options["channel"],
                options["address"],
                label=options["label"][:80],
                language=options["language"],
                actor="operator",
                verified=True,
            )
        except endpoints.Refused as problem:
            raise CommandError(str(problem)) from None
        where = CHANNELS[made.channel].describe(made.address)
        self.answer(
            options,
            made.secret or f"Warnings for {made.organisation.name} go to {where}.",
            endpoint=made.pk,
            secret=made.secret,
        )
