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
                "active": endpoint.is_active and endpoint.verified_at is not None,
                "state": _state(endpoint),
                "created": endpoint.created_at,
            }
            for endpoint in found
        ]
        self.table(options, "webhooks", rows)


def _state(endpoint: Endpoint) -> str:
    """What the member's page says of it, in the same order."""
    if not endpoint.is_active:
        why = endpoint.switched_off_because
        return f"switched off: {why}" if why else "switched off"
    if not endpoint.verified_at:
        return "the test failed" if endpoint.failing_since else "not tested"
    since = endpoint.failing_since
    return f"failing since {since:%Y-%m-%d %H:%M}" if since else "works"
