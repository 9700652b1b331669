"""list_members"""

from typing import Any

from django.db.models import Count, Q

from crc.members.command import HubCommand
from crc.members.models import Organisation


class Command(HubCommand):
    """Those that left, too: add_member takes them back."""

    help = "List the members with their role, ceiling, contacts, tell-tales and how many people."

    def handle(self, *args: Any, **options: Any) -> None:
        """See the class."""
        people = Count("users", filter=Q(users__is_active=True), distinct=True)
        found = Organisation.objects.annotate(people=people).prefetch_related("contacts")
        rows = [
            {
                "slug": member.slug,
                "name": member.name,
                "role": member.port_role,
                "ceiling": member.ceiling,
                "active": member.is_active,
                "people": member.people,
                "contacts": [c.email for c in member.contacts.all() if c.is_active],
                "telltales": member.telltales,
            }
            for member in found.order_by("slug")
        ]
        self.table(options, "members", rows)
