"""Bodies of requests, read before a thread is taken: who sends slowly holds a connection, no more.

The threads are few (crc.asgi.THREADS), and a server that reads in them stands still when as many
senders dawdle.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, cast

from asgiref.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
)
from django.conf import settings

# Every form of ours as people fill it; what is longer shares MAX_HELD with the others.
SMALL: Final = 256 * 1024
# All longer bodies together that are held in memory at one time, in bytes.
MAX_HELD: Final = 128 * 1024 * 1024
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


class _Held:
    """How many bytes of long bodies are in memory now. For the event loop alone."""

    total = 0


def is_sent(scope: HTTPScope) -> bool:
    """Whether a body comes with this request."""
    return _header(scope, b"transfer-encoding") != b"" or _header(scope, b"content-length") not in {
        b"",
        b"0",
    }


class Body:
    """The whole body of one request, held while the request lasts."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = self._counted = 0

    async def read(self, scope: HTTPScope, receive: ASGIReceiveCallable, *, most: int) -> None:
        """Read it all, ``most`` bytes at most. Raises Refused (408, 413, 503) and Gone."""
        digits = _header(scope, b"content-length")
        if digits.isdigit() and int(digits) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(settings.BODY_SECONDS):
                await self._read(receive, most)
        except TimeoutError:
            raise Refused(
                408,
                "Too slow",
                f"The request did not arrive within {settings.BODY_SECONDS} seconds; nothing was "
                "stored. Send it again, in smaller parts if the line is slow.",
            ) from None

    async def _read(self, receive: ASGIReceiveCallable, most: int) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise Gone
            more = message.get("more_body", False)
            self._take(message.get("body", b""), most)

    def _take(self, part: bytes, most: int) -> None:
        self._length += len(part)
        if self._length > most:
            raise _too_large(most)
        counted = max(0, self._length - SMALL)
        if counted and _Held.total + counted - self._counted > MAX_HELD:
            raise Refused(
                503, "Busy", "Too many large requests at one time; nothing was stored. Try again."
            )
        _Held.total += counted - self._counted
        self._counted = counted
        self._parts.append(part)

    def release(self) -> None:
        """The request is over."""
        _Held.total -= self._counted
        self._parts, self._counted = [], 0

    def described(self, scope: HTTPScope) -> HTTPScope:
        """The scope of the same request with the length that is known now."""
        return _with_length(scope, self._length)

    def replayed(self, receive: ASGIReceiveCallable) -> ASGIReceiveCallable:
        """``receive`` for an application: the body in one piece, then what really comes."""
        whole = [b"".join(self._parts)]
        self._parts = []

        async def receiving() -> ASGIReceiveEvent:
            if whole:
                return {"type": "http.request", "body": whole.pop(), "more_body": False}
            return await receive()

        return receiving


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


def _header(scope: HTTPScope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _too_large(most: int) -> Refused:
    return Refused(413, "Too large", f"Send at most {most} bytes at a time; nothing was stored.")
