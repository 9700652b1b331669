"""Bodies of requests, read before a thread is taken: who sends slowly holds a connection, no more.

The threads are few (crc.asgi.THREADS), and a server that reads in them stands still when as many
senders dawdle.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from asgiref.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
)
from django.conf import settings

# Every form that is there for who has not logged in; what is longer is not taken from them.
SMALL: Final = 256 * 1024
# All bodies together that are held in memory at one time, in bytes: of who has logged in, of who
# has a key, and of anybody else. Apart, so that none of them keeps out another kind.
MAX_PEOPLE: Final = 64 * 1024 * 1024
MAX_TOOLS: Final = 128 * 1024 * 1024
MAX_UNKNOWN: Final = 32 * 1024 * 1024
# A client that is refused while it still sends sees a broken connection, not the reason: so much
# is taken from it, and so long, and thrown away.
MAX_THROWN_AWAY: Final = 40 * 1024 * 1024
LINGER_SECONDS: Final = 10


class Refused(Exception):
    """A body that is not taken: the status, and what the sender can do about it."""

    def __init__(self, status: int, title: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.title, self.reason = status, title, reason


class Gone(Exception):
    """The sender left in the middle; nobody waits for an answer."""


@dataclass
class Pool:
    """The bodies of one kind of sender that are in memory, of ``most`` bytes together.

    ``reading`` are those that still come, in the order in which they began. For the event loop
    alone.
    """

    most: int
    held: int = 0
    reading: "dict[Body, None]" = field(default_factory=dict)

    def make_room(self, size: int, body: "Body") -> None:
        """Room for so many bytes more of one body. What is longest on its way is given up for it:
        who dawdles must not keep out who does not. Raises Refused (503)."""
        for other in [*self.reading] if self.held + size > self.most else ():
            if other is not body and other.length:
                other.give_up()
            if self.held + size <= self.most:
                return
        if self.held + size > self.most:
            raise _busy()


PEOPLE: Final = Pool(MAX_PEOPLE)
TOOLS: Final = Pool(MAX_TOOLS)
UNKNOWN: Final = Pool(MAX_UNKNOWN)


def is_sent(scope: HTTPScope) -> bool:
    """Whether a body comes with this request."""
    return header(scope, b"transfer-encoding") != b"" or header(scope, b"content-length") not in {
        b"",
        b"0",
    }


class Body:
    """The whole body of one request, held until its answer begins."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._bytes = bytearray()
        self.length = 0
        self._given_up = False

    async def read(self, scope: HTTPScope, receive: ASGIReceiveCallable, *, most: int) -> None:
        """Read it all, ``most`` bytes at most. Raises Refused (408, 413, 503) and Gone."""
        digits = header(scope, b"content-length")
        if digits.isdigit() and int(digits) > most:
            raise self._too_large(most)
        self._pool.reading[self] = None
        try:
            async with asyncio.timeout(settings.BODY_SECONDS) as self._patience:
                await self._read(receive, most)
        except TimeoutError:
            raise _busy() if self._given_up else _too_slow() from None
        finally:
            self._pool.reading.pop(self, None)

    async def _read(self, receive: ASGIReceiveCallable, most: int) -> None:
        more = True
        while more:
            message = await receive()
            if self._given_up:  # between the decision and its timeout
                raise TimeoutError
            if message["type"] != "http.request":
                raise Gone
            more = message.get("more_body", False)
            self._take(message.get("body", b""), most)

    def _take(self, part: bytes, most: int) -> None:
        if self.length + len(part) > most:
            raise self._too_large(most)
        self._pool.make_room(len(part), self)
        self._pool.held += len(part)
        self.length += len(part)
        self._bytes += part

    def give_up(self) -> None:
        """Its room is wanted: stop reading, and refuse it."""
        self.release()
        self._given_up = True
        self._pool.reading.pop(self, None)
        with contextlib.suppress(RuntimeError):  # its time has just run out by itself
            self._patience.reschedule(asyncio.get_running_loop().time())

    def release(self) -> None:
        """It is not needed any more."""
        self._pool.held -= self.length
        self._bytes, self.length = bytearray(), 0

    def _too_large(self, most: int) -> Refused:
        known = self._pool is not UNKNOWN
        return Refused(
            413,
            "Too large",
            f"Send at most {most} bytes at a time{'' if known else '; log in first to send more'}. "
            "Nothing was stored.",
        )

    def described(self, scope: HTTPScope) -> HTTPScope:
        """The scope of the same request with the length that is known now."""
        return _with_length(scope, self.length)

    def replayed(self, receive: ASGIReceiveCallable) -> ASGIReceiveCallable:
        """``receive`` for an application: the body in one piece, then what really comes."""
        asked = False

        async def receiving() -> ASGIReceiveEvent:
            nonlocal asked
            if asked:
                return await receive()
            asked, whole, self._bytes = True, bytes(self._bytes), bytearray()
            return {"type": "http.request", "body": whole, "more_body": False}

        return receiving


def releasing(body: Body, send: ASGISendCallable) -> ASGISendCallable:
    """``send`` for the answer to a body: who reads it slowly does not keep the body in memory."""

    async def sending(message: ASGISendEvent) -> None:
        body.release()
        await send(message)

    return sending


def without(scope: HTTPScope) -> HTTPScope:
    """The scope of the same request as if no body came with it."""
    return _with_length(scope, 0)


async def nothing() -> ASGIReceiveEvent:
    """``receive`` for a request whose body nobody reads."""
    return {"type": "http.request", "body": b"", "more_body": False}


def unread(receive: ASGIReceiveCallable, send: ASGISendCallable) -> ASGISendCallable:
    """``send`` for an answer that is given before the body is read.

    The sender has the whole answer at once; what it still sends is thrown away for a while, then
    the connection ends.
    """

    async def sending(message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], (b"connection", b"close")]
            message = cast(ASGISendEvent, {**message, "headers": headers})
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            await send(cast(ASGISendEvent, {**message, "more_body": True}))
            await _throw_away(receive)
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return sending


async def answer(
    send: ASGISendCallable, status: int, body: bytes, headers: Iterable[tuple[str, str]]
) -> None:
    """A whole answer, with its length."""
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    start: Any = {
        "type": "http.response.start",
        "status": status,
        "headers": [*pairs, (b"content-length", str(len(body)).encode())],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _throw_away(receive: ASGIReceiveCallable) -> None:
    left = MAX_THROWN_AWAY
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return


def _with_length(scope: HTTPScope, length: int) -> HTTPScope:
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in {b"content-length", b"transfer-encoding"}
    ]
    headers = [*kept, (b"content-length", str(length).encode())]
    return cast(HTTPScope, {**scope, "headers": headers})


def header(scope: HTTPScope, wanted: bytes) -> bytes:
    """One header's value, empty when it was not sent."""
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _too_slow() -> Refused:
    return Refused(
        408,
        "Too slow",
        f"The request did not arrive within {settings.BODY_SECONDS} seconds; nothing was stored. "
        "Send it again, in smaller parts if the line is slow.",
    )


def _busy() -> Refused:
    return Refused(
        503, "Busy", "Too much is being sent at one time; nothing was stored. Try again."
    )
