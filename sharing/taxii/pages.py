"""Pages of whole collections, ready to go out.

The pages that tools ask for all day have no filters: they are put together from segments (see
sharing.segments) and remembered as bytes until their collection changes.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Final, Protocol

from sharing import segments
from sharing.freshness import State
from sharing.models import Collection, Placement
from sharing.taxii.paging import MAX_PAGE_BYTES, Page

MAX_REMEMBERED_BYTES: Final = 48 * 1024 * 1024


@dataclass(frozen=True)
class Ready:
    """A finished answer, how many objects it holds, and the instants of its first and last."""

    body: bytes
    count: int
    first: int
    last: int

    @cached_property
    def packed(self) -> bytes:
        """The same in gzip; made once, however many tools take it."""
        return segments.pack(self.body)


class Rows(Protocol):
    """How to read from rows what no segment covers."""

    def __call__(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Objects as they are served with their instants, ``limit`` at most, in order."""


@dataclass
class _Gathered:
    """The objects of a page so far."""

    reached: int
    first: int = 0
    last: int = 0
    count: int = 0
    size: int = 0
    parts: list[bytes] = field(default_factory=list)

    def add(self, run: segments.Run) -> None:
        """Take some more."""
        if run.count:
            self.first = self.first or run.first
            self.last = run.last
            self.count += run.count
            self.size += len(run.body) + 1
            self.parts.append(run.body)
        self.reached = run.reached


def whole(collection: Collection, page: Page, state: State, *, rows: Rows, bound_to: str) -> Ready:
    """The page of everything newest in a collection; an empty body when there is nothing (more)."""
    if page.after >= state.newest:
        return Ready(b"", 0, 0, 0)
    key = (bound_to, page.after, page.limit)
    found = _memory.get(key, state.changed)
    if found is None:
        found = _made(collection, page, state, rows=rows, bound_to=bound_to)
        _memory.keep(key, state.changed, found)
    return found


def _made(collection: Collection, page: Page, state: State, *, rows: Rows, bound_to: str) -> Ready:
    gathered, more = _gather(collection, page, rows)
    if not gathered.count:
        return Ready(b"", 0, 0, 0)
    if not more and gathered.last < state.newest:
        more = Placement.objects.filter(
            collection=collection, latest=True, date_added__gt=gathered.last
        ).exists()
    opening = b'{"objects":['
    if more:
        following = page.continued(gathered.last, bound_to=bound_to)
        opening = b'{"more":true,"next":"%b","objects":[' % following.encode()
    body = b"".join((opening, b",".join(gathered.parts), b"]}"))
    return Ready(body, gathered.count, gathered.first, gathered.last)


def _gather(collection: Collection, page: Page, rows: Rows) -> tuple[_Gathered, bool]:
    """The objects after the cursor, and whether it is certain that there are more."""
    gathered, run = _Gathered(page.after), None
    while gathered.count < page.limit:
        run = segments.read(collection.pk, gathered.reached, page.limit - gathered.count)
        if run is None:
            return gathered, _add_rows(gathered, page.limit - gathered.count, rows)
        if gathered.size and gathered.size + len(run.body) > MAX_PAGE_BYTES:
            return gathered, True
        gathered.add(run)
        if run.cut:
            return gathered, True
    return gathered, run is not None and run.followed


def _add_rows(gathered: _Gathered, wanted: int, rows: Rows) -> bool:
    """Fill a page from rows; whether something was left over."""
    found = rows(gathered.reached, wanted + 1)
    for added, body in found[:wanted]:
        if gathered.size and gathered.size + len(body) > MAX_PAGE_BYTES:
            return True
        gathered.add(segments.Run(1, added, added, added, body))
    return len(found) > wanted


class _Memory:
    """Finished pages, the least recently asked for forgotten first."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._pages: OrderedDict[tuple[str, int, int], tuple[int, Ready]] = OrderedDict()
        self._used = 0
        self._guard = Lock()

    def get(self, key: tuple[str, int, int], changed: int) -> Ready | None:
        """The page, if its collection has not changed since."""
        with self._guard:
            found = self._pages.get(key)
            if found is None or found[0] != changed:
                return None
            self._pages.move_to_end(key)
            return found[1]

    def keep(self, key: tuple[str, int, int], changed: int, page: Ready) -> None:
        """Remember a page, however many others have to go for it."""
        with self._guard:
            before = self._pages.pop(key, None)
            self._used += len(page.body) - (len(before[1].body) if before else 0)
            self._pages[key] = (changed, page)
            while self._used > self._room and self._pages:
                _, (_, gone) = self._pages.popitem(last=False)
                self._used -= len(gone.body)


_memory: Final = _Memory(MAX_REMEMBERED_BYTES)
