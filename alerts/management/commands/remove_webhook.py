"""remove_webhook --member S --url U"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from alerts.models import Endpoint
from crc.members import audit
from crc.members.command import HubCommand, member


class Command(HubCommand):
    """Also what waits to be sent does not go there any more."""

    help = "Send a member's warnings to this web address no longer, and forget its secret."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("--member", required=True, help="the member's slug")
        parser.add_argument("--url", required=True, help="as list_webhooks prints it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an address that is none of the member's webhooks."""
        organisation = member(options["member"])
        endpoints = Endpoint.objects.filter(organisation=organisation, channel="webhook")
        endpoint = endpoints.filter(address=options["url"]).first()
        if endpoint is None:
            known = ", ".join(endpoints.values_list("address", flat=True)) or "none"
            raise CommandError(f"That is no webhook of {organisation.slug}. Its webhooks: {known}.")
        with transaction.atomic():
            audit.record(
                "webhook.removed",
                actor="operator",
                subject=str(endpoint.pk),
                organisation=organisation.slug,
            )
            endpoint.delete()
        self.answer(
            options,
            f"{endpoint.address} of {organisation.name} is removed.",
            member=organisation.slug,
            url=endpoint.address,
        )
