"""export_collection ALIAS [--output FILE]"""

import gzip
import os
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from crc.members import audit
from crc.members.command import HubCommand
from sharing.management.files import Progress
from sharing.models import Collection
from sharing.moving import bundles


class Command(HubCommand):
    """Writes to a temporary name first: there is never half a file under the right one."""

    help = (
        "Write a collection as a STIX bundle, oldest first, objects as they came in. A name that "
        "ends in .gz is packed. import_stix reads it back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("collection", help="the collection's alias")
        parser.add_argument("--output", default="-", help="a file, - for standard output")
        parser.add_argument(
            "--all-versions", action="store_true", help="not only the newest of each object"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when there is no such collection or the file cannot be written."""
        taken, to_file = collection(options["collection"]), options["output"] != "-"
        if options["json"] and not to_file:
            raise CommandError("--json answers on standard output; name a file with --output.")
        audit.record(
            "collection.exported",
            actor="operator",
            subject=taken.alias,
            versions="all" if options["all_versions"] else "latest",
        )
        text = bundles.bundle(taken, all_versions=options["all_versions"])
        if not to_file:
            for part in text:
                self.stdout.write(part, ending="")
            return
        try:
            count = self._write(Path(options["output"]), text)
        except OSError as error:
            raise CommandError(f"{options['output']}: {error.strerror}") from None
        self.answer(
            options,
            f"{count} objects in {options['output']}.",
            objects=count,
            file=options["output"],
        )

    def _write(self, path: Path, text: Any) -> int:
        """The number of objects. The file is its owner's alone: what is in it is marked."""
        progress = Progress(self.stderr)
        number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        count = -1  # the first part is the head, the last the foot
        try:
            with os.fdopen(number, "wb") as file:
                packed = gzip.GzipFile("", "wb", fileobj=file) if path.suffix == ".gz" else file
                with packed:
                    for count, part in enumerate(text, -1):
                        packed.write(part.encode())
                        progress.tell(count)
                    if packed is file:
                        file.flush()
                        os.fsync(number)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        finally:
            progress.end()
        return count


def collection(alias: str) -> Collection:
    """The collection of this alias or id. Raises CommandError that lists what there is."""
    found = Collection.objects.filter(alias=alias).first()
    if found is None:
        known = ", ".join(Collection.objects.values_list("alias", flat=True))
        raise CommandError(f"There is no collection {alias!r}. Collections: {known or 'none'}.")
    return found
