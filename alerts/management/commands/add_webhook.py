"""add_webhook --member S --url U"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from alerts.channels import signing
from alerts.channels.webhook import door
from alerts.models import Endpoint
from crc.members import audit
from crc.members.command import HubCommand, member
from crc.outbound import Blocked


class Command(HubCommand):
    """Prints the signing secret alone. Run again for the same address to get a new secret."""

    help = "Send a member's warnings to a web address, signed, and print the signing secret."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("--member", required=True, help="the member's slug")
        parser.add_argument("--url", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an address the hub will not call."""
        organisation = member(options["member"])
        try:
            url = door().check_url(options["url"])
        except Blocked as blocked:
            raise CommandError(blocked.reason) from None
        secret = signing.new_secret()
        with transaction.atomic():
            endpoint, _ = Endpoint.objects.update_or_create(
                organisation=organisation,
                channel="webhook",
                address=url,
                defaults={
                    "secret": secret,
                    "is_active": True,
                    "failing_since": None,
                    "failures": 0,
                    "switched_off_because": "",
                },
            )
            audit.record(
                "webhook.saved",
                actor="operator",
                subject=str(endpoint.pk),
                organisation=organisation.slug,
            )
        self.answer(options, secret, secret=secret)
