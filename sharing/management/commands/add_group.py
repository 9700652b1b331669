"""add_group SLUG --title T --members S,S"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand, checked_name, checked_slug, member
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
        """Raises CommandError: a bad slug, nobody, an unknown member, a group of everyone."""
        slug = checked_slug(options["slug"], Group)
        title = checked_name(options["title"], Group, "title")
        # A member's inbox is called inbox-<slug>, the desk's collection "desk".
        if slug.partition("-")[0] in {"inbox", collections.DESK}:
            raise CommandError(f"{slug!r} would be taken for a collection of the hub's own.")
        slugs = [one.strip() for one in options["members"].split(",") if one.strip()]
        if not slugs:
            raise CommandError("--members names nobody; remove_group ends a group.")
        with transaction.atomic():
            group, _ = Group.objects.get_or_create(slug=slug, defaults={"title": title})
            if group.everyone:
                raise CommandError(f"{group.slug} holds every member already.")
            group.title = title
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
