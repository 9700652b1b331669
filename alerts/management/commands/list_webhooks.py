"""list_webhooks [--member S]"""

from argparse import ArgumentParser
from typing import Any

from alerts.models import Endpoint
from crc.members.command import HubCommand, member


class Command(HubCommand):
    """Whole addresses, which may hold a secret of the receiver's; never the signing secret."""

    help = "List the webhooks that warnings go to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("--member", help="the member's slug; everybody's else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an unknown member."""
        found = (
            Endpoint.objects.filter(channel="webhook")
            .select_related("organisation")
            .order_by("organisation__slug", "address")
        )
        if options["member"]:
            found = found.filter(organisation=member(options["member"]))
        rows = [
            {
                "member": endpoint.organisation.slug,
                "url": endpoint.address,
                "active": endpoint.is_active,
                "created": endpoint.created_at,
            }
            for endpoint in found
        ]
        self.table(options, "webhooks", rows)
