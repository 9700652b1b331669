"""What may stand on a firewall's list: one value of its kind, that an attacker could be at.

A pattern is a member's own text. What is no address, no name or no hash would make a firewall
refuse the whole list; a private network or half the internet on it would stop the port.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from sharing.stix.extract import IndicatorKind
from sharing.stix.internet import is_public, suffixes

# The widest network that one indicator can stand for, by IP version.
WIDEST: Final = {4: 16, 6: 32}
_HOST: Final = re.compile(
    r"(?=.{3,253}$)(?:[^\W.](?:[\w-]{0,61}\w)?|_[\w-]{1,62})(?:\.[\w-]{1,63})+"
)
_SPACE: Final = re.compile(r"\s")
_SCHEMES: Final = frozenset({"http", "https", "ftp", "ftps"})


def is_listable(kind: IndicatorKind, value: str) -> bool:
    """Whether a firewall can do something with this value, and should."""
    return value.isprintable() and not _SPACE.search(value) and _IS[kind](value)


def _address(version: int) -> Callable[[str], bool]:
    def is_one(value: str) -> bool:
        try:
            if "/" not in value:
                address = ipaddress.ip_address(value)
                return address.version == version and "%" not in value and is_public(address)
            network = ipaddress.ip_network(value)
        except ValueError:
            return False
        return (
            network.version == version
            and network.prefixlen >= WIDEST[version]
            and is_public(network.network_address)
            and is_public(network.broadcast_address)
        )

    return is_one


def _domain(value: str) -> bool:
    name = value.lower().rstrip(".")
    # 10.0.0.1 is no name, and under an ending that many share are many.
    named = _HOST.fullmatch(name) and not name.rpartition(".")[2].isdecimal()
    return bool(named) and not suffixes().is_public(name)


def _url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme.lower() in _SCHEMES and bool(parts.hostname)
    except ValueError:
        return False


def _email(value: str) -> bool:
    name, _, host = value.rpartition("@")
    return bool(name) and _HOST.fullmatch(host.lower()) is not None


def _hexadecimal(length: int) -> Callable[[str], bool]:
    digits = re.compile(rf"[0-9A-Fa-f]{{{length}}}")
    return lambda value: digits.fullmatch(value) is not None


_IS: Final[dict[IndicatorKind, Callable[[str], bool]]] = {
    IndicatorKind.IPV4: _address(4),
    IndicatorKind.IPV6: _address(6),
    IndicatorKind.DOMAIN: _domain,
    IndicatorKind.URL: _url,
    IndicatorKind.EMAIL: _email,
    IndicatorKind.MD5: _hexadecimal(32),
    IndicatorKind.SHA1: _hexadecimal(40),
    IndicatorKind.SHA256: _hexadecimal(64),
    IndicatorKind.CVE: lambda value: False,
}
