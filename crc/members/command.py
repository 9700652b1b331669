"""What the operator's commands share: finding members, and answering people or machines."""

from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from crc.members.models import Organisation


class HubCommand(BaseCommand):
    """A command with ``--json``: then the answer is one JSON object on standard output."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Subclasses add theirs and call this."""
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def answer(self, options: dict[str, Any], text: str, **facts: Any) -> None:
        """Say it in words, or as JSON when asked."""
        self.stdout.write(orjson.dumps(facts).decode() if options["json"] else text)


def member(slug: str) -> Organisation:
    """The organisation of this slug. Raises CommandError that lists what there is."""
    found = Organisation.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Organisation.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no member {slug!r}. Members: {known}.")
    return found
