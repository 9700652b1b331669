"""Addresses and names that everybody's work depends on, so that blocking one hits the port itself.

The list is ``wellknown.toml`` beside this file, which says where it comes from.
"""

import ipaddress
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sharing.stix.extract import IndicatorKind, host_of
from sharing.stix.internet import itself_and_parents

_LIST: Final = Path(__file__).with_name("wellknown.toml")


class _Below(StrEnum):
    """What a listed name says about what is in it; see the list's own head."""

    HELD = "held"
    JUDGED = "judged"
    FREE = "free"


@dataclass(frozen=True)
class _Listed:
    reason: str
    below: _Below


def known_as(kind: IndicatorKind, value: str) -> str:
    """What everybody knows this value as, such as "a public DNS service"; empty for any other."""
    host = host_of(kind, value)
    nearest = next((name for name in itself_and_parents(host) if name in _listed()), "")
    if not nearest:
        return ""
    found = _listed()[nearest]
    if found.below is _Below.FREE and host != nearest:
        return ""
    if found.below is not _Below.HELD and _is_somebodys_own(kind, value):
        return ""
    return found.reason


def reasons() -> list[str]:
    """All that ``known_as`` may say."""
    return sorted({listed.reason for listed in _listed().values()})


def is_open_to_anybody(domain: str) -> bool:
    """Whether what is in a listed domain belongs to whoever made it, as in a mail service's."""
    return domain in _listed() and _listed()[domain].below is not _Below.HELD


def _is_somebodys_own(kind: IndicatorKind, value: str) -> bool:
    if kind is IndicatorKind.URL:
        parts = urlsplit(value)
        return bool(parts.path.strip("/") or parts.query)
    return kind is IndicatorKind.EMAIL


@cache
def _listed() -> dict[str, _Listed]:
    return dict(_entries())


def _entries() -> Iterator[tuple[str, _Listed]]:
    for group in tomllib.loads(_LIST.read_text("utf-8"))["group"]:
        listed = _Listed(group["reason"], _Below(group["below"]))
        for value in group["values"].split():
            yield _as_read(value), listed


def _as_read(value: str) -> str:
    """Addresses in the spelling that the extractor gives them."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value
