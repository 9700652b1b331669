"""Live update: one ear at the broker for the whole process, and a line to every open page."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import cache
from typing import Final
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings

from alerts.channels.inbox import topic
from crc.members.models import User

log = logging.getLogger(__name__)

# The broker's topic for the pages of the desk's analysts; what changed they ask for themselves.
DESK_TOPIC: Final = "crc:desk"
# A decision must not wait for a broker that is down: the pages look by themselves now and then.
_PATIENCE_SECONDS: Final = 0.3
# Open pages of one user in one process: each holds a connection, and browsers allow no more.
MAX_LINES: Final = 6
# A page that falls so far behind loses events; the next one makes it load everything again.
MAX_BEHIND: Final = 100

# An event's name and data (the id of a warning, or nothing); None when the ear has gone deaf.
Line = asyncio.Queue[tuple[str, bytes] | None]


class TooManyLines(Exception):
    """This user has MAX_LINES pages open."""


def events_for(user: User) -> dict[bytes, str]:
    """Names of the events this user may hear, by the broker's topic."""
    heard = {topic(user.organisation.slug).encode(): "warning"}
    return {**heard, DESK_TOPIC.encode(): "desk"} if user.is_desk else heard


class Switchboard:
    """The lines of one event loop, with what each may hear."""

    def __init__(self) -> None:
        self._lines: dict[Line, tuple[dict[bytes, str], int]] = {}
        self._ear: asyncio.Task[None] | None = None
        self._listens = asyncio.Event()

    def check(self, user: User) -> None:
        """Raises TooManyLines."""
        if sum(owner == user.pk for _, owner in self._lines.values()) >= MAX_LINES:
            raise TooManyLines

    @contextlib.asynccontextmanager
    async def line(self, user: User) -> AsyncIterator[Line]:
        """A line that hears of this user's organisation from now on. Raises TooManyLines: between
        a page's own check and this, others of its kind may have come."""
        self.check(user)
        line = Line(MAX_BEHIND)
        self._lines[line] = events_for(user), user.pk
        try:
            await self._ready()
            yield line
        finally:
            del self._lines[line]
            if not self._lines and self._ear:
                self._ear.cancel()
                self._ear = None

    async def _ready(self) -> None:
        """Return when the ear listens, or has failed to."""
        if self._ear is None or self._ear.done():
            self._listens = asyncio.Event()
            self._ear = asyncio.create_task(self._hear())
        listens = asyncio.create_task(self._listens.wait())
        await asyncio.wait({listens, self._ear}, return_when=asyncio.FIRST_COMPLETED)
        listens.cancel()

    async def _hear(self) -> None:
        client = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=None
        )
        try:
            async with client.pubsub() as subscription:
                await subscription.psubscribe("crc:*")
                async for message in subscription.listen():
                    self._listens.set()
                    if message["type"] == "pmessage":
                        self._tell(message["channel"], message["data"])
        except redis.RedisError:
            pass  # the pages connect again by themselves
        finally:
            self._tell(None, b"")
            await client.aclose()

    def _tell(self, channel: bytes | None, data: bytes) -> None:
        for line, (names, _) in self._lines.items():
            if channel is None or channel in names:
                if line.full():
                    line.get_nowait()
                line.put_nowait(None if channel is None else (names[channel], data))


_boards: WeakKeyDictionary[asyncio.AbstractEventLoop, Switchboard] = WeakKeyDictionary()


def switchboard() -> Switchboard:
    """This event loop's, of which a process that serves has one."""
    return _boards.setdefault(asyncio.get_running_loop(), Switchboard())


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=_PATIENCE_SECONDS,
        socket_timeout=_PATIENCE_SECONDS,
    )


def tell_the_desk() -> None:
    """Never fails, and says nothing but that it is time to look."""
    try:
        _client().publish(DESK_TOPIC, "")
    except redis.RedisError as error:
        log.info("live update of the desk not told: %s", type(error).__name__)
