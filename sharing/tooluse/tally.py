"""One request as it was seen, and many of one key added up."""

import re
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.utils import timezone

from crc.members.models import ApiKey

LISTS: Final = "list:"
# Requests kept whole for one key between two writings.
KEPT: Final = 50
MAX_PLACES: Final = 100
_POLL: Final = re.compile(r"/[^/]+/collections/([^/]{1,60})/(?:objects|manifest)/?")
_LIST: Final = re.compile(r"/lists/([\w-]{1,20})\.txt", re.ASCII)
_NEXT: Final = re.compile(r"(?:^|&)next=[^&]")
_SECRET: Final = re.compile(rf"\b{ApiKey.PREFIX}_[0-9a-f]{{12}}_[\w-]*", re.ASCII)


def without_keys(text: str) -> str:
    """The text with every key in it blotted out, printable."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else "?" for char in text)
    return _SECRET.sub(f"{ApiKey.PREFIX}_…", text)


@dataclass
class Noted:
    """One request and its answer."""

    lookup: str
    method: str
    path: str
    query: str
    accept: str = ""
    user_agent: str = ""
    reason: str = ""
    status: int = 0
    served: int = 0
    cursor: str = ""
    at: datetime = field(default_factory=timezone.now)

    @property
    def ok(self) -> bool:
        """Whether the tool got what it asked for."""
        return self.status < 400

    @property
    def place(self) -> str:
        """The collection or list that was polled, empty for any other request."""
        if not self.ok or self.method not in {"GET", "HEAD"}:
            return ""
        if found := _POLL.fullmatch(self.path):
            return found[1].lower()
        found = _LIST.fullmatch(self.path)
        return f"{LISTS}{found[1]}" if found else ""

    @property
    def starts_a_poll(self) -> bool:
        """Not for the second and later pages of one poll."""
        return not _NEXT.search(self.query)

    @property
    def address(self) -> str:
        """Path and query; a key in it is blotted out."""
        return without_keys(f"{self.path}?{self.query}" if self.query else self.path)


@dataclass
class PlaceTally:
    """Successful polls of one collection or list."""

    last_ok_at: datetime
    starts: list[datetime] = field(default_factory=list)
    cursor: str = ""
    served: int = 0


@dataclass
class HourTally:
    """Requests of one hour."""

    requests: int = 0
    served: int = 0
    failed: int = 0


@dataclass
class Tally:
    """What one key did since the last writing."""

    last_at: datetime
    last_ok_at: datetime | None = None
    user_agent: str = ""
    failed_in_row: int = 0
    places: dict[str, PlaceTally] = field(default_factory=dict)
    hours: dict[int, HourTally] = field(default_factory=dict)
    requests: deque[Noted] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, noted: Noted) -> None:
        """One more request."""
        self.last_at = noted.at
        self.user_agent = noted.user_agent
        self.requests.append(noted)
        hour = self.hours.setdefault(hour_of(noted.at), HourTally())
        hour.requests += 1
        hour.served += noted.served
        hour.failed += not noted.ok
        if noted.ok:
            self.last_ok_at, self.failed_in_row = noted.at, 0
        else:
            self.failed_in_row += 1
        place = noted.place
        if place and (place in self.places or len(self.places) < MAX_PLACES):
            self._polled(place, noted)

    def _polled(self, name: str, noted: Noted) -> None:
        place = self.places.setdefault(name, PlaceTally(noted.at))
        place.last_ok_at = noted.at
        place.served += noted.served
        place.cursor = max(place.cursor, noted.cursor)
        if noted.starts_a_poll:
            place.starts = [*place.starts[-9:], noted.at]


def hour_of(moment: datetime) -> int:
    """The number of the hour since the epoch."""
    return int(moment.timestamp()) // 3600
