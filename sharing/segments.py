"""Segments: what a collection holds, joined and compressed in runs, so that a page is one row.

Reading a thousand objects row by row costs the database a millisecond and more. Segments are
derived from placements: the sealer makes them behind the writers, the store marks those stale whose
content has changed, and a page takes from rows what no segment covers.
"""

import time
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, Max, OuterRef, QuerySet
from isal import isal_zlib

from crc import hotsql
from crc.ordering import take_the_pen
from sharing.models import Collection, Placement, Segment

SEALED_OBJECTS: Final = 1_000
SEALED_BYTES: Final = 2 * 1024 * 1024
SEAL_SECONDS: Final = 4.0
_GZIP: Final = 31
_FAST: Final = 1
_SPEC_VERSION: Final = b'{"spec_version":"2.1",'

# In native byte order: segments do not travel, they are made anew.
_STAMP: Final = "q"
_END: Final = "I"


@dataclass(frozen=True)
class Run:
    """Some placements in a row: ``body`` is their objects joined by commas, empty when none.

    Everything up to the instant ``reached`` is in it or before it; ``cut`` says that the segment
    goes on, ``followed`` that another one surely comes after it.
    """

    count: int
    first: int
    last: int
    reached: int
    body: bytes
    cut: bool = False
    followed: bool = False


def pack(plain: bytes) -> bytes:
    """gzip, quickly."""
    packed: bytes = isal_zlib.compress(plain, _FAST, wbits=_GZIP)
    return packed


def told(body: bytes, *, lacks_spec_version: bool) -> bytes:
    """A stored object as it is served: many clients take one without spec_version for STIX 2.0."""
    # Stored JSON is compact and never empty: what follows the brace is its first key.
    return _SPEC_VERSION + body[1:] if lacks_spec_version else body


_COVERING: Final = (
    "SELECT id, lower, upper, first, last, count, stale, body, EXISTS ("
    "SELECT 1 FROM sharing_segment n WHERE n.collection_id = s.collection_id"
    " AND n.upper > s.upper AND n.count > 0 AND NOT n.stale)"
    " FROM sharing_segment s WHERE collection_id = %s AND upper > %s ORDER BY upper LIMIT 1"
)


def read(collection: UUID, after: int, limit: int) -> Run | None:
    """What comes right after the instant ``after``, ``limit`` at most; None when not sealed."""
    key = Collection._meta.pk.get_db_prep_value(collection, connection)
    row = hotsql.row(_COVERING, [key, after])
    if row is None or row[1] > after or row[6]:
        return None
    pk, _, upper, first, last, count, _, packed, followed = row
    if not count:
        return Run(0, 0, 0, upper, b"")
    plain = isal_zlib.decompress(packed, wbits=_GZIP)
    if after < first and count <= limit:
        return Run(count, first, last, upper, plain, followed=followed)
    return _slice(pk, plain, after, limit, upper)


def _slice(pk: int, plain: bytes, after: int, limit: int, upper: int) -> Run:
    """The part of a segment that follows an instant in its middle, or does not fill it."""
    marks = bytes(Segment.objects.values_list("marks", flat=True).get(pk=pk))
    stamps, ends = array(_STAMP), array(_END)
    count = len(marks) // (stamps.itemsize + ends.itemsize)
    stamps.frombytes(marks[: count * stamps.itemsize])
    ends.frombytes(marks[count * stamps.itemsize :])
    start = bisect_right(stamps, after)
    stop = min(start + limit, count)
    if start == stop:
        return Run(0, 0, 0, upper, b"")
    # An end is where the comma after an object stands, or would.
    body = plain[ends[start - 1] + 1 if start else 0 : ends[stop - 1]]
    cut = stop < count
    reached = stamps[stop - 1] if cut else upper
    return Run(stop - start, stamps[start], stamps[stop - 1], reached, body, cut)


def spoil(collection: Collection, placements: QuerySet[Placement]) -> None:
    """Mark the segments that hold any of these placements as no longer true. Holding the pen."""
    touched = placements.filter(date_added__gt=OuterRef("lower"), date_added__lte=OuterRef("upper"))
    Segment.objects.filter(Exists(touched), collection=collection, stale=False).update(stale=True)


def seal_all(*, seconds: float = SEAL_SECONDS) -> int:
    """Make segments where they are due, stale ones first, for so long; how many were made."""
    until, made = time.monotonic() + seconds, 0
    for collection in Collection.objects.exclude(kind=Collection.Kind.INBOX):
        while time.monotonic() < until and seal(collection):
            made += 1
    return made


def seal(collection: Collection) -> bool:
    """Make one segment anew, or the next one; False when nothing is due.

    It holds the pen for some milliseconds, so that nothing it reads is retired meanwhile.
    """
    with transaction.atomic():
        take_the_pen()
        stale = collection.segments.filter(stale=True).order_by("upper").first()
        if stale:
            _fill(stale, _rows(collection, stale.lower, stale.upper))
            stale.save()
            return True
        tail = collection.segments.aggregate(Max("upper"))["upper__max"] or 0
        waiting = Placement.objects.filter(
            collection=collection, latest=True, date_added__gt=tail
        ).order_by("date_added")
        due = waiting.values_list("date_added", flat=True)[SEALED_OBJECTS - 1 : SEALED_OBJECTS]
        if not due:
            return False
        segment = Segment(collection=collection, lower=tail, upper=due[0])
        _fill(segment, _rows(collection, tail, due[0]))
        segment.save()
        return True


def _rows(collection: Collection, lower: int, upper: int) -> QuerySet[Placement]:
    return Placement.objects.filter(
        collection=collection, latest=True, date_added__gt=lower, date_added__lte=upper
    ).order_by("date_added")


def _fill(segment: Segment, rows: QuerySet[Placement]) -> None:
    """Put rows into a segment; where they are too large together, it ends early."""
    stamps, ends, size = array(_STAMP), array(_END), 0
    parts: list[bytes] = []
    columns = rows.values_list("date_added", "object__lacks_spec_version", "object__body")
    segment.stale = False
    for added, lacks, body in columns.iterator(chunk_size=100):
        part = told(body.encode(), lacks_spec_version=lacks)
        if parts and size + len(part) > SEALED_BYTES and not segment.pk:
            segment.upper = stamps[-1]
            break
        parts.append(part)
        stamps.append(added)
        size += len(part) + 1
        ends.append(size - 1)
    segment.count = len(parts)
    segment.first, segment.last = (stamps[0], stamps[-1]) if parts else (0, 0)
    segment.body = pack(b",".join(parts))
    segment.marks = stamps.tobytes() + ends.tobytes()
