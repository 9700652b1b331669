"""Placements in the past, for what another server placed before it came here.

The store's clock hands out instants that are still to come; these lie behind it. So they are only
added at the end of a collection, where no reader's cursor has been yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Exists, Max, OuterRef

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
    Placement.objects.bulk_create(new, batch_size=500)
    if touched:
        _mark_latest(collection, touched)
        _let_the_clock_follow(free.last)
        # The instant of a placement just made: no state before can have had it.
        Collection.objects.filter(pk=collection.pk).update(changed=free.last, newest=free.last)
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
    newest = Placement.objects.filter(collection=collection).aggregate(at=Max("date_added"))["at"]
    return newest or 0


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
    mine = Placement.objects.filter(collection=collection, object__stix_id__in=stix_ids)
    later = Placement.objects.filter(
        collection=collection,
        object__stix_id=OuterRef("object__stix_id"),
        version__gt=OuterRef("version"),
    )
    segments.spoil(collection, mine)
    mine.filter(Exists(later), latest=True).update(latest=False)
    mine.filter(~Exists(later), latest=False).update(latest=True)


def _let_the_clock_follow(instant: int) -> None:
    """What comes next comes later, even where an instant was moved past the present."""
    StoreClock.objects.get_or_create(pk=1)
    StoreClock.objects.filter(pk=1, last__lt=instant).update(last=instant)
