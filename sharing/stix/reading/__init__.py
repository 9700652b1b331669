"""Reading STIX that others wrote: parse, check, derive. Nothing here ever changes an object.

The path of an object: bytes (``body``), shape, OASIS schema found by ``type`` in a table
(``schemas``), what the store can hold (``columns``), what schemas cannot say (``rules``), then its
pattern. What survives may be stored.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sharing.stix import patterns as pattern_grammar
from sharing.stix.markings import STATEMENT_IDS, Json, Tlp, strictest, unranked
from sharing.stix.patterns import MAX_PATTERN_CHARS, MAX_PATTERN_COMPARISONS
from sharing.stix.reading import columns, rules, schemas
from sharing.stix.reading.body import MAX_DEPTH, BadJson, deeper_than, parse
from sharing.stix.reading.columns import MAX_ID_CHARS, MAX_TYPE_CHARS
from sharing.stix.reading.identifiers import CONTRIBUTING, SCO_NAMESPACE, sco_id
from sharing.stix.reading.moments import microseconds
from sharing.stix.reading.rules import anothers_id
from sharing.stix.reading.verdict import Problem

__all__ = [
    "MAX_DEPTH",
    "MAX_ID_CHARS",
    "MAX_OBJECT_BYTES",
    "MAX_PATTERN_CHARS",
    "MAX_PATTERN_COMPARISONS",
    "MAX_TYPE_CHARS",
    "SCO_NAMESPACE",
    "SPEC_VERSION",
    "BadJson",
    "Facts",
    "Problem",
    "anothers_id",
    "facts",
    "parse",
    "problems",
    "sco_id",
    "statements",
]

SPEC_VERSION: Final = "2.1"
MAX_OBJECT_BYTES: Final = 1_048_576


@dataclass(frozen=True)
class Facts:
    """The columns derived from one object.

    ``version`` is ``modified``, else ``created``, as written, else empty; ``version_us`` the same
    in microseconds since the epoch, else 0. ``unranked`` is a marking that does not tell the hub
    who may see the object; empty when there is none.
    """

    stix_id: str
    type: str
    version: str
    version_us: int
    spec_version: str
    lacks_spec_version: bool
    created_by_ref: str
    revoked: bool
    tlp: Tlp
    unranked: str = ""


def problems(obj: Any, *, patterns: bool = True) -> list[Problem]:
    """Why ``obj`` cannot be stored; empty when it can. ``patterns`` off leaves patterns unread."""
    for check in (_shape, schemas.problems, columns.problems, rules.problems):
        found = list(check(obj))
        if found:
            return found
    if patterns and obj["type"] == "indicator" and obj["pattern_type"] == "stix":
        return list(_pattern(obj["pattern"]))
    return []


def _pattern(pattern: str) -> Iterator[Problem]:
    if pattern_grammar.is_plain(pattern):
        return
    wrong = pattern_grammar.problem(pattern)
    name = None if wrong else pattern_grammar.misnamed(pattern)
    if wrong:
        yield Problem("bad-pattern", wrong)
    elif name:
        yield Problem("bad-pattern", f"pattern names {name[:60]!r}, which cannot be an object type")


def _shape(obj: Any) -> Iterator[Problem]:
    """The first thing wrong with what the later checks rely on."""
    if not isinstance(obj, dict):
        yield Problem("shape", "an object must be a JSON object")
    elif "type" not in obj:
        yield Problem("shape", "type is missing; say what the object is, such as indicator")
    elif not isinstance(obj.get("type"), str) or len(obj["type"]) > MAX_TYPE_CHARS:
        yield Problem("shape", f"type must be text of at most {MAX_TYPE_CHARS} characters")
    elif obj["type"] == "bundle":
        yield Problem("bundle", "send the objects inside the bundle, not the bundle")
    elif "id" not in obj:
        yield Problem("shape", "id is missing; it is the type, two dashes and a UUID")
    elif not isinstance(obj.get("id"), str) or len(obj["id"]) > MAX_ID_CHARS:
        yield Problem("shape", f"id must be text of at most {MAX_ID_CHARS} characters")
    elif (said := _spec_version(obj)) is None and "spec_version" not in obj:
        yield Problem("spec-version", f'spec_version is missing; add "spec_version": '
                                      f'"{SPEC_VERSION}". STIX 2.0 has none: if the object is '
                                      f"that, convert it and send STIX {SPEC_VERSION}")  # fmt: skip
    elif said != SPEC_VERSION:
        yield Problem("spec-version", f'spec_version must be "{SPEC_VERSION}"; convert the object '
                                      f"and send STIX {SPEC_VERSION}")  # fmt: skip
    else:
        yield from _size(obj)


def _spec_version(obj: Json) -> Any:
    """What the object says; observables may leave it out (3.2)."""
    said = obj.get("spec_version")
    if said is None and (obj["type"] in CONTRIBUTING or schemas.is_custom_observable(obj)):
        return SPEC_VERSION
    return said


def _size(obj: Json) -> Iterator[Problem]:
    try:
        text = orjson.dumps(obj)
    except orjson.JSONEncodeError as error:
        yield Problem("shape", f"the object is not JSON: {error}")
        return
    size = len(text)
    if size > MAX_OBJECT_BYTES:
        yield Problem("too-large", f"the object has {size} bytes, {MAX_OBJECT_BYTES} are allowed")
    # What opens no more lists and objects than that cannot be nested deeper.
    elif text.count(b"{") + text.count(b"[") > MAX_DEPTH and deeper_than(MAX_DEPTH, obj):
        yield Problem("too-deep", f"the object is nested more than {MAX_DEPTH} deep")


def statements(objects: Iterable[Any]) -> frozenset[str]:
    """The statements among what comes together (7.2.1.3): markings that hide nothing."""
    found = (obj for obj in objects if isinstance(obj, dict))
    return frozenset(
        str(obj.get("id"))
        for obj in found
        if obj.get("type") == "marking-definition" and obj.get("definition_type") == "statement"
    )


def facts(obj: Json, *, default_tlp: Tlp, statements: frozenset[str] = frozenset()) -> Facts:
    """The derived columns of an object that has no problems.

    ``default_tlp`` holds where no marking says otherwise; marked parts count for the whole.
    ``statements`` are those that came with it.
    """
    harmless = STATEMENT_IDS | statements if statements else STATEMENT_IDS
    version = _version(obj)
    return Facts(
        stix_id=obj["id"],
        type=obj["type"],
        version=version,
        # Zero says that an object has no versions.
        version_us=(microseconds(version) or 1) if version else 0,
        spec_version=obj.get("spec_version", SPEC_VERSION),
        lacks_spec_version="spec_version" not in obj,
        created_by_ref=obj.get("created_by_ref", ""),
        revoked=obj.get("revoked", False),
        tlp=_tlp(obj, default_tlp, harmless),
        unranked=unranked(rules.marking_refs(obj), harmless),
    )


def _version(obj: Json) -> str:
    """Observables that STIX knows have none (3.2), whatever property of this name they carry."""
    if obj["type"] in CONTRIBUTING:
        return ""
    return str(obj.get("modified") or obj.get("created") or "")


def _tlp(obj: Json, default: Tlp, harmless: frozenset[str]) -> Tlp:
    if obj["id"] in rules.TLP_DEFINITIONS:
        return Tlp.CLEAR  # the same nine everywhere, and they travel with whatever they mark
    whole = strictest(obj.get("object_marking_refs", []), default=default, statements=harmless)
    if "granular_markings" not in obj:
        return whole
    parts = strictest(rules.granular_refs(obj), default=whole, statements=harmless)
    return max(whole, parts, key=lambda tlp: tlp.rank)
