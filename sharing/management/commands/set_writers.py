"""set_writers ALIAS --members S,S"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from crc.members import audit
from crc.members.command import HubCommand, member
from sharing.models import Collection


class Command(HubCommand):
    """Run again to set them anew; an empty list closes the shelf."""

    help = "Let some members post to a shared collection directly, past the desk."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("alias")
        parser.add_argument("--members", required=True, help="slugs, separated by commas")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an unknown member or a collection that is not shared."""
        shelves = Collection.objects.filter(kind=Collection.Kind.SHELF)
        shelf = shelves.filter(alias=options["alias"]).first()
        if shelf is None:
            known = ", ".join(shelves.values_list("alias", flat=True))
            raise CommandError(
                f"{options['alias']!r} is not a shared collection. There is: {known}."
            )
        slugs = [slug.strip() for slug in options["members"].split(",") if slug.strip()]
        with transaction.atomic():
            shelf.writers.set([member(slug) for slug in slugs])
            audit.record("writers.set", actor="operator", subject=shelf.alias, members=slugs)
        who = ", ".join(slugs) or "nobody but the desk"
        self.answer(
            options, f"{shelf.title}: written by {who}.", collection=shelf.alias, members=slugs
        )
