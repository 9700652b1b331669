"""The only way to call an address a member typed.

Every connection is dialled by ``Outbound._dial``: one lookup, every answer judged, and the socket
goes to an address that was judged, so a name cannot change its answer in between. Nothing follows
redirects, retries, decodes a body or looks at proxy variables.
"""

import asyncio
import ipaddress
import logging
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPHeaderDict, PoolManager, Timeout, exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Url, parse_url

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# The IANA special-purpose registries, written out: Python's ``is_global`` calls multicast global
# and changes its mind between patch releases. 168.63.129.16 looks public, but inside Azure it is
# the machine's own control service. In IPv6 all is closed but 2000::/3, and in there Teredo and
# its kin, documentation and 6to4.
_CLOSED = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 "
        "192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
        "224.0.0.0/4 240.0.0.0/4 168.63.129.16/32 "
        "::/3 4000::/2 8000::/1 2001::/23 2001:db8::/32 2002::/16 3fff::/20"
    ).split()
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = re.compile(
    r"connection|content-length|expect|host|keep-alive|te|trailer|transfer-encoding|upgrade", re.I
)
_NOT_PUBLIC = "This address leads into a private or reserved network; the hub calls public ones."
_HTTPS_ONLY = "The address must start with https://."


class OutboundError(Exception):
    """A call that failed; ``permanent`` says that trying again will not help.

    ``reason`` is a sentence for the member, without the URL's path and query: secrets live there.
    """

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


class Blocked(OutboundError):
    """The hub will not call this address; always permanent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, permanent=True)


@dataclass(frozen=True)
class Response:
    """Any answer, 3xx to 5xx included; what it means is the caller's decision.

    ``headers`` ignores case. ``truncated``: the body was longer than ``max_body`` or did not arrive
    whole in the time allowed; ``body`` holds what came, undecoded.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    elapsed_ms: float
    truncated: bool


