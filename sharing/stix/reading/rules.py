"""What STIX demands of an object and its schema cannot say. Rules run on objects that fit."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sharing.stix.markings import (
    EXTENSION_ID,
    MARKING_IDS,
    STATEMENT_IDS,
    Json,
    definition,
)
from sharing.stix.reading import languages, references, times
from sharing.stix.reading.identifiers import CONTRIBUTING, sco_id
from sharing.stix.reading.verdict import Problem

Rule = Callable[[Json], Iterator[Problem]]
_SHOWN_CHARS: Final = 80


def problems(obj: Json) -> Iterator[Problem]:
    """Every rule of STIX or of the hub that ``obj`` breaks."""
    for rule in _rules_for(obj["type"]):
        yield from rule(obj)


# Deterministic ids (2.9).

_UUID_VERSION: Final = -22


def _deterministic_id(obj: Json) -> Iterator[Problem]:
    if obj["id"][_UUID_VERSION] == "5" and sco_id(obj) is None:
        yield Problem("bad-sco-id", "id must be a UUIDv4: nothing in this object identifies it")


def anothers_id(obj: Json) -> str:
    """Why an id may be that of another object or value; empty when it may not.

    Readers may take one UUID in two spellings for one. And 2.9 lets a producer make UUIDv5 ids in a
    namespace of its own: from here they look the same as an id that belongs to another value, under
    which readers would find this one.
    """
    for name in ("id", "created_by_ref"):
        if (said := obj.get(name, "")) != said.lower():
            return f"{name}: write the UUID in lower case (RFC 9562, 4): {said.lower()}"
    if obj["type"] not in CONTRIBUTING or obj["id"][_UUID_VERSION] != "5":
        return ""
    expected = sco_id(obj)
    if expected in {None, obj["id"].lower()}:
        return ""
    return f"id does not follow from the value; send {expected} or a UUIDv4"


# Markings.

_TLP1: Final = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "white",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
}
_TLP2: Final = {marking: definition(tlp) for tlp, marking in MARKING_IDS.items()}
TLP_DEFINITIONS: Final = frozenset({*_TLP1, *_TLP2})


def granular_refs(obj: Json) -> list[str]:
    """The markings of parts of an object. The hub applies them to the whole of it."""
    return [part["marking_ref"] for part in obj.get("granular_markings", ())]


def marking_refs(obj: Json) -> list[str]:
    """The markings of an object and of its parts."""
    return [*obj.get("object_marking_refs", ()), *granular_refs(obj)]


def _markings(obj: Json) -> Iterator[Problem]:
    refs = marking_refs(obj)
    if not refs:
        return
    if obj["id"] in refs:
        yield Problem("bad-reference", "a marking must not mark itself")
    for part in obj.get("granular_markings", ()):
        for selector in part["selectors"]:
            if not _selects(obj, selector):
                yield Problem("bad-selector", "granular_markings selects what is not there: "
                                              f"{selector[:_SHOWN_CHARS]!r}")  # fmt: skip


def _selects(obj: Any, selector: str) -> bool:
    for step in selector.split("."):
        if isinstance(obj, dict) and step in obj:
            obj = obj[step]
        elif isinstance(obj, list) and step[1:-1].isdecimal() and len(step) <= len("[99999]"):
            index = int(step[1:-1])
            if index >= len(obj):
                return False
            obj = obj[index]
        else:
            return False
    return True


def _tlp_definition(obj: Json) -> Iterator[Problem]:
    """The nine TLP markings are fixed (7.2.1.4 and the TLP 2.0 extension): nobody redefines one.

    Nor does anybody turn a published statement into something else.
    """
    marking = obj["id"]
    given = _extension(obj, EXTENSION_ID)
    if marking in _TLP2 or given:
        fixed = _TLP2.get(marking, {})
        same = fixed and all(obj.get(name) == fixed[name] for name in ("name", "extensions"))
        if not same or "definition" in obj:
            yield Problem("unknown-marking", "a TLP 2.0 marking must have the id, name and "
                                             "extension that OASIS published")  # fmt: skip
    elif marking in _TLP1 and obj.get("definition") != {"tlp": _TLP1[marking]}:
        yield Problem("unknown-marking", "id is that of a TLP 1.0 marking, the definition is not")
    elif marking in STATEMENT_IDS and obj.get("definition_type") != "statement":
        yield Problem("unknown-marking", "id is that of a published statement, this is none")


# Extensions the hub itself reads.

_INCIDENT_CORE: Final = "extension-definition--ef765651-680c-498d-9894-99799f2fa126"
_LARGEST_SCORE: Final = 100


def _incident(obj: Json) -> Iterator[Problem]:
    """Only what every draft of the incident extension shares: there are three under one id."""
    core = _extension(obj, _INCIDENT_CORE)
    for name in ("determination", "investigation_status", "recoverability"):
        if not isinstance(core.get(name, ""), str):
            yield Problem("bad-extension", f"{name} in the incident extension must be text")
    criticality = core.get("criticality", 0)
    if type(criticality) is not int or not 0 <= criticality <= _LARGEST_SCORE:
        yield Problem("bad-extension", "criticality in the incident extension must be a whole "
                                       f"number from 0 to {_LARGEST_SCORE}")  # fmt: skip


def _extension(obj: Json, name: str) -> Json:
    found: Json = obj.get("extensions", {}).get(name, {})
    return found


_FOR_ALL: Final[tuple[Rule, ...]] = (
    times.problems,
    references.problems,
    languages.problems,
    _markings,
)
_FOR_TYPE: Final[Mapping[str, tuple[Rule, ...]]] = {
    **dict.fromkeys(CONTRIBUTING, (_deterministic_id,)),
    "marking-definition": (_tlp_definition,),
    "incident": (_incident,),
}


def _rules_for(kind: str) -> tuple[Rule, ...]:
    return _FOR_ALL + _FOR_TYPE.get(kind, ())
