"""What each reference may name. A type STIX does not know may be of either kind."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from sharing.stix.markings import Json
from sharing.stix.reading.identifiers import CONTRIBUTING
from sharing.stix.reading.verdict import Problem

_SHOWN_CHARS: Final = 80
# No id is longer, and what is remembered must stay small.
_ID_CHARS: Final = 300
_REMEMBERED: Final = 8_192
_ID: Final = re.compile(
    r"([a-z][a-z0-9-]+[a-z0-9])"
    r"--[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    re.IGNORECASE,
)
_RELATIONSHIPS: Final = frozenset({"relationship", "sighting"})
_META: Final = frozenset({"marking-definition", "language-content", "extension-definition"})
_DOMAIN: Final = frozenset(
    {
        "attack-pattern", "campaign", "course-of-action", "grouping", "identity", "incident",
        "indicator", "infrastructure", "intrusion-set", "location", "malware", "malware-analysis",
        "note", "observed-data", "opinion", "report", "threat-actor", "tool", "vulnerability",
    }
)  # fmt: skip
_NOT_LINKED: Final = _RELATIONSHIPS | _META | {"bundle"}


class _Only(frozenset[str]):
    """The types a reference may name."""


class _AnyBut(frozenset[str]):
    """The types a reference may not name."""


_SDO: Final = _AnyBut(_NOT_LINKED | CONTRIBUTING.keys())
_SCO: Final = _AnyBut(_NOT_LINKED | _DOMAIN)
_ENDS: Final = _Only({"ipv4-addr", "ipv6-addr", "mac-addr", "domain-name"})
_ADDRESSES: Final = _Only({"email-addr"})
_SOFTWARE: Final = _Only({"software"})
_ARTIFACT: Final = _Only({"artifact"})
_TRAFFIC: Final = _Only({"network-traffic"})
_FILE: Final = _Only({"file"})
_PROCESS: Final = _Only({"process"})
_ACCOUNT: Final = _Only({"user-account"})

_NAMES: Final[Mapping[str, Mapping[str, _Only | _AnyBut]]] = {
    "": {
        "created_by_ref": _Only({"identity"}),
        "object_marking_refs": _Only({"marking-definition"}),
    },
    "sighting": {
        "sighting_of_ref": _SDO,
        "observed_data_refs": _Only({"observed-data"}),
        "where_sighted_refs": _Only({"identity", "location"}),
    },
    "relationship": {"source_ref": _AnyBut(_NOT_LINKED), "target_ref": _AnyBut(_NOT_LINKED)},
    "observed-data": {"object_refs": _AnyBut(_DOMAIN | _META | {"bundle"})},
    "malware": {"operating_system_refs": _SOFTWARE, "sample_refs": _Only({"file", "artifact"})},
    "malware-analysis": {
        "host_vm_ref": _SOFTWARE,
        "operating_system_ref": _SOFTWARE,
        "installed_software_refs": _SOFTWARE,
        "analysis_sco_refs": _SCO,
        "sample_ref": _Only({"file", "artifact", "network-traffic"}),
    },
    "directory": {"contains_refs": _Only({"file", "directory"})},
    "domain-name": {"resolves_to_refs": _Only({"ipv4-addr", "ipv6-addr", "domain-name"})},
    "email-addr": {"belongs_to_ref": _ACCOUNT},
    "email-message": {
        "from_ref": _ADDRESSES,
        "sender_ref": _ADDRESSES,
        "to_refs": _ADDRESSES,
        "cc_refs": _ADDRESSES,
        "bcc_refs": _ADDRESSES,
        "raw_email_ref": _ARTIFACT,
    },
    "file": {
        "parent_directory_ref": _Only({"directory"}),
        "contains_refs": _SCO,
        "content_ref": _ARTIFACT,
    },
    "ipv4-addr": {
        "resolves_to_refs": _Only({"mac-addr"}),
        "belongs_to_refs": _Only({"autonomous-system"}),
    },
    "ipv6-addr": {
        "resolves_to_refs": _Only({"mac-addr"}),
        "belongs_to_refs": _Only({"autonomous-system"}),
    },
    "network-traffic": {
        "src_ref": _ENDS,
        "dst_ref": _ENDS,
        "src_payload_ref": _ARTIFACT,
        "dst_payload_ref": _ARTIFACT,
        "encapsulates_refs": _TRAFFIC,
        "encapsulated_by_ref": _TRAFFIC,
    },
    "process": {
        "opened_connection_refs": _TRAFFIC,
        "creator_user_ref": _ACCOUNT,
        "image_ref": _FILE,
        "parent_ref": _PROCESS,
        "child_refs": _PROCESS,
    },
    "windows-registry-key": {"creator_user_ref": _ACCOUNT},
}


def problems(obj: Json) -> Iterator[Problem]:
    """References to a type STIX does not allow there, or to nothing at all."""
    kind = obj["type"]
    if not obj["id"].startswith(f"{kind}--"):
        yield Problem("bad-id", f"id must start with {kind}--")
    for table in (_NAMES[""], _NAMES.get(kind, {})):
        for name, allowed in table.items():
            if name in obj:
                yield from _misdirected(name, obj[name], allowed)


def _misdirected(name: str, value: Any, allowed: _Only | _AnyBut) -> Iterator[Problem]:
    for ref in value if isinstance(value, list) else [value]:
        named = _named(ref) if isinstance(ref, str) and len(ref) <= _ID_CHARS else None
        if not named:
            yield Problem("bad-reference", f"{name} must hold ids, not {str(ref)[:_SHOWN_CHARS]!r}")
        elif (named in allowed) is isinstance(allowed, _AnyBut):
            yield Problem("bad-reference", f"{name} must not name a {named[:_SHOWN_CHARS]}"
                                           f"{_instead(allowed)}")  # fmt: skip


@lru_cache(maxsize=_REMEMBERED)
def _named(ref: str) -> str | None:
    """The type an id is of. Sightings name the same few things again and again."""
    found = _ID.fullmatch(ref)
    return found[1] if found else None


def _instead(allowed: Iterable[str]) -> str:
    return f", only {' or '.join(sorted(allowed))}" if isinstance(allowed, _Only) else ""