class _Clock(threading.local):
    """When the calling thread's exchange must be over, on ``time.monotonic``'s scale."""

    deadline = math.inf

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        self.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self.deadline = math.inf

    def hurry(self, sock: socket.socket) -> None:
        """Cut ``sock``'s timeout to what the deadline leaves. Raises TimeoutError after it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if left < (sock.gettimeout() or math.inf):
            sock.settimeout(left)


_clock = _Clock()


# A socket's timeout starts anew with every byte that arrives: a peer dripping its answer could
# hold a worker for hours. These look at the deadline before each operation.
class _PlainSocket(socket.socket):
    def sendall(self, data: Any, flags: int = 0) -> None:
        _clock.hurry(self)
        super().sendall(data, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        _clock.hurry(self)
        return super().recv_into(buffer, nbytes, flags)


class _TlsSocket(ssl.SSLSocket):
    def send(self, data: Any, flags: int = 0) -> int:
        _clock.hurry(self)
        return super().send(data, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        _clock.hurry(self)
        return super().recv_into(buffer, nbytes, flags)


@dataclass(kw_only=True, eq=False)
class SyncOutbound:
    """A guarded HTTP client; one per process, shared by its threads, made after forking.

    Times are seconds, ``max_body`` bytes. ``total_timeout`` covers connecting, sending and reading;
    only the system's name lookup cannot be cut short. ``pool_size`` bounds the hosts remembered and
    the idle connections to each. Private addresses and plain http are possible in the operator's
    ``allowed_networks`` (CIDR) alone. ``ca_file`` adds to the system's certificate authorities.
    Raises ValueError for a bad network, OSError for an unreadable ``ca_file``.
    """

    allowed_networks: Iterable[str] = ()
    connect_timeout: float = 5
    read_timeout: float = 10
    total_timeout: float = 15
    max_body: int = 65536
    pool_size: int = 32
    ca_file: str | None = None
    user_agent: str = "port-cyber-resilience-hub"

    def __post_init__(self) -> None:
        self._allowed = [ipaddress.ip_network(network) for network in self.allowed_networks]
        self.tls = ssl.create_default_context()
        self.tls.sslsocket_class = _TlsSocket
        if self.ca_file:
            self.tls.load_verify_locations(self.ca_file)
        self._pools = _guarded_pools(
            self._dial,
            num_pools=self.pool_size,
            maxsize=self.pool_size,
            ssl_context=self.tls,
            retries=False,
            timeout=Timeout(connect=self.connect_timeout, read=self.read_timeout),
        )
        # urllib3 writes whole URLs into its DEBUG and WARNING lines.
        for name in ("urllib3.connection", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.ERROR)

    def check_url(self, url: str) -> str:
        """The URL in normal form, if it may be called as far as can be told without a lookup.

        Where a name leads is judged at each call. Raises Blocked.
        """
        parts, host = _split(url)
        plain_http = parts.scheme == "http"
        if plain_http and not self._allowed:
            raise Blocked(_HTTPS_ONLY)
        address = _literal(host)
        if address is not None:
            self._judge(address, plain_http)
        port = None if parts.port == (80 if plain_http else 443) else parts.port
        host = f"[{host}]" if ":" in host else host
        return Url(parts.scheme, None, host, port, parts.path or "/", parts.query).url

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send ``body``. Raises OutboundError unless a status line came back."""
        return self._exchange("POST", url, body, headers)

    def get(self, url: str, headers: Mapping[str, str]) -> Response:
        """Fetch. Raises OutboundError unless a status line came back."""
        return self._exchange("GET", url, None, headers)

    def open_socket(self, host: str, port: int) -> socket.socket:
        """A connected TCP socket whose timeout is ``read_timeout``; the caller closes it.

        For TLS, wrap it with ``self.tls`` and ``host``. Raises OutboundError.
        """
        if re.search(r"[/?#@]", host):
            raise Blocked("The host may hold a name or an address, nothing else.")
        _, host = _split(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")
        with _clock.within(self.total_timeout):
            sock = self._dial(host, port, False)
        sock.settimeout(self.read_timeout)
        return sock

    def close(self) -> None:
        """Drop the idle connections."""
        self._pools.clear()

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Response:
        url = self.check_url(url)
        fields = _checked_headers(headers, self.user_agent)
        begun = time.monotonic()
        with _clock.within(self.total_timeout):
            try:
                reply = self._pools.urlopen(
                    method, url, body=body, headers=fields, redirect=False, preload_content=False
                )
            except exceptions.HTTPError as error:
                raise _explained(error, parse_url(url).host or "") from None
            content, truncated = self._read(reply)
        elapsed_ms = (time.monotonic() - begun) * 1000
        return Response(reply.status, content, reply.headers, elapsed_ms, truncated)

    def _read(self, reply: BaseHTTPResponse) -> tuple[bytes, bool]:
        """At most ``max_body`` bytes, and whether any are missing; then the connection is dropped.

        A body that breaks off is no error: the status has come, so the peer has had our message,
        and an error would have it sent twice.
        """
        kept = bytearray()
        try:
            while len(kept) <= self.max_body:
                piece = reply.read1(self.max_body + 1 - len(kept), decode_content=False)
                if not piece:
                    return bytes(kept), False
                kept += piece
        except exceptions.HTTPError:
            return bytes(kept), True
        finally:
            # After a whole body the connection is back in the pool and this touches nothing.
            reply.close()
        return bytes(kept[: self.max_body]), True

    def _dial(self, host: str, port: int, plain_http: bool) -> socket.socket:
        """Connect to the first reachable of ``host``'s addresses, if all of them may be called."""
        trouble = OSError()
        for family, address in self._lookup(host, port, plain_http):
            sock = _PlainSocket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(self.connect_timeout)
                _clock.hurry(sock)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
                _clock.hurry(sock)  # for the TLS handshake
                return sock
            except OSError as error:
                sock.close()
                trouble = error
        raise _explained(trouble, host)

    def _lookup(self, host: str, port: int, plain_http: bool) -> list[tuple[int, Any]]:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise OutboundError(f"The name {host} could not be found.") from None
        for *_, address in answers:
            self._judge(ipaddress.ip_address(address[0]), plain_http)
        return [(family, address) for family, *_, address in answers]

    def _judge(self, address: _Address, plain_http: bool) -> None:
        """Raises Blocked unless the hub may call ``address``."""
        address = getattr(address, "ipv4_mapped", None) or address
        if any(address in network for network in self._allowed):
            return
        if address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if any(address in network for network in _CLOSED):
            raise Blocked(_NOT_PUBLIC)
        if plain_http:
            raise Blocked(_HTTPS_ONLY)


def _guarded_pools(dial: Callable[[str, int, bool], socket.socket], **settings: Any) -> PoolManager:
    """urllib3's pools over our sockets; TLS and the Host header still use the name."""

    class PlainPool(HTTPConnectionPool):
        class ConnectionCls(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return dial(self._dns_host, self.port, True)

    class TlsPool(HTTPSConnectionPool):
        class ConnectionCls(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return dial(self._dns_host, self.port, False)

    manager = PoolManager(**settings)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    return manager


def _split(url: str) -> tuple[Url, str]:
    """urllib3's reading of the URL, the same that dials it, and the bare host. Raises Blocked.

    A second parser here could disagree with the first about where the host ends.
    """
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise Blocked("The address holds a space, a backslash or a control character.")
    if not url.lower().startswith(("https://", "http://")):
        raise Blocked(_HTTPS_ONLY)
    try:
        parts = parse_url(url)
    except ValueError:
        raise Blocked("The address is not a valid URL.") from None
    if parts.auth is not None:
        raise Blocked("The address may not hold a user name or password.")
    if parts.port == 0:
        raise Blocked("The port must be between 1 and 65535.")
    host = (parts.host or "").removeprefix("[").removesuffix("]").removesuffix(".")
    if "%" in host or (":" not in host and not _HOST_NAME.fullmatch(host)):
        raise Blocked("The address needs a valid host name.")
    return parts, host


def _literal(host: str) -> _Address | None:
    """The address ``host`` spells out, None for a name. Raises Blocked for unusual spellings.

    The system's lookup also takes 2130706433, 0x7f.1 and 0177.0.0.1, which nobody types in good
    faith; a last label that is a number marks them all.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    if ":" not in host and not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rpartition(".")[2]):
        return None
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise Blocked("The address must be written in the usual form, like 192.0.2.1.") from None


def _checked_headers(headers: Mapping[str, str], user_agent: str) -> HTTPHeaderDict:
    """Raises OutboundError for a header that could forge others or change the message's frame."""
    fields = HTTPHeaderDict({"User-Agent": user_agent})
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not re.fullmatch(r"[\t\x20-\x7e]*", value):
            raise OutboundError("A header holds a character it may not hold.", permanent=True)
        if _FRAMING.fullmatch(name):
            raise OutboundError(f"The header {name} may not be set.", permanent=True)
        fields[name] = value
    return fields


def _explained(error: Exception, host: str) -> OutboundError:
    """What went wrong, without quoting ``error``: urllib3's messages may hold the URL."""
    cause = error.args[-1] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        problem = cause.verify_message.rstrip(".")
        return OutboundError(f"The certificate of {host} could not be verified: {problem}.")
    match cause if isinstance(cause, OSError) else error:
        case exceptions.SSLError() | ssl.SSLError():
            problem = "does not speak TLS in a way the hub can use"
        case exceptions.TimeoutError() | TimeoutError():
            problem = "did not answer in time"
        case ConnectionRefusedError():
            problem = "refused the connection"
        case ConnectionError():
            problem = "closed the connection without answering"
        case OSError():
            problem = "could not be reached"
        case _:
            problem = "gave an answer the hub cannot read"
    return OutboundError(f"{host} {problem}.")


class Outbound:
    def __init__(self, **k):
        self.s = SyncOutbound(**k)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *a):
        self.s.close()

    async def post(self, *a):
        return await asyncio.to_thread(self.s.post, *a)

    async def get(self, *a):
        return await asyncio.to_thread(self.s.get, *a)

    async def open_stream(self, host, port, *, tls=True):
        url = f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"
        self.s.check_url(url)
        sock = await asyncio.to_thread(self.s._dial, host, port, not tls)
        sock.setblocking(False)
        try:
            return await asyncio.open_connection(
                sock=sock,
                ssl=self.s.tls if tls else None,
                server_hostname=host if tls else None,
            )
        except OSError as error:
            raise _explained(OSError(error), host) from None

    def check_url(self, u):
        return self.s.check_url(u)


def host_of(url):
    from urllib.parse import urlsplit

    return urlsplit(url).netloc.lower()
