"""HTTP as it comes over the wire: how long the head of a request may be, and how slow.

uvicorn bounds neither, so that anybody could fill the memory, or hold every connection, without a
key. And what it refuses before the application sees it, it would refuse in words no tool reads.
"""

import asyncio
import http
from typing import Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# A cursor carries its filters, and a client may repeat both.
MAX_HEAD_BYTES: Final = 128 * 1024
HEAD_SECONDS: Final = 30
# Requests of one connection that wait behind another's answer: no client of ours sends any.
MAX_PIPELINED: Final = 8
# Who is refused while it still sends sees a broken connection, not the reason.
LINGER_SECONDS: Final = 2
_TAXII: Final = b"application/taxii+json;version=2.1"
_TAXII_PATHS: Final = (b"/crc/", b"/taxii2/")


class Protocol(HttpToolsProtocol):
    """One connection."""

    url = b""  # until it comes
    _head_bytes = 0
    _idle_bytes = 0  # that came since the last of a body: sizes of chunks, and what follows them
    _refused = False
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection on which nothing is asked is not kept either."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Part of a head, of a body, or of both."""
        if self._refused:
            return
        before = self._waiting
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._waiting is None and self._idle_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"Send at most {MAX_HEAD_BYTES} bytes after a body.")
        # What a head begins in may end another request's body, and is not counted.
        if before is None or before is not self._waiting:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"Send at most {MAX_HEAD_BYTES} bytes before the body.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Its head is here."""
        self._head_came()
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refused = True
            self.transport.close()
        if not self._refused:
            super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of the head's. What comes after a body would join them, unasked for by anybody."""
        if self._waiting:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Part of a body."""
        self._idle_bytes = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request ends."""
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._refuse(400, msg)

    def _wait_for_head(self) -> None:
        self._head_came()
        self._waiting = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _head_came(self) -> None:
        self._head_bytes = self._idle_bytes = 0
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None

    def _too_slow(self) -> None:
        if self._is_answering():
            self._wait_for_head()
        elif self._head_bytes or self.url:
            self._refuse(408, f"The request did not begin within {HEAD_SECONDS} seconds.")
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        """Whether an earlier request of this connection still gets its answer."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, reason: str) -> None:
        self._head_came()
        if self._is_answering():
            self.transport.close()
            return
        self._refused = True
        title = http.HTTPStatus(status).phrase
        body, media = f"{reason}\n".encode(), b"text/plain; charset=utf-8"
        if self.url.startswith(_TAXII_PATHS):
            said = {"title": title, "http_status": str(status), "description": reason}
            body, media = orjson.dumps(said), _TAXII
        lines = [
            f"HTTP/1.1 {status} {title}".encode(),
            b"Content-Type: " + media,
            f"Content-Length: {len(body)}".encode(),
            b"Connection: close",
        ]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
