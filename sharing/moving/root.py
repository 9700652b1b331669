"""A root of a medallion server becomes shelves here, with the instants its readers know."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from crc.members import audit
from crc.members.models import Group, Organisation
from crc.members.roles import PortRole
from sharing import history
from sharing.checking import Checked, check
from sharing.intake import take_in
from sharing.models import Collection, Door, Submission
from sharing.moving.memory_file import Entry, Held, body
from sharing.moving.tally import Tally
from sharing.stix.markings import Tlp
from sharing.stix.reading import BadJson
from sharing.store import Item, Outcome, Result, digest_of

CHUNK: Final = 1_000
OLD: Final = "STIX 2.0"
_BEHIND: Final = "it would land behind what readers of this collection already have"
_FUTURE: Final = "its date_added lies in the future"


class NotEmpty(ValueError):
    """A collection holds what is not from this file; the message says which."""


class BadTarget(ValueError):
    """A collection that cannot be made here as the file has it."""


@dataclass
class Moved(Tally):
    """Also how many instants were moved, STIX 2.0 objects left out, manifest lines without one."""

    moved: int = 0
    old: int = 0
    lost: int = 0
    collections: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, Any]:
        """For the machine that asked."""
        extra = {"moved": self.moved, "stix_2_0": self.old, "manifest_without_object": self.lost}
        return super().counts() | extra


@dataclass(frozen=True)
class Shelving:
    """Where the collections of a root go: whose they are, and the strictest marking they hold."""

    root: str
    group: str
    title: str
    tlp: Tlp


def bring_in(
    path: Path, found: Sequence[Held], to: Shelving, *, on_chunk: Callable[[Moved], None]
) -> Moved:
    """Make the shelves and fill them. Raises NotEmpty and BadTarget before anything is stored.

    Run again after being killed it goes on; after having ended, it finds duplicates only.
    """
    tally = Moved()
    with transaction.atomic():
        shelves = _shelves(found, to)
        for held, shelf in zip(found, shelves, strict=True):
            _must_be_ours(shelf, held)
    with path.open("rb") as file:
        for held, shelf in zip(found, shelves, strict=True):
            tally.collections.append(shelf.alias)
            tally.lost += held.lost
            for stix_id, reason in held.left_out:
                tally.refuse(stix_id, reason)
            _fill(file, held, shelf, tally, on_chunk)
    return tally


def _shelves(found: Sequence[Held], to: Shelving) -> list[Collection]:
    group, _ = Group.objects.get_or_create(slug=to.group, defaults={"title": to.title})
    return [_shelf(held.told, group, to) for held in found]


def _shelf(told: dict[str, Any], group: Group, to: Shelving) -> Collection:
    try:
        key = uuid.UUID(told.get("id", ""))
    except (ValueError, AttributeError, TypeError):
        raise BadTarget(f"{told.get('id')!r} cannot be a collection's id: it is no UUID") from None
    title = _text(told.get("title"), 160) or str(key)
    shelf, made = Collection.objects.get_or_create(
        pk=key,
        defaults={
            "alias": _free_alias(f"{to.root}-{told.get('alias') or title}"),
            "title": title,
            "description": _text(told.get("description"), 2_000),
            "kind": Collection.Kind.SHELF,
            "group": group,
            "tlp": to.tlp.value,
        },
    )
    if made:
        audit.record("collection.imported", actor="operator", subject=shelf.alias, group=group.slug)
    elif (shelf.kind, shelf.group_id, shelf.tlp) != (
        Collection.Kind.SHELF, group.pk, to.tlp.value,
    ):  # fmt: skip
        raise BadTarget(f"{shelf.alias} is here already, for another group or marking")
    return shelf


def _text(said: object, length: int) -> str:
    return said.replace("\0", "")[:length] if isinstance(said, str) else ""


def _free_alias(wished: str) -> str:
    base = slugify(wished)[:54].strip("-") or "imported"
    alias, number = base, 1
    while Collection.objects.filter(alias=alias).exists():
        number += 1
        alias = f"{base}-{number}"
    return alias


def _must_be_ours(shelf: Collection, held: Held) -> None:
    """What is here must come from this file: readers follow it, and the past is behind them."""
    wanted: dict[tuple[str, int], list[int]] = {}
    for entry in held.entries:
        wanted.setdefault((entry.stix_id, entry.version), []).append(entry.added)
    here = shelf.placements.values_list("object__stix_id", "version", "date_added")
    for stix_id, version, instant in here.iterator():
        moves = (instant - added for added in wanted.get((stix_id, version), ()))
        if not any(0 <= move <= history.FURTHEST_MOVE for move in moves):
            raise NotEmpty(
                f"{shelf.alias} holds {stix_id}, which is not from this file. Its readers have "
                "passed the instants of the file and would never see them; use import_stix"
            )


def _fill(
    file: BinaryIO,
    held: Held,
    shelf: Collection,
    tally: Moved,
    on_chunk: Callable[[Moved], None],
) -> None:
    """Store by version, so that every history is a legal one; then place by date."""
    stored: dict[Entry, history.Past] = {}
    for chunk in _chunks(sorted(held.entries, key=lambda entry: entry.version)):
        stored.update(_store(file, chunk, shelf, tally))
        on_chunk(tally)
    for chunk in _chunks([entry for entry in held.entries if entry in stored]):
        _place([stored[entry] for entry in chunk], shelf, tally)
        on_chunk(tally)


def _chunks(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    rest = iter(entries)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _store(
    file: BinaryIO, chunk: Sequence[Entry], shelf: Collection, tally: Moved
) -> dict[Entry, history.Past]:
    checked = [_checked(file, entry, Tlp(shelf.tlp)) for entry in chunk]
    receipt = take_in(
        checked,
        # Old news raises no warnings: it counts as triaged.
        submission=Submission(source=_desk(), door=Door.IMPORT, triaged_at=timezone.now()),
        into=[],
        actor="operator",
    )
    kept = {}
    for entry, item, result in zip(chunk, checked, receipt.results, strict=True):
        if isinstance(item, Item) and result.outcome is not Outcome.REFUSED:
            facts = item.facts
            digest = digest_of(item.body)
            kept[entry] = history.Past(facts.stix_id, facts.version_us, digest, entry.added)
        else:
            tally.old += entry.is_old
            tally.refuse(result.stix_id, result.reason)
    return kept


def _checked(file: BinaryIO, entry: Entry, level: Tlp) -> Checked:
    if entry.added > time.time_ns() // 1_000:
        return Result(entry.stix_id, "", Outcome.REFUSED, _FUTURE)
    try:
        return check([body(file, entry)], default_tlp=level, at_most=level)[0]
    except BadJson as bad:
        return Result(entry.stix_id, "", Outcome.REFUSED, str(bad))


def _desk() -> Organisation:
    return Organisation.objects.get(port_role=PortRole.DESK)


def _place(rows: Sequence[history.Past], shelf: Collection, tally: Moved) -> None:
    with transaction.atomic():
        before = set(
            shelf.placements.filter(object__stix_id__in={row.stix_id for row in rows}).values_list(
                "object__stix_id", "version"
            )
        )
        instants = history.place(rows, shelf)
    for row, instant in zip(rows, instants, strict=True):
        key = (row.stix_id, row.version)
        if not instant:
            tally.refuse(row.stix_id, _BEHIND)
        elif key in before:
            tally.duplicate += 1
        else:
            tally.accepted += 1
            tally.moved += instant != row.wanted
            before.add(key)
