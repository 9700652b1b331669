"""import_stix FILE --collection ALIAS"""

import zlib
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from crc.members.command import HubCommand
from crc.members.models import Organisation
from crc.members.roles import PortRole
from sharing.management.commands.export_collection import collection
from sharing.management.files import Progress, opened, position, size_of
from sharing.moving import bundles
from sharing.moving.tally import Tally
from sharing.stix.reading.stream import Broken, pieces

SHOWN = 20


class Command(HubCommand):
    """Idempotent: what is already there is counted as a duplicate."""

    help = (
        "Put the objects of a STIX 2.1 bundle of any size into a collection. Lists, envelopes and "
        "newline-delimited JSON will do as well, packed by gzip or not; - is standard input."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("file")
        parser.add_argument("--collection", required=True, help="the collection's alias")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when file or collection cannot be used, or the file is broken."""
        into, tally, broken = collection(options["collection"]), Tally(), ""
        with opened(str(options["file"])) as (content, file):
            progress = Progress(self.stderr, size_of(file))
            try:
                bundles.bring_in(
                    pieces(content),
                    collection=into,
                    source=Organisation.objects.get(port_role=PortRole.DESK),
                    tally=tally,
                    on_chunk=lambda so_far: progress.tell(so_far.seen, position(file)),
                )
            except (Broken, EOFError, zlib.error) as error:
                broken = str(error)
            finally:
                progress.end()
        for stix_id, reason in tally.reasons[:SHOWN]:
            self.stderr.write(f"refused {stix_id or 'an object without id'}: {reason}")
        told = {"broken": broken} if broken else {}
        self.answer(options, str(tally), **tally.counts(), reasons=tally.reasons, **told)
        if broken:
            raise CommandError(
                f"{options['file']}: {broken}. The {tally.seen} objects before it were read."
            )
