"""Reading STIX that others wrote: parse, check, derive. Nothing here ever changes an object.

Order as in the ingest path: bytes, shape, OASIS schema (found by ``type`` in a table, so that no
expression runs over the whole of it), then the rules that schemas cannot say, then patterns.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import orjson

from sharing.stix import patterns
from sharing.stix.markings import EXTENSION_ID, MARKING_IDS, Json, Tlp, UnknownMarking, strictest

MAX_OBJECT_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 32
MAX_TYPE_CHARS: Final = 250
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SCO_NAMESPACE: Final = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")

# STIX 2.1 chapter 6, "ID contributing properties".
_CONTRIBUTING: Final[dict[str, tuple[str, ...]]] = {
    "artifact": ("hashes", "payload_bin"),
    "autonomous-system": ("number",),
    "directory": ("path",),
    "domain-name": ("value",),
    "email-addr": ("value",),
    "email-message": ("from_ref", "subject", "body"),
    "file": ("hashes", "name", "extensions", "parent_directory_ref"),
    "ipv4-addr": ("value",),
    "ipv6-addr": ("value",),
    "mac-addr": ("value",),
    "mutex": ("name",),
    "network-traffic": (
        "start",
        "end",
        "src_ref",
        "dst_ref",
        "src_port",
        "dst_port",
        "protocols",
        "extensions",
    ),
    "process": (),
    "software": ("name", "cpe", "swid", "vendor", "version"),
    "url": ("value",),
    "user-account": ("account_type", "user_id", "account_login"),
    "windows-registry-key": ("key", "values"),
    "x509-certificate": ("hashes", "serial_number"),
}
_TLP2_IDS: Final = {tlp.value.lower(): marking for tlp, marking in MARKING_IDS.items()}
_HASH_ORDER: Final = ("MD5", "SHA-1", "SHA-256", "SHA-512")
_NOT_SDO: Final = frozenset(
    {
        *_CONTRIBUTING,
        "relationship",
        "sighting",
        "marking-definition",
        "language-content",
        "extension-definition",
        "bundle",
    }
)
# Pairs in which the second, when present, must not be earlier (True: must be later).
_IN_ORDER: Final = (
    ("created", "modified", False),
    ("first_seen", "last_seen", False),
    ("first_observed", "last_observed", False),
    ("start_time", "stop_time", False),
    ("valid_from", "valid_until", True),
)


class BadJson(ValueError):
    """Bytes that are not JSON the hub can keep; the message says why."""


@dataclass(frozen=True)
class Problem:
    """Why an object cannot be stored: a slug for machines, words for its sender."""

    slug: str
    message: str


@dataclass(frozen=True)
class Facts:
    """The columns derived from one object. ``version_us`` is 0 for objects without versions."""

    stix_id: str
    type: str
    version: str
    version_us: int
    spec_version: str
    created_by_ref: str
    revoked: bool
    tlp: Tlp


def parse(body: bytes) -> Any:
    """The JSON value of ``body``. Raises BadJson, also for repeated keys, which JSON parsers read
    differently, so that a check here could pass what a consumer reads otherwise."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadJson(f"not JSON: {error}") from None
    if _depth_exceeds(value, MAX_DEPTH):
        raise BadJson(f"nested more than {MAX_DEPTH} deep")
    # Without repeated keys the compact form has as many colons as came in.
    if body.count(b'":') + body.count(b'" :') != orjson.dumps(value).count(b'":'):
        _refuse_repeated_keys(body)
    return value


