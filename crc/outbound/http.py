"""Guarded exchanges over asyncio."""

import asyncio
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from aiohappyeyeballs import AddrInfoType, start_connection
from aiohttp import (
    BaseConnector,
    ClientConnectionError,
    ClientError,
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    ServerDisconnectedError,
)
from aiohttp.client_proto import ResponseHandler

from crc.outbound import words
from crc.outbound.guard import Blocked, Guard, OutboundError

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_FRAMING = re.compile(
    r"connection|content-length|expect|host|keep-alive|te|trailer|transfer-encoding|upgrade", re.I
)

# Below the five seconds after which common servers drop an idle connection: what they are
# dropping is not used for the next message.
_KEEP_IDLE = 4.0
# A lookup cannot be cut short, only left behind: names that do not answer must not use up the
# threads of those that do.
_LOOKUPS_AT_ONCE = 64
# Interim answers (1xx) come in ones and twos. aiohttp queues what it reads, asked for or not.
_UNREAD_ANSWERS = 16
# RFC 8305 section 5: how long the next address waits for the one before.
_NEXT_ADDRESS_AFTER = 0.25


@dataclass(frozen=True)
class Response:
    """Any answer, 3xx to 5xx included; what it means is the caller's decision.

    ``headers`` ignores case. ``truncated``: the body was longer than ``max_body`` or did not arrive
    whole in the time allowed; ``body`` holds what was read of it, undecoded.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    elapsed_ms: float
    truncated: bool


@dataclass(kw_only=True, eq=False)
class Outbound:
    """A guarded HTTP client for one event loop: ``async with Outbound() as door``.

    Times are seconds, ``max_body`` bytes. ``connect_timeout`` covers reaching a host and agreeing
    on TLS, ``read_timeout`` each wait for bytes, ``total_timeout`` a whole exchange, the name
    lookup included. Private addresses and plain text are possible in the operator's
    ``allowed_networks`` (CIDR) alone. ``ca_file`` adds to the system's certificate authorities.
    How many calls run at once is the caller's decision. Raises ValueError for a bad network,
    OSError for an unreadable ``ca_file``.
    """

    allowed_networks: Iterable[str] = ()
    connect_timeout: float = 5
    read_timeout: float = 10
    total_timeout: float = 15
    max_body: int = 65536
    ca_file: str | None = None
    user_agent: str = "port-cyber-resilience-hub"

    def __post_init__(self) -> None:
        self._guard = Guard(self.allowed_networks)
        self._tls = ssl.create_default_context()
        if self.ca_file:
            self._tls.load_verify_locations(self.ca_file)
        # aiohttp's warnings may quote what a peer or a URL says.
        logging.getLogger("aiohttp").setLevel(logging.ERROR)

    async def __aenter__(self) -> Self:
        self._asked: dict[str, asyncio.Future[list[Any]]] = {}
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="lookup")
        self._session = ClientSession(
            connector=_Connector(self._dial),
            headers={"User-Agent": self.user_agent, "Accept-Encoding": "identity"},
            timeout=ClientTimeout(sock_read=self.read_timeout),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            middlewares=(_once,),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        for answers in self._asked.values():
            answers.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check_url(self, url: str) -> str:
        """The URL in normal form, if it may be called as far as can be told without a lookup.

        Where a name leads is judged at each call. Raises Blocked.
        """
        return str(self._guard.checked(url))

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send ``body``. Raises OutboundError unless a status line came back."""
        return await self._exchange("POST", url, body, headers)

    async def get(self, url: str, headers: Mapping[str, str]) -> Response:
        """Fetch. Raises OutboundError unless a status line came back."""
        return await self._exchange("GET", url, None, headers)

    async def open_stream(
        self, host: str, port: int, *, tls: bool = True
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection for another protocol than HTTP; the caller closes it, and keeps time.

        Raises OutboundError.
        """
        if re.search(r"[/?#@]", host):
            raise Blocked(words.HOST_ONLY)
        host = f"[{host}]" if ":" in host else host
        url = self._guard.checked(f"https://{host}:{port}")
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            async with asyncio.timeout(self.total_timeout):
                transport = await self._dial(lambda: protocol, url.raw_host or "", port, tls)
        except TimeoutError as error:
            raise _explained(error, url.raw_host or "") from None
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Response:
        target = self._guard.checked(url)
        _check_headers(headers)
        begun = time.monotonic()
        reply: ClientResponse | None = None
        content, whole = bytearray(), False
        try:
            async with asyncio.timeout(self.total_timeout):
                reply = await self._session.request(
                    method, target, data=body, headers=headers, allow_redirects=False
                )
                whole = await self._read(reply, content)
        except (ClientError, OSError) as error:
            # A body that breaks off is no error: the status has come, so the peer has had our
            # message, and an error would have it sent twice.
            if reply is None:
                raise _explained(error, target.raw_host or "") from None
        finally:
            # After a whole body the connection is back in the pool and this touches nothing.
            if reply is not None:
                reply.close()
        elapsed_ms = (time.monotonic() - begun) * 1000
        body_kept = bytes(content[: self.max_body])
        return Response(reply.status, body_kept, reply.headers, elapsed_ms, not whole)

    async def _read(self, reply: ClientResponse, content: bytearray) -> bool:
        """Fill ``content`` up to one byte past ``max_body``; whether the body ended before."""
        while len(content) <= self.max_body:
            piece = await reply.content.read(self.max_body + 1 - len(content))
            if not piece:
                return True
            content += piece
        return False

    async def _dial(
        self, factory: Callable[[], asyncio.BaseProtocol], host: str, port: int, tls: bool
    ) -> asyncio.Transport:
        """Connect to the first reachable of ``host``'s addresses, if all of them may be called."""
        addresses = await self._lookup(host, port, plain=not tls)
        context = self._tls if tls else None
        try:
            async with asyncio.timeout(self.connect_timeout):
                sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER)
                transport, _ = await asyncio.get_running_loop().create_connection(
                    factory,
                    sock=sock,
                    ssl=context,
                    server_hostname=host if tls else None,
                    # a peer that never says goodbye would keep the socket for half a minute
                    ssl_shutdown_timeout=self.connect_timeout if tls else None,
                )
        except (OSError, RuntimeError) as error:  # uvloop raises either
            raise _explained(error, host) from None
        return transport

    async def _lookup(self, host: str, port: int, *, plain: bool) -> list[AddrInfoType]:
        """One lookup however many ask at once: a name that does not answer holds one thread."""
        answers = self._asked.get(host)
        if answers is None:
            answers = self._asked[host] = asyncio.get_running_loop().run_in_executor(
                self._threads, partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
            )
            answers.add_done_callback(lambda _: self._asked.pop(host))
        try:
            found = await asyncio.shield(answers)
        except (OSError, UnicodeError):
            raise OutboundError(words.NOT_FOUND % {"host": host}) from None
        for *_, address in found:
            self._guard.judge(address[0], plain=plain)
        return [(*info, (address[0], port, *address[2:])) for *info, address in found]


