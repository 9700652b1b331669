"""Which addresses may be called, and what exactly a URL names."""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

from yarl import URL

from crc.outbound import words

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

# Stricter than any URL parser: with no user name, no percent sign and brackets around an IPv6
# address alone, there is nothing left to disagree about where the host ends.
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][\s/?#@:%\\]+)(:[0-9]*)?")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_REMEMBERED = 4096


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


def host_of(url: str) -> str:
    """``host:port`` in lower case, the port always written. Raises Blocked for a malformed URL."""
    parts = _normal(url)
    return f"{parts.host_subcomponent}:{parts.port}"


class Guard:
    """Judges URLs and addresses; ``allowed_networks`` (CIDR) are open even to plain text.

    Raises ValueError for a bad network.
    """

    def __init__(self, allowed_networks: Iterable[str]) -> None:
        self._allowed = [ipaddress.ip_network(network) for network in allowed_networks]
        self.checked = lru_cache(_REMEMBERED)(self._checked)

    def _checked(self, url: str) -> URL:
        """The URL in normal form, if it may be called as far as can be told without a lookup.

        Judged is the very object that is dialled. Raises Blocked.
        """
        parts = _normal(url)
        plain = parts.scheme == "http"
        if plain and not self._allowed:
            raise Blocked(words.HTTPS_ONLY)
        address = _literal(parts.raw_host or "")
        if address is not None:
            self._judge(address, plain)
        return parts

    def judge(self, address: str, *, plain: bool) -> None:
        """Raises Blocked unless the hub may call ``address``, in ``plain`` text or with TLS."""
        self._judge(ipaddress.ip_address(address), plain)

    def _judge(self, address: _Address, plain: bool) -> None:
        address = getattr(address, "ipv4_mapped", None) or address
        if any(address in network for network in self._allowed):
            return
        if address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if any(address in network for network in _CLOSED):
            raise Blocked(words.NOT_PUBLIC)
        if plain:
            raise Blocked(words.TLS_ONLY)


@lru_cache(_REMEMBERED)
def _normal(url: str) -> URL:
    """The URL in normal form, without user name and fragment. Raises Blocked for a malformed one.

    Percent signs stay as typed: a receiver may have signed its query.
    """
    _check_authority(url)
    try:
        typed = URL(url)
        raw = URL(url, encoded=True)
        host = (typed.raw_host or "").removesuffix(".")
        path = _without_dots(_quoted(raw.raw_path))
        query = _quoted(raw.raw_query_string)
    except ValueError:
        raise Blocked(words.NO_URL) from None
    if typed.port == 0:
        raise Blocked(words.NO_PORT)
    if ":" not in host and not _HOST_NAME.fullmatch(host):
        raise Blocked(words.NO_HOST)
    host = f"[{host}]" if ":" in host else host
    port = "" if typed.is_default_port() else f":{typed.port}"
    query = query and f"?{query}"
    return URL(f"{typed.scheme}://{host}{port}{path}{query}", encoded=True)


def _check_authority(url: str) -> None:
    """Raises Blocked unless there can be no two opinions on the URL's host."""
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise Blocked(words.ODD_CHARACTER)
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in {"https", "http"}:
        raise Blocked(words.HTTPS_ONLY)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0].removeprefix("@")
    if "@" in authority:
        raise Blocked(words.USER_NAME)
    if not _AUTHORITY.fullmatch(authority):
        raise Blocked(words.NO_HOST)


def _quoted(text: str) -> str:
    """Percent-encoded where it must be, nowhere else. Raises ValueError for half a surrogate."""
    stray = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)
    return quote(stray, safe="%!$&'()*+,;=:@/?~")


def _without_dots(path: str) -> str:
    """RFC 3986 section 5.2.4: ``.`` and ``..`` taken at their word."""
    segments = path.split("/")[1:] or [""]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


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
        raise Blocked(words.ODD_ADDRESS) from None
