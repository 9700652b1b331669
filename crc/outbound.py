"""The only way to call an address a member typed.

Every connection is dialled by ``Outbound._dial``: one lookup, every answer judged, and the socket
goes to an address that was judged, so a name cannot change its answer in between. Nothing follows
redirects, retries, decodes a body or looks at proxy variables.
"""

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
from types import MappingProxyType
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPHeaderDict, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ProtocolError, SSLError
from urllib3.exceptions import TimeoutError as NoAnswerInTime
from urllib3.util import Url, parse_url

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Dial = Callable[[str, int, bool], socket.socket]

# The IANA special-purpose registries, written out: Python's ``is_global`` calls multicast global
# and changes its mind between patch releases.
_CLOSED_V4 = [
    ipaddress.IPv4Network(network)
    for network in (  # noqa: SIM905 - one line each would hide the table
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 "
        "192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
        "224.0.0.0/4 240.0.0.0/4 "
        # Looks public, but inside Azure it is the machine's own control service.
        "168.63.129.16/32"
    ).split()
]
# Everything outside 2000::/3 is closed too: loopback, ULA, link-local, site-local, multicast,
# and the ::/96 compatible form. Within it: Teredo and kin, documentation, 6to4.
_OPEN_V6 = ipaddress.IPv6Network("2000::/3")
_CLOSED_V6 = [
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f\\]")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_FRAMING_HEADERS = frozenset(
    [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)

_NOT_PUBLIC = "This address leads into a private or reserved network; the hub calls public ones."
_HTTPS_ONLY = "The address must start with https://."


class OutboundError(Exception):
    """A call that failed.

    ``reason`` is a sentence for the member, free of the URL's path and query (secrets live there);
    ``permanent`` says that trying again will not help.
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

    ``headers`` has lower-case names. ``truncated``: the body was longer than ``max_body`` or did
    not arrive whole within the time allowed; ``body`` holds what came, undecoded.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    elapsed_ms: float
    truncated: bool


class _Clock(threading.local):
    """When the calling thread's exchange must be over, on ``time.monotonic``'s scale."""

    deadline = math.inf


_clock = _Clock()


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    _clock.deadline = time.monotonic() + seconds
    try:
        yield
    finally:
        _clock.deadline = math.inf


def _hurry(sock: socket.socket) -> None:
    """Shorten ``sock``'s timeout to what the deadline leaves. Raises TimeoutError after it."""
    left = _clock.deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    if left < (sock.gettimeout() or math.inf):
        sock.settimeout(left)


