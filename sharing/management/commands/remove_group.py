"""remove_group SLUG"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand
from crc.members.models import Group
from sharing.models import Collection


class Command(HubCommand):
    """Closed, not deleted: what was released to it stays on its shelves, which nobody reads."""

    help = "End an audience: nobody reads or writes its collections. add_group fills it again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("slug")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for a group that is not there, or holds everyone."""
        group = Group.objects.filter(slug=options["slug"]).first()
        if group is None:
            known = ", ".join(Group.objects.values_list("slug", flat=True))
            raise CommandError(f"There is no group {options['slug']!r}. Groups: {known}.")
        if group.everyone:
            raise CommandError(f"{group.slug} holds every member and belongs to every hub.")
        with transaction.atomic():
            members = sorted(group.members.values_list("slug", flat=True))
            group.members.clear()
            for shelf in Collection.objects.filter(group=group):
                shelf.writers.clear()
            if members:
                audit.record("group.removed", actor="operator", subject=group.slug, members=members)
        self.answer(
            options,
            f"{group.title}: nobody is in it any more.",
            group=group.slug,
            members=members,
        )
