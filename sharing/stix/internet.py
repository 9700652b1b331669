"""Names and addresses as the registries have them: what is public, what an owner chose."""

import ipaddress
from collections.abc import Iterator
from functools import cache
from typing import Final

from publicsuffixlist import PublicSuffixList

# Reserved for examples (RFC 2606), which exercises live on.
EXERCISE_ENDINGS: Final = frozenset({"example", "test"})
_EXERCISE_NETWORKS: Final = tuple(
    map(
        ipaddress.ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    )
)
# The IANA special-purpose registries, written out: ``is_global`` calls multicast and 192.0.0.8
# global, and changes its mind between patch releases. In IPv6 all is closed but 2000::/3.
_SPECIAL_NETWORKS: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 "
            "192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 "
            "192.175.48.0/24 198.18.0.0/15 224.0.0.0/3 "
            "::/3 4000::/2 8000::/1 2001::/23 2002::/16 2620:4f:8000::/48 3fff::/20"
        ).split(),
    )
)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an attacker could be at this address, or plays one in an exercise."""
    if any(address.version == net.version and address in net for net in _EXERCISE_NETWORKS):
        return True
    return address.is_global and not any(
        address.version == net.version and address in net for net in _SPECIAL_NETWORKS
    )


@cache
def suffixes() -> PublicSuffixList:
    """The endings under which names are sold, as far as they are known."""
    return PublicSuffixList(accept_unknown=False)


def itself_and_parents(host: str) -> Iterator[str]:
    """``a.b.c``, ``b.c``, ``c``."""
    while host:
        yield host
        host = host.partition(".")[2]


def own_label(domain: str) -> str:
    """What its owner chose of a domain: ``northquay`` of ``soc.northquay.co.jp``."""
    registered = suffixes().privatesuffix(domain) or ".".join(domain.split(".")[-2:])
    return registered.partition(".")[0]