def _depth_exceeds(value: Any, limit: int) -> bool:
    layer = [value]
    for _ in range(limit):
        layer = [
            child
            for node in layer
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not layer:
            return False
    return True


def _refuse_repeated_keys(body: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise BadJson(f"the key {twice[:60]!r} appears twice in one object")
        return made

    json.loads(body, object_pairs_hook=unique)


def problems(obj: Any, *, check_patterns: bool = True) -> list[Problem]:
    """Why ``obj`` cannot be stored; empty when it can."""
    shape = _shape(obj)
    if shape:
        return [shape]
    found = list(_schema(obj))
    if found:
        return found
    for rule in _RULES:
        found.extend(rule(obj))
    if not found and check_patterns and obj.get("pattern_type") == "stix":
        wrong = patterns.problem(obj["pattern"])
        if wrong:
            found.append(Problem("bad-pattern", wrong))
    return found


def _shape(obj: Any) -> Problem | None:
    if not isinstance(obj, dict):
        return Problem("shape", "each object must be a JSON object")
    kind = obj.get("type")
    if not isinstance(kind, str) or not 3 <= len(kind) <= MAX_TYPE_CHARS:
        return Problem("shape", f"type must be a text of 3 to {MAX_TYPE_CHARS} characters")
    if not isinstance(obj.get("id"), str):
        return Problem("shape", "id is missing")
    if kind == "bundle":
        return Problem("shape", "send the objects of a bundle, not the bundle")
    spec = obj.get("spec_version", "2.1" if kind in _CONTRIBUTING else None)
    if spec != "2.1":
        return Problem("spec-version", 'spec_version must be "2.1"; convert STIX 2.0 first')
    if len(orjson.dumps(obj)) > MAX_OBJECT_BYTES:
        return Problem("too-large", f"the object is larger than {MAX_OBJECT_BYTES} bytes")
    return None


def _schema(obj: Json) -> Iterator[Problem]:
    validator = _validator(obj["type"] if obj["type"] in _schema_files() else "")
    if validator.is_valid(obj):
        return
    for error in list(validator.iter_errors(obj))[:5]:
        where = ".".join(str(step) for step in error.instance_path) or "object"
        yield Problem("schema", f"{where}: {error.message[:200]}")


@cache
def _schema_root() -> Path:
    """Where the stix2-validator package keeps the schemas; importing it would cost a second."""
    found = find_spec("stix2validator")
    assert found is not None  # noqa: S101 - a declared dependency
    assert found.origin is not None  # noqa: S101
    return Path(found.origin).parent / "schemas-2.1" / "schemas"


@cache
def _schema_files() -> dict[str, Path]:
    """The OASIS schema of each type, as shipped in the stix2-validator package."""
    root = _schema_root()
    folders = ("sdos", "sros", "observables", "common")
    files = {path.stem: path for folder in folders for path in (root / folder).glob("*.json")}
    known = {*_CONTRIBUTING, "marking-definition", "language-content", "extension-definition"}
    return {
        name: path for name, path in files.items() if path.parent.name != "common" or name in known
    }


@cache
def _validator(kind: str) -> jsonschema_rs.Draft202012Validator:
    """The compiled schema of one type; for types STIX does not know, the core properties'."""
    root = _schema_root()
    path = _schema_files()[kind] if kind else root / "common" / "core.json"
    return jsonschema_rs.Draft202012Validator(orjson.loads(path.read_bytes()), registry=_registry())


@cache
def _registry() -> jsonschema_rs.Registry:
    """Every OASIS schema under its own address, so that none is ever fetched."""
    root = _schema_root()
    schemas = [orjson.loads(path.read_bytes()) for path in root.rglob("*.json")]
    return jsonschema_rs.Registry([(schema["$id"], schema) for schema in schemas])


def _times(obj: Json) -> Iterator[Problem]:
    for earlier, later, strictly in _IN_ORDER:
        if not isinstance(obj.get(earlier), str) or not isinstance(obj.get(later), str):
            continue
        first, second = _micros(obj[earlier]), _micros(obj[later])
        if first is None or second is None:
            yield Problem("bad-time", f"{earlier} or {later} is not a real point in time")
        elif second < first or (strictly and second == first):
            yield Problem(
                f"{later}-before-{earlier}".replace("_", "-"),
                f"{later} must {'be later than' if strictly else 'not be before'} {earlier}",
            )


def _micros(text: str) -> int | None:
    """Microseconds since the epoch; digits beyond microseconds are cut off."""
    head, dot, fraction = text.removesuffix("Z").partition(".")
    try:
        moment = datetime.fromisoformat(f"{head}{dot}{fraction[:6].ljust(6, '0') if dot else ''}Z")
        return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def _references(obj: Json) -> Iterator[Problem]:
    if not str(obj.get("created_by_ref", "identity--")).startswith("identity--"):
        yield Problem("bad-reference", "created_by_ref must name an identity")
    for ref in obj.get("object_marking_refs", []):
        if not str(ref).startswith("marking-definition--"):
            yield Problem("bad-reference", "object_marking_refs must name marking definitions")
    if obj["type"] == "sighting":
        if str(obj["sighting_of_ref"]).partition("--")[0] in _NOT_SDO:
            yield Problem("bad-reference", "sighting_of_ref must name a domain object")
        for ref in obj.get("observed_data_refs", []):
            if not str(ref).startswith("observed-data--"):
                yield Problem("bad-reference", "observed_data_refs must name observed data")
    if not obj["id"].startswith(f"{obj['type']}--"):
        yield Problem("bad-id", f"the id must start with {obj['type']}--")


def _deterministic_id(obj: Json) -> Iterator[Problem]:
    if obj["type"] in _CONTRIBUTING and obj["id"][-22:-21] == "5":
        expected = sco_id(obj)
        if expected and expected != obj["id"] and not isinstance(obj.get("hashes"), dict):
            yield Problem("bad-sco-id", f"the id does not fit the value; it should be {expected}")


def _markings(obj: Json) -> Iterator[Problem]:
    try:
        strictest(obj.get("object_marking_refs", []), default=Tlp.CLEAR)
    except UnknownMarking as unknown:
        yield Problem(
            "unknown-marking", f"{unknown}; mark it with TLP, so that the hub knows who may see it"
        )
    if "granular_markings" in obj:
        yield Problem("unknown-marking", "granular markings cannot be honoured; mark the object")
    if obj["type"] == "marking-definition":
        level = obj.get("extensions", {}).get(EXTENSION_ID, {}).get("tlp_2_0")
        if level and obj["id"] != _TLP2_IDS.get(str(level)):
            yield Problem("unknown-marking", "this is not the id of that TLP 2.0 level")


_RULES: Final[tuple[Callable[[Json], Iterator[Problem]], ...]] = (
    _times,
    _references,
    _deterministic_id,
    _markings,
)


def facts(obj: Json, *, default_tlp: Tlp) -> Facts:
    """The derived columns of an object that has no problems."""
    version = obj.get("modified", "")
    return Facts(
        stix_id=obj["id"],
        type=obj["type"],
        version=version or obj.get("created", ""),
        version_us=(_micros(version) or 0) if version else 0,
        spec_version=obj.get("spec_version", "2.1"),
        created_by_ref=obj.get("created_by_ref", ""),
        revoked=obj.get("revoked", False),
        # A TLP definition is marked by nothing and says nothing: anyone may see it.
        tlp=Tlp.CLEAR
        if obj["type"] in {"marking-definition", "extension-definition"}
        else strictest(obj.get("object_marking_refs", []), default=default_tlp),
    )


def sco_id(obj: Json) -> str | None:
    """The deterministic id (2.9): UUIDv5 over the RFC 8785 form of the contributing properties."""
    given = {name: obj[name] for name in _CONTRIBUTING.get(obj["type"], ()) if name in obj}
    if not given:
        return None
    if isinstance(given.get("hashes"), dict):
        chosen = next((name for name in _HASH_ORDER if name in given["hashes"]), None)
        given["hashes"] = {chosen: given["hashes"][chosen]} if chosen else given["hashes"]
    # orjson with sorted keys is RFC 8785 for what occurs here: text, small integers, no fractions.
    canonical = orjson.dumps(given, option=orjson.OPT_SORT_KEYS).decode()
    return f"{obj['type']}--{uuid.uuid5(SCO_NAMESPACE, canonical)}"