class _Protocol(ResponseHandler):
    """aiohttp's protocol, made short with peers that would fill our memory."""

    def close(self) -> None:
        """At once: a closing transport waits, past every deadline, for a peer that never reads."""
        self.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if len(self._buffer) > _UNREAD_ANSWERS:
            self.abort()


class _Connector(BaseConnector):
    """aiohttp's pool over our sockets; without this hook it connects nowhere."""

    def __init__(self, dial: Callable[..., Any]) -> None:
        super().__init__(limit=0, keepalive_timeout=_KEEP_IDLE)
        self._dial = dial

    async def _create_connection(
        self, req: ClientRequest, traces: Any, timeout: ClientTimeout
    ) -> ResponseHandler:
        protocol = _Protocol(asyncio.get_running_loop())
        await self._dial(lambda: protocol, req.host, req.port, req.is_ssl())
        return protocol


async def _once(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """Hides from aiohttp the errors after which it would send a GET again."""
    try:
        return await send(request)
    except (ClientOSError, ServerDisconnectedError) as error:
        raise ClientConnectionError from error


def _check_headers(headers: Mapping[str, str]) -> None:
    """Raises OutboundError for a header that could forge others or change the message's frame."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise OutboundError(words.ODD_HEADER, permanent=True)
        if _FRAMING.fullmatch(name):
            raise OutboundError(words.FRAMING % {"name": name}, permanent=True)


def _explained(error: Exception, host: str) -> OutboundError:
    """What went wrong, without quoting ``error``: aiohttp's messages may hold the URL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = error.verify_message.rstrip(".")
        return OutboundError(words.CERTIFICATE % {"host": host, "problem": problem})
    match error:
        case ssl.SSLError():
            problem = words.NO_TLS
        case TimeoutError():
            problem = words.TOO_SLOW
        case ConnectionRefusedError():
            problem = words.REFUSED
        case ConnectionError() | ClientConnectionError():
            problem = words.CLOSED
        case OSError() | RuntimeError():
            problem = words.UNREACHED
        case _:
            problem = words.UNREADABLE
    return OutboundError(problem % {"host": host})
