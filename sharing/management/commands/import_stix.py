"""import_stix FILE --collection ALIAS"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from crc.members.command import HubCommand
from crc.members.models import Organisation
from crc.members.roles import PortRole
from sharing.intake import accept
from sharing.models import Collection, Door, Submission
from sharing.stix import reading
from sharing.stix.markings import Tlp
from sharing.store import Outcome

CHUNK = 1_000


class Command(HubCommand):
    """Idempotent: what is already there is counted as a duplicate."""

    help = "Put the objects of a STIX 2.1 bundle into a collection."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("file", type=Path)
        parser.add_argument("--collection", required=True, help="the collection's alias")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when the file or the collection cannot be used."""
        collection = _collection(options["collection"])
        objects = _objects(options["file"])
        counts = dict.fromkeys(Outcome, 0)
        refused: list[list[str]] = []
        desk = Organisation.objects.get(port_role=PortRole.DESK)
        for start in range(0, len(objects), CHUNK):
            receipt = accept(
                objects[start : start + CHUNK],
                into=[collection],
                actor="operator",
                submission=Submission(source=desk, door=Door.IMPORT),
                default_tlp=Tlp(collection.tlp) if collection.tlp else Tlp.AMBER_STRICT,
            )
            for result in receipt.results:
                counts[result.outcome] += 1
                if result.outcome is Outcome.REFUSED:
                    refused.append([result.stix_id, result.reason])
        for stix_id, reason in refused[:20]:
            self.stderr.write(f"refused {stix_id or 'an object without id'}: {reason}")
        self.answer(
            options,
            ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items()),
            **{outcome.value: count for outcome, count in counts.items()},
            reasons=refused,
        )


def _collection(alias: str) -> Collection:
    found = Collection.objects.filter(alias=alias).first()
    if found is None:
        known = ", ".join(Collection.objects.values_list("alias", flat=True))
        raise CommandError(f"There is no collection {alias!r}. Collections: {known or 'none'}.")
    return found


def _objects(path: Path) -> list[Any]:
    try:
        content = reading.parse(path.read_bytes())
    except (OSError, reading.BadJson) as error:
        raise CommandError(f"{path}: {error}") from None
    objects = content.get("objects") if isinstance(content, dict) else content
    if not isinstance(objects, list):
        raise CommandError(f"{path} is neither a bundle nor a list of objects.")
    return objects
