"""list_keys [--member S]"""

from argparse import ArgumentParser
from typing import Any

from crc.members.command import HubCommand, member
from crc.members.models import ApiKey


class Command(HubCommand):
    """Never a secret: a key is known by its middle part, which revoke_key takes."""

    help = "List the API keys, newest first: whose, what for, used when, live or not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("--member", help="the member's slug; everybody's else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an unknown member."""
        found = ApiKey.objects.select_related("organisation")
        if options["member"]:
            found = found.filter(organisation=member(options["member"]))
        rows = [
            {
                "key": key.lookup,
                "member": key.organisation.slug,
                "label": key.label,
                "scopes": key.scopes,
                "live": key.is_live,
                "created": key.created_at,
                "expires": key.expires_at,
                "revoked": key.revoked_at,
                "last_used": key.last_used_at,
            }
            for key in found
        ]
        self.table(options, "keys", rows)
