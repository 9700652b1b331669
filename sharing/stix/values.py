"""The plain values inside simple indicator patterns, for lists and for corroboration; and the same
values as observables carry them."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sharing.stix.extract import IndicatorKind
from sharing.stix.listable import is_listable
from sharing.stix.markings import Json
from sharing.stix.reading.moments import instant

_KIND_BY_PATH: Final = {
    "ipv4-addr:value": IndicatorKind.IPV4,
    "ipv6-addr:value": IndicatorKind.IPV6,
    "domain-name:value": IndicatorKind.DOMAIN,
    "url:value": IndicatorKind.URL,
    "email-addr:value": IndicatorKind.EMAIL,
    "file:hashes.MD5": IndicatorKind.MD5,
    "file:hashes.'MD5'": IndicatorKind.MD5,
    "file:hashes.'SHA-1'": IndicatorKind.SHA1,
    "file:hashes.'SHA-256'": IndicatorKind.SHA256,
}
# A comparison of equality with one string literal. A pattern that is anything more than such
# comparisons joined by OR says more than a list of values can, and yields none.
_TERM: Final = r"([a-z0-9-]+:[A-Za-z0-9_.'-]+)\s*=\s*'((?:[^'\\]|\\.)*)'"
_COMPARISON: Final = re.compile(_TERM)
_LISTABLE: Final = re.compile(rf"\[\s*{_TERM}(?:\s+OR\s+{_TERM})*\s*\]")
_ESCAPED: Final = re.compile(r"\\(.)")
_MAX_PATTERN: Final = 10_000
MAX_VALUE: Final = 2048


@dataclass(frozen=True)
class PlainValue:
    """One value with the window in which its indicator holds."""

    kind: IndicatorKind
    value: str
    valid_from: datetime
    valid_until: datetime | None

    @property
    def key(self) -> str:
        """See key_of."""
        return key_of(self.kind, self.value)


def plain_values(obj: Json) -> list[PlainValue]:
    """The values of an indicator whose pattern is ``[path = 'value']``, or several joined by OR."""
    if obj["type"] != "indicator" or obj.get("pattern_type") != "stix":
        return []
    found = [
        (kind, value)
        for path, value in _comparisons(obj.get("pattern", "").strip())
        if (kind := _KIND_BY_PATH.get(path)) and len(value) <= MAX_VALUE
    ]
    found = [(kind, value) for kind, value in found if is_listable(kind, value)]
    if not found:
        return []
    since, until = instant(obj["valid_from"]), obj.get("valid_until")
    end = instant(until) if until else None
    return [PlainValue(kind, value, since, end) for kind, value in found]


def _comparisons(pattern: str) -> list[tuple[str, str]]:
    """Path and value of each comparison of a listable pattern; none of any other."""
    found = _LISTABLE.fullmatch(pattern) if len(pattern) <= _MAX_PATTERN else None
    if not found:
        return []
    if found[3] is None:  # the usual one comparison
        return [(found[1], _plain(found[2]))]
    return [(term[1], _plain(term[2])) for term in _COMPARISON.finditer(pattern)]


def _plain(escaped: str) -> str:
    return _ESCAPED.sub(r"\1", escaped) if "\\" in escaped else escaped


_KIND_BY_TYPE: Final = {
    "ipv4-addr": IndicatorKind.IPV4,
    "ipv6-addr": IndicatorKind.IPV6,
    "domain-name": IndicatorKind.DOMAIN,
    "url": IndicatorKind.URL,
    "email-addr": IndicatorKind.EMAIL,
}
# The strongest first.
_KIND_BY_HASH: Final = {
    "SHA-256": IndicatorKind.SHA256,
    "SHA-1": IndicatorKind.SHA1,
    "MD5": IndicatorKind.MD5,
}


def key_of(kind: str, value: str) -> str:
    """A value's name in 64 characters: it fits an index, and shows nobody what the value is.

    Only in an address does the case of letters matter.
    """
    said = value if kind == IndicatorKind.URL else value.lower()
    return hashlib.sha256(f"{kind}:{said}".encode()).hexdigest()


def observable_keys(obj: Json) -> list[str]:
    """The keys of an observable's value; of a file those of its hashes, the strongest first."""
    kind = _KIND_BY_TYPE.get(obj["type"])
    if kind:
        return [key_of(kind, obj["value"])]
    hashes = obj.get("hashes", {}) if obj["type"] == "file" else {}
    return [key_of(kind, hashes[name]) for name, kind in _KIND_BY_HASH.items() if name in hashes]
