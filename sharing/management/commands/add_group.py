"""add_group SLUG --title T --members S,S"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand, member
from crc.members.models import Group
from sharing import collections


class Command(HubCommand):
    """Run again to set title and members anew."""

    help = "Make an audience of some members, with its collections."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("slug")
        parser.add_argument("--title", required=True)
        parser.add_argument("--members", required=True, help="slugs, separated by commas")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an unknown member or a group that holds everyone."""
        slugs = [slug.strip() for slug in options["members"].split(",") if slug.strip()]
        with transaction.atomic():
            group, _ = Group.objects.get_or_create(
                slug=options["slug"], defaults={"title": options["title"]}
            )
            if group.everyone:
                raise CommandError(f"{group.slug} holds every member already.")
            group.title = options["title"]
            group.save(update_fields=["title"])
            group.members.set([member(slug) for slug in slugs])
            shelves = [shelf.alias for shelf in collections.shelves(group)]
            audit.record("group.set", actor="operator", subject=group.slug, members=slugs)
        self.answer(
            options,
            f"{group.title}: {len(slugs)} members; {', '.join(shelves)}.",
            group=group.slug,
            members=slugs,
            collections=shelves,
        )