# A socket's timeout restarts with every byte that arrives, so a peer dripping its answer could
# hold a worker for hours. These two look at the deadline before each operation.
class _PlainSocket(socket.socket):
    def sendall(self, data: Any, flags: int = 0) -> None:  # type: ignore[override]
        _hurry(self)
        super().sendall(data, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:  # type: ignore[override]
        _hurry(self)
        return super().recv_into(buffer, nbytes, flags)


class _TlsSocket(ssl.SSLSocket):
    def send(self, data: Any, flags: int = 0) -> int:
        _hurry(self)
        return super().send(data, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        _hurry(self)
        return super().recv_into(buffer, nbytes, flags)


class Outbound:
    """A guarded HTTP client; one per process, shared by its threads, made after forking.

    Times are seconds, ``max_body`` bytes. ``total_timeout`` covers connecting, sending and reading,
    but the system's name lookup cannot be interrupted and may overrun it. ``pool_size`` bounds both
    the hosts remembered and the idle connections per host. ``allowed_networks`` (CIDR) lists what
    the operator opens: private addresses, and plain http, are possible only there. Certificates
    are judged by the system's authorities and those in ``ca_file``; ``tls`` holds them.
    Raises ValueError for a bad network, OSError for an unreadable ``ca_file``.
    """

    def __init__(
        self,
        *,
        allowed_networks: Iterable[str] = (),
        connect_timeout: float = 5,
        read_timeout: float = 10,
        total_timeout: float = 15,
        max_body: int = 65536,
        pool_size: int = 32,
        ca_file: str | None = None,
        user_agent: str = "port-cyber-resilience-hub",
    ) -> None:
        self._allowed = [ipaddress.ip_network(network) for network in allowed_networks]
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._total_timeout = total_timeout
        self._max_body = max_body
        self._user_agent = user_agent
        self.tls = _tls_context(ca_file)
        self._pools = _pools(self._dial, self.tls, pool_size)
        # urllib3 writes whole URLs into its DEBUG and WARNING lines.
        for name in ("urllib3.connection", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.ERROR)

    def check_url(self, url: str) -> str:
        """The URL in normal form, if it may be called as far as can be told without a lookup.

        Where a name leads is judged at each call. Raises Blocked.
        """
        parts, host = _split(url)
        if parts.scheme == "http" and not self._allowed:
            raise Blocked(_HTTPS_ONLY)
        address = _literal(host)
        if address is not None:
            self._judge(address, parts.scheme == "http")
        standard = {"http": 80, "https": 443}[parts.scheme or ""]
        return Url(
            scheme=parts.scheme,
            host=f"[{host}]" if ":" in host else host,
            port=None if parts.port == standard else parts.port,
            path=parts.path or "/",
            query=parts.query,
        ).url

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send ``body``. Raises OutboundError unless a status line came back."""
        return self._exchange("POST", url, body, headers)

    def get(self, url: str, headers: Mapping[str, str]) -> Response:
        """Fetch. Raises OutboundError unless a status line came back."""
        return self._exchange("GET", url, None, headers)

    def open_socket(self, host: str, port: int) -> socket.socket:
        """A connected TCP socket whose timeout is ``read_timeout``; the caller closes it.

        For TLS, wrap it with ``tls`` and ``host``. Raises OutboundError.
        """
        if re.search(r"[/?#@]", host):
            raise Blocked("The host may hold a name or an address, nothing else.")
        _, host = _split(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")
        with _within(self._total_timeout):
            sock = self._dial(host, port, False)
        sock.settimeout(self._read_timeout)
        return sock

    def close(self) -> None:
        """Drop the idle connections."""
        self._pools.clear()

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Response:
        url = self.check_url(url)
        fields = _checked_headers(headers, self._user_agent)
        started = time.monotonic()
        with _within(self._total_timeout):
            try:
                reply = self._pools.urlopen(
                    method,
                    url,
                    body=body,
                    headers=fields,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=Timeout(connect=self._connect_timeout, read=self._read_timeout),
                )
            except HTTPError as error:
                raise _explained(error, parse_url(url).host or "") from None
            content, truncated = self._read(reply)
        return Response(
            status=reply.status,
            body=content,
            headers=MappingProxyType({name.lower(): reply.headers[name] for name in reply.headers}),
            elapsed_ms=(time.monotonic() - started) * 1000,
            truncated=truncated,
        )

    def _read(self, reply: BaseHTTPResponse) -> tuple[bytes, bool]:
        """At most ``max_body`` bytes, and whether any are missing; then the connection is dropped.

        A body that breaks off is no error: the status has come, so the peer has had our message,
        and an error would have it sent twice.
        """
        kept = bytearray()
        try:
            while len(kept) <= self._max_body:
                piece = reply.read1(self._max_body + 1 - len(kept), decode_content=False)
                if not piece:
                    return bytes(kept), False
                kept += piece
        except HTTPError:
            return bytes(kept), True
        finally:
            # After a whole body the connection is back in the pool and this touches nothing.
            reply.close()
        return bytes(kept[: self._max_body]), True

    def _dial(self, host: str, port: int, plain_http: bool) -> socket.socket:
        """Connect to the first reachable of ``host``'s addresses, if all of them may be called."""
        trouble = OSError()
        for family, address in self._lookup(host, port, plain_http):
            sock = _PlainSocket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(self._connect_timeout)
                _hurry(sock)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
                _hurry(sock)
                return sock
            except OSError as error:
                sock.close()
                trouble = error
        raise _unreachable(trouble, host, port)

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
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        if any(address in network for network in self._allowed):
            return
        if not _is_public(address):
            raise Blocked(_NOT_PUBLIC)
        if plain_http:
            raise Blocked(_HTTPS_ONLY)


def _pools(dial: _Dial, tls: ssl.SSLContext, size: int) -> PoolManager:
    """urllib3's pools over our sockets; TLS and the Host header still use the name."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return dial(self._dns_host, self.port, True)

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return dial(self._dns_host, self.port, False)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    manager = PoolManager(num_pools=size, maxsize=size, ssl_context=tls)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    return manager


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = _TlsSocket
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def _split(url: str) -> tuple[Url, str]:
    """urllib3's reading of the URL, the same one that dials it, and the bare host. Raises Blocked.

    A second parser here could disagree with the first about where the host ends.
    """
    if _SPACE_OR_CONTROL.search(url):
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
    if ":" not in host and not _HOST_NAME.fullmatch(host):
        raise Blocked("The address needs a valid host name.")
    return parts, host


def _literal(host: str) -> _Address | None:
    """The address ``host`` spells out, None for a name. Raises Blocked for unusual spellings.

    The system's lookup also takes 2130706433, 0x7f.1 and 0177.0.0.1, which nobody types in
    good faith; a last label that is a number marks them all.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    if ":" not in host and not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise Blocked("The address must be written in the usual form, like 192.0.2.1.") from None


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    if address in _NAT64:
        return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)


def _checked_headers(headers: Mapping[str, str], user_agent: str) -> HTTPHeaderDict:
    """Raises OutboundError for a header that could forge others or change the message's frame."""
    fields = HTTPHeaderDict({"User-Agent": user_agent})
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise OutboundError("A header holds a character it may not hold.", permanent=True)
        if name.lower() in _FRAMING_HEADERS:
            raise OutboundError(f"The header {name} may not be set.", permanent=True)
        fields[name] = value
    return fields


def _unreachable(trouble: OSError, host: str, port: int) -> OutboundError:
    if isinstance(trouble, TimeoutError):
        return OutboundError(f"{host} did not answer in time.")
    if isinstance(trouble, ConnectionRefusedError):
        return OutboundError(f"{host} refused the connection on port {port}.")
    return OutboundError(f"{host} could not be reached.")


def _explained(error: HTTPError, host: str) -> OutboundError:
    """What went wrong, without quoting ``error``: urllib3's messages may hold the URL."""
    cause = error.args[-1] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        problem = cause.verify_message.rstrip(".")
        return OutboundError(f"The certificate of {host} could not be verified: {problem}.")
    if isinstance(error, SSLError):
        return OutboundError(f"{host} does not speak TLS in a way the hub can use.")
    if isinstance(error, NoAnswerInTime):
        return OutboundError(f"{host} did not answer in time.")
    if isinstance(error, ProtocolError) and isinstance(cause, OSError):
        return OutboundError(f"{host} closed the connection without answering.")
    return OutboundError(f"{host} gave an answer the hub cannot read.")
