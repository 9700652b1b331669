"""Names and addresses as the registries have them: what is public, what an owner chose."""

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from publicsuffixlist import PublicSuffixList

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Reserved for examples (RFC 2606), which exercises live on, as they do on the networks for
# documentation (RFC 5737, 3849): those are public here.
EXERCISE_ENDINGS: Final = frozenset({"example", "test"})
# The IANA special-purpose registries, written out: ``is_global`` calls multicast and 192.0.0.8
# global, and changes its mind between patch releases. In IPv6 all is closed but 2000::/3.
_SPECIAL_NETWORKS: Final = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 "
    "192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 "
    "192.175.48.0/24 198.18.0.0/15 224.0.0.0/3 "
    "::/3 4000::/2 8000::/1 2001::/23 2002::/16 2620:4f:8000::/48 3fff::/20"
).split()
# What may be an address or a network in running text, and what is put around its dots.
_ADDRESSES: Final = re.compile(r"[0-9a-fA-F:.]{2,45}(?:/\d{1,3})?")
_BRACKETS: Final = re.compile(r"[\[\](){}]")


def _ranges(version: int) -> tuple[list[int], list[int]]:
    """First and last address of each special network of a version; they do not overlap."""
    networks = [
        one for one in map(ipaddress.ip_network, _SPECIAL_NETWORKS) if one.version == version
    ]
    networks.sort(key=lambda one: int(one.network_address))
    return (
        [int(one.network_address) for one in networks],
        [int(one.broadcast_address) for one in networks],
    )


_SPECIAL_RANGES: Final = {version: _ranges(version) for version in (4, 6)}


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an attacker could be at this address, or plays one in an exercise."""
    firsts, lasts = _SPECIAL_RANGES[address.version]
    number = int(address)
    # Asked for every value on every list: a loop over networks took half the time of a post.
    before = bisect_right(firsts, number) - 1
    return before < 0 or number > lasts[before]


@cache
def suffixes() -> PublicSuffixList:
    """The endings under which names are sold, as far as they are known."""
    return PublicSuffixList(accept_unknown=False)


def itself_and_parents(host: str) -> Iterator[str]:
    """``a.b.c``, ``b.c``, ``c``."""
    while host:
        yield host
        host = host.partition(".")[2]


def as_network(text: str) -> Network | None:
    """The network or the single address that a text is; None for anything else."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


class Networks:
    """Networks, found by what lies in them without a look at each."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = set(networks)
        self._lengths = {(one.version, one.prefixlen) for one in self._networks}

    def around(self, inner: Network) -> Iterator[Network]:
        """Those that a network, or an address, is or lies in."""
        for version, length in self._lengths:
            if version == inner.version and length <= inner.prefixlen:
                wider = inner.supernet(new_prefix=length)
                if wider in self._networks:
                    yield wider

    def touching(self, network: Network) -> Iterator[Network]:
        """Those around it, and those within it."""
        yield from self.around(network)
        if network.num_addresses > 1:
            yield from (
                one
                for one in self._networks
                if one.version == network.version
                and one.prefixlen > network.prefixlen
                and one.overlaps(network)
            )


class Names:
    """Domains, addresses and networks that belong to somebody."""

    def __init__(self, names: Iterable[str]) -> None:
        self._hosts = frozenset(names)
        self._networks = Networks(net for name in self._hosts if (net := as_network(name)))
        self._spelled = {net: name for name in self._hosts if (net := as_network(name))}

    def holding(self, host: str) -> str:
        """The name that a host is, lies below or lies in; empty when there is none."""
        address = as_network(host)
        if address:
            return next((self._spelled[net] for net in self._networks.around(address)), "")
        return next((name for name in itself_and_parents(host) if name in self._hosts), "")

    def said_in(self, text: str) -> list[str]:
        """The networks of which an address, or a part, stands in a text."""
        if not self._spelled:
            return []
        plain = (word.rstrip(".:") for word in _ADDRESSES.findall(_BRACKETS.sub("", text)))
        said = [net for word in plain if (net := as_network(word))]
        return sorted({self._spelled[net] for one in said for net in self._networks.touching(one)})


def own_label(domain: str) -> str:
    """What its owner chose of a domain: ``northquay`` of ``soc.northquay.co.jp``."""
    registered = suffixes().privatesuffix(domain) or ".".join(domain.split(".")[-2:])
    return registered.partition(".")[0]
