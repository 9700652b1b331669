"""STIX for the black-box tests, and what C1 holds."""

import itertools
import uuid
from typing import Any

from sharing.stix import reading
from sharing.stix.markings import MARKING_IDS, Json, Tlp

FIRST = "2026-01-01T00:00:00.000Z"
SECOND = "2026-01-02T00:00:00.000Z"
THIRD = "2026-01-03T00:00:00.000Z"
JAPANESE = "港湾ターミナルのランサムウェア 𠮷野家 🚢"
_numbers = itertools.count(1)


def indicator(**properties: Any) -> Json:
    """A valid indicator nobody has seen yet."""
    number = next(_numbers)
    address = f"198.51.{number // 250 % 250}.{number % 250}"
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{uuid.uuid4()}",
        "created": FIRST,
        "modified": FIRST,
        "name": f"Address {number}",
        "indicator_types": ["malicious-activity"],
        "pattern": f"[ipv4-addr:value = '{address}']",
        "pattern_type": "stix",
        "valid_from": FIRST,
        "object_marking_refs": [MARKING_IDS[Tlp.GREEN]],
        **properties,
    }


def malware(**properties: Any) -> Json:
    """A valid malware object."""
    return {
        "type": "malware",
        "spec_version": "2.1",
        "id": f"malware--{uuid.uuid4()}",
        "created": FIRST,
        "modified": FIRST,
        "name": "Dark Tide",
        "is_family": True,
        "object_marking_refs": [MARKING_IDS[Tlp.GREEN]],
        **properties,
    }


def observable(value: str = "quay.example") -> Json:
    """A domain name that says nothing but itself: no version, no spec_version."""
    made = {"type": "domain-name", "value": value}
    return {**made, "id": reading.sco_id(made)}


def statement() -> Json:
    """A marking-definition: created, never modified."""
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": f"marking-definition--{uuid.uuid4()}",
        "created": FIRST,
        "definition_type": "statement",
        "definition": {"statement": "Copyright of the quay"},
    }


def later(obj: Json, modified: str = SECOND, **properties: Any) -> Json:
    """Another version of an object."""
    return {**obj, "modified": modified, **properties}


def seed(hub: Any) -> None:
    """Fill C1 with 30 objects: three versions of one, a revoked one, every odd kind."""
    versioned, revoked = indicator(), indicator()
    japanese = malware(name=JAPANESE, description=JAPANESE)
    scattered = [indicator() for _ in range(24)]
    hub.store("C1", versioned, revoked, *scattered[:12])
    hub.store("C1", later(versioned), japanese, observable(), statement())
    hub.store("C1", *scattered[12:])
    hub.store("C1", later(versioned, THIRD), later(revoked, revoked=True))
    hub.seeded = {
        "versioned": versioned["id"],
        "revoked": revoked["id"],
        "japanese": japanese,
        "observable": observable(),
        "indicators": [obj["id"] for obj in scattered],
    }
