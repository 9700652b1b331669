"""Placements in the past, for what another server placed before it came here.

The store's clock hands out instants that are still to come; these lie behind it. So they are only
added at the end of a collection, where no reader's cursor has been yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crc.ordering import take_the_pen
from sharing import segments
from sharing.models import Collection, Placement, StixObject, StoreClock

# Further than this no instant is moved: what would have to be came later, from elsewhere.
FURTHEST_MOVE: Final = 10_000_000
_LOOKED_AHEAD: Final = 1_000


@dataclass(frozen=True)
class Past:
    """One stored object version, and when it was added where it comes from."""

    stix_id: str
    version: int
    digest: str
    wanted: int


def place(rows: Sequence[Past], collection: Collection) -> list[int]:
    """Place objects in the order given, each at the first free instant from the one it wants.

    Returns the instant of each; 0 for what would have to go further back than something that is
    here already. What is here stays where it is. Call inside a transaction.
    """
    take_the_pen()
    stored, here = _stored(rows), _here(rows, collection)
    free = _Free(_newest(collection))
    new: list[Placement] = []
    instants: list[int] = []
    touched: set[str] = set()
    for row in rows:
        key = (row.stix_id, row.version)
        if key not in here and free.last <= row.wanted + FURTHEST_MOVE:
            here[key] = free.first_from(row.wanted)
            new.append(
                Placement(
                    collection=collection,
                    object_id=stored[(*key, row.digest)],
                    date_added=here[key],
                    version=row.version,
                    latest=False,
                )
            )
            touched.add(row.stix_id)
        instants.append(here.get(key, 0))
    if touched:
        Placement.objects.bulk_create(new, batch_size=500)
        _mark_latest(collection, touched)
        changed = _tick(free.last)
        Collection.objects.filter(pk=collection.pk).update(changed=changed, newest=free.last)
    return instants


def _stored(rows: Sequence[Past]) -> dict[tuple[str, int, str], int]:
    held = StixObject.objects.filter(stix_id__in={row.stix_id for row in rows})
    return {
        (stix_id, version, digest): pk
        for stix_id, version, digest, pk in held.values_list("stix_id", "version", "digest", "pk")
    }


def _here(rows: Sequence[Past], collection: Collection) -> dict[tuple[str, int], int]:
    held = Placement.objects.filter(
        collection=collection, object__stix_id__in={row.stix_id for row in rows}
    )
    columns = held.values_list("object__stix_id", "version", "date_added")
    return {(stix_id, version): instant for stix_id, version, instant in columns}


def _newest(collection: Collection) -> int:
    """Also counts what was deleted since: readers have passed it."""
    return Collection.objects.values_list("newest", flat=True).get(pk=collection.pk)


class _Free:
    """Instants after ``last`` at which nothing was added anywhere, handed out in order."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._taken: set[int] = set()
        self._known_up_to = -1

    def first_from(self, wanted: int) -> int:
        """The first free one that is neither before ``wanted`` nor before the last."""
        instant = max(wanted, self.last + 1)
        while self._is_taken(instant):
            instant += 1
        self.last = instant
        return instant

    def _is_taken(self, instant: int) -> bool:
        if instant > self._known_up_to:
            after = Placement.objects.filter(date_added__gte=instant).order_by("date_added")
            found = list(after.values_list("date_added", flat=True)[:_LOOKED_AHEAD])
            self._taken = set(found)
            complete = len(found) < _LOOKED_AHEAD
            self._known_up_to = 2**63 - 1 if complete else found[-1]
        return instant in self._taken


def _mark_latest(collection: Collection, stix_ids: set[str]) -> None:
    held = Placement.objects.filter(collection=collection, object__stix_id__in=stix_ids)
    rows = list(held.values_list("object__stix_id", "version", "pk", "latest"))
    newest: dict[str, int] = {}
    for stix_id, version, _, _ in rows:
        newest[stix_id] = max(version, newest.get(stix_id, version))
    for becomes in (False, True):
        keys = [
            pk
            for stix_id, version, pk, latest in rows
            if latest is not becomes and (version == newest[stix_id]) is becomes
        ]
        changing = Placement.objects.filter(pk__in=keys)
        segments.spoil(collection, changing)
        changing.update(latest=becomes)


def _tick(instant: int) -> int:
    """An instant that nothing else has, after ``instant``; what comes next comes after it."""
    clock, _ = StoreClock.objects.get_or_create(pk=1)
    now = max(instant, clock.last) + 1
    StoreClock.objects.filter(pk=1).update(last=now)
    return now
