"""list_groups"""

from typing import Any

from crc.members.command import HubCommand
from crc.members.models import Group


class Command(HubCommand):
    """A group without members is one that was removed."""

    help = "List the audiences: who is in them, and their collections."

    def handle(self, *args: Any, **options: Any) -> None:
        """See the class."""
        found = Group.objects.prefetch_related("members", "collection_set")
        rows = [
            {
                "slug": group.slug,
                "title": group.title,
                "everyone": group.everyone,
                "members": sorted(member.slug for member in group.members.all()),
                "collections": [shelf.alias for shelf in group.collection_set.all()],
            }
            for group in found
        ]
        self.table(options, "groups", rows)
