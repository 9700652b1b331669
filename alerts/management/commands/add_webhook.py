"""add_webhook --member S --url U"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from alerts import confirming, endpoints
from alerts.channels import CHANNELS
from alerts.models import Endpoint
from crc.members.command import HubCommand, active_member
from crc.members.models import Organisation


class Command(HubCommand):
    """Prints the signing secret alone. Run again for the same address to switch it on again with a
    new secret."""

    help = "Send a member's warnings to a web address, signed, and print the signing secret."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("--member", required=True, help="the member's slug")
        parser.add_argument("--url", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an address the hub will not call."""
        organisation = active_member(options["member"])
        try:
            url = CHANNELS["webhook"].check(options["url"])
            known = Endpoint.objects.filter(
                organisation=organisation, channel="webhook", address=url
            ).first()
            secret = _renewed(known) if known else _added(organisation, url)
        except ValueError as problem:
            raise CommandError(str(problem)) from None
        self.answer(options, secret, secret=secret)


def _added(organisation: Organisation, url: str) -> str:
    return endpoints.add(organisation, "webhook", url, actor="operator", verified=True).secret


def _renewed(known: Endpoint) -> str:
    endpoints.switch_on(known, actor="operator")
    confirming.verify(known, actor="operator")
    return endpoints.replace_secret(known, actor="operator")
