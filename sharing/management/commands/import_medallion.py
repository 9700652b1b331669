"""import_medallion FILE --as-root NAME"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils.text import slugify

from crc.members.command import HubCommand
from crc.members.models import Group
from sharing.collections import PUBLIC
from sharing.management.commands.import_stix import SHOWN
from sharing.management.files import Progress
from sharing.moving import memory_file, root
from sharing.stix.markings import Tlp
from sharing.stix.reading import BadJson
from sharing.stix.reading.stream import Broken


class Command(HubCommand):
    """Idempotent: killed and run again, it goes on and ends the same."""

    help = (
        "Take over a root of a medallion 3.0.0 server from the data file of its memory backend: "
        "collections with their ids, every version, and the date_added of each. Nobody but the "
        "desk sees them until add_group gives the group members."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the class."""
        super().add_arguments(parser)
        parser.add_argument("file", type=Path)
        parser.add_argument("--as-root", required=True, help="the name of the root in the file")
        parser.add_argument(
            "--group", help="whose shelves they become; by default a new group without members"
        )
        parser.add_argument(
            "--tlp",
            default=Tlp.AMBER.value,
            choices=[tlp.value for tlp in Tlp if tlp is not Tlp.RED],
            help="the collections' marking; what is marked stricter is refused (default: AMBER)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when file, root, group or a collection cannot be used."""
        path, to = options["file"], _shelving(options)
        progress = Progress(self.stderr)
        try:
            found = memory_file.read(path, options["as_root"])
            tally = root.bring_in(
                path, found, to, on_chunk=lambda so_far: progress.tell(so_far.seen)
            )
        except (OSError, BadJson, Broken, ValueError) as error:
            raise CommandError(f"{path}: {error}") from None
        finally:
            progress.end()
        for stix_id, reason in tally.reasons[:SHOWN]:
            self.stderr.write(f"refused {stix_id or 'an object without id'}: {reason}")
        self.answer(
            options,
            f"{tally}. Group {to.group}; collections: {', '.join(tally.collections) or 'none'}.",
            **tally.counts(),
            reasons=tally.reasons,
            group=to.group,
            collections=tally.collections,
        )


def _shelving(options: dict[str, Any]) -> root.Shelving:
    name, tlp = options["as_root"], Tlp(options["tlp"])
    if options["group"] is None:
        # Not the name alone: a root called "community" must not open itself to everyone.
        own = f"import-{slugify(name)}"[:40].rstrip("-")
        return root.Shelving(name, own, f"Imported: {name}"[:120], tlp)
    group = Group.objects.filter(slug=options["group"]).first()
    if group is None:
        known = ", ".join(Group.objects.values_list("slug", flat=True)) or "none"
        raise CommandError(f"There is no group {options['group']!r}. Groups: {known}.")
    if group.slug == PUBLIC and tlp is not Tlp.CLEAR:
        raise CommandError("The public group holds CLEAR only; add --tlp CLEAR.")
    return root.Shelving(name, group.slug, group.title, tlp)
