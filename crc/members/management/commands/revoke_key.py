"""revoke_key KEY"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from crc.members import keys
from crc.members.command import HubCommand
from crc.members.models import ApiKey


class Command(HubCommand):
    """Takes the key itself or its middle part, which pages and the audit trail show."""

    help = "End an API key at once. Running tools get 401 from their next request on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("key", help="the key, or the part between its two underscores")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for a key that was never issued."""
        lookup = options["key"].removeprefix(f"{ApiKey.PREFIX}_").partition("_")[0]
        key = ApiKey.objects.filter(lookup=lookup).select_related("organisation").first()
        if key is None:
            raise CommandError(f"No key {lookup!r} was ever issued.")
        keys.revoke(key, actor="operator")
        self.answer(options, f"{key} of {key.organisation} is revoked.", lookup=lookup)
