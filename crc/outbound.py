"""The only way to call an address that a member typed.

The name is resolved once; every address it has is checked; the connection goes to a checked address
itself, so that nothing can change between check and connect. No redirects, no proxies, bounded time
and bounded bytes. Reasons never carry the path or query of an address: secrets live there.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, SSLError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_BODY: Final = 64 * 1024
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0
TOTAL_SECONDS: Final = 15.0
_CHUNK: Final = 8 * 1024


class OutboundError(Exception):
    """A call that did not succeed; ``permanent`` says that trying again cannot help."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


class Blocked(OutboundError):
    """An address the hub will not call."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, permanent=True)


@dataclass(frozen=True)
class Response:
    """What came back; ``body`` holds at most MAX_BODY bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Guard:
    """Which addresses may be called: public ones, and the operator's own ``allowed`` networks."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = [ipaddress.ip_network(network) for network in allowed]

    def lifts(self, address: _Address) -> bool:
        """Whether the operator allowed this one by name."""
        return any(
            address.version == network.version and address in network for network in self._allowed)

    def permits(self, address: _Address) -> bool:
        """Public in itself and in every address hidden inside it."""
        return self.lifts(address) or all(
            inner.is_global and not inner.is_multicast and not inner.is_reserved
            for inner in _layers(address))

    def resolve(self, host: str, port: int) -> list[tuple[Any, ...]]:
        """The host's addresses as getaddrinfo gives them. Raises Blocked, NameResolutionError.

        One forbidden address condemns the name: a mixed answer is how rebinding starts.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for _, _, _, _, target in found:
            if not self.permits(ipaddress.ip_address(str(target[0]).partition("%")[0])):
                raise Blocked(f"{host} is not on the public internet")
        return found

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A socket to one of the host's checked addresses. Raises Blocked and OSError."""
        failure: OSError = OSError("no address")
        for family, kind, protocol, _, target in self.resolve(host, port):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(timeout)
                sock.connect(target)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                failure = error
                continue
            return sock
        raise failure


def _layers(address: _Address) -> list[_Address]:
    """The address, and the IPv4 addresses that IPv6 can carry inside (mapped, 6to4, Teredo, NAT64)."""
    layers: list[_Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        layers += [inner for inner in (address.ipv4_mapped, address.sixtofour) if inner]
        layers += address.teredo or ()
        if address in _NAT64 or address in _COMPATIBLE:
            layers.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return layers


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


class Outbound:
    """A pool of guarded connections; safe to share between threads."""

    def __init__(self, *, allowed_networks: Iterable[str] = (), pool_size: int = 32) -> None:
        self._guard = Guard(allowed_networks)
        self._pools = urllib3.PoolManager(
            num_pools=pool_size, maxsize=pool_size, retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS))
        self._pools.pool_classes_by_scheme = _guarded_pools(self._guard)

    def check_url(self, url: str) -> str:
        """The address as it will be called. Raises Blocked with a reason for who typed it."""
        try:
            parts = urlsplit(url.strip())
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        except ValueError:
            raise Blocked("This is not a complete web address.") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Blocked("The address must start with https:// and name a host.")
        if parts.username is not None or parts.password is not None:
            raise Blocked("The address must not carry a user name or password.")
        if any(char.isspace() or not char.isprintable() for char in url.strip()):
            raise Blocked("The address must not contain spaces or line breaks.")
        if not 1 <= port <= 65535:
            raise Blocked("The port must be between 1 and 65535.")
        self._check_literal(parts.hostname, plain=parts.scheme == "http")
        return url.strip()

    def _check_literal(self, host: str, *, plain: bool) -> None:
        """An address written as such is judged now; a name only when it is called.

        getaddrinfo without look-up also reads 127.1, 0177.0.0.1 and 2130706433 as addresses.
        """
        try:
            found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
        except (socket.gaierror, UnicodeError):
            if plain:
                raise Blocked("Use https://, so that nobody on the way can read it.") from None
            return
        address = ipaddress.ip_address(str(found[0][4][0]).partition("%")[0])
        if not self._guard.permits(address):
            raise Blocked(f"{host} is not on the public internet.")
        if plain and not self._guard.lifts(address):
            raise Blocked("Use https://, so that nobody on the way can read it.")

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """POST; redirects are not followed. Raises OutboundError within TOTAL_SECONDS or so."""
        return self._call("POST", self.check_url(url), body, headers)

    def _call(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Response:
        started = time.monotonic()
        try:
            answer = self._pools.request(
                method, url, body=body, headers={"user-agent": "crc-hub/1", **headers},
                redirect=False, preload_content=False, decode_content=False)
            taken = _bounded(answer, started + TOTAL_SECONDS)
        except HTTPError as error:
            raise _translated(error) from None
        return Response(answer.status, dict(answer.headers), taken)

    def close(self) -> None:
        """Drop every idle connection."""
        self._pools.clear()


def _bounded(answer: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """At most MAX_BODY bytes; a longer or slower body costs the connection, not the worker."""
    taken = b""
    while len(taken) < MAX_BODY:
        if time.monotonic() > until:
            answer.close()
            raise OutboundError("the receiver answered too slowly", permanent=False)
        chunk = answer.read1(_CHUNK)
        if not chunk:
            answer.release_conn()
            return taken
        taken += chunk
    answer.close()
    return taken[:MAX_BODY]


def _translated(error: HTTPError) -> OutboundError:
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OutboundError):
            return cause
        if isinstance(cause, ssl.SSLError | SSLError):
            return OutboundError("the receiver's certificate is not valid", permanent=False)
        if isinstance(cause, socket.gaierror | NameResolutionError):
            return OutboundError("the receiver's name cannot be found", permanent=False)
        if isinstance(cause, ConnectionRefusedError):
            return OutboundError("the receiver refused the connection", permanent=False)
        if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
            return OutboundError("the receiver did not answer in time", permanent=False)
        cause = cause.__cause__ or cause.__context__
    return OutboundError("the connection to the receiver broke", permanent=False)


def _guarded_pools(guard: Guard) -> dict[str, Any]:
    def open_guarded(connection: HTTPConnection) -> socket.socket:
        try:
            return guard.connect(connection._dns_host, connection.port, CONNECT_SECONDS)
        except socket.gaierror as error:
            raise NameResolutionError(connection.host, connection, error) from error
        except OSError as error:
            raise NewConnectionError(connection, "cannot connect") from error

    class GuardedHttp(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return open_guarded(self)

    class GuardedHttps(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return open_guarded(self)

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = GuardedHttp

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = GuardedHttps

    return {"http": HttpPool, "https": HttpsPool}
