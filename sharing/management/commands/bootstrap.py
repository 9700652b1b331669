"""bootstrap"""

from typing import Any

from django.conf import settings
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand
from crc.members.models import Group, User
from crc.members.roles import PortRole
from sharing import collections


class Command(HubCommand):
    """Idempotent: the runner calls it at every start."""

    help = "Make what every hub has: the desk, the groups everyone is in, and their collections."

    def handle(self, *args: Any, **options: Any) -> None:
        """See the class."""
        with transaction.atomic():
            collections.ensure_desk_organisation(f"{settings.HUB_NAME} desk")
            groups = [
                Group.objects.get_or_create(slug=slug, defaults={"title": title, "everyone": True})
                for slug, title in (
                    (collections.PUBLIC, "Public"),
                    (collections.COMMUNITY, "Community"),
                )
            ]
            shelves = [shelf.alias for group, _ in groups for shelf in collections.shelves(group)]
            shelves += [collections.desk().alias, collections.sightings().alias]
            if any(made for _, made in groups):
                audit.record("hub.bootstrapped", actor="operator", subject="hub")
        people = User.objects.filter(organisation__port_role=PortRole.DESK, is_active=True).count()
        self.answer(
            options, f"Ready: {', '.join(shelves)}.", collections=shelves, desk_people=people
        )
