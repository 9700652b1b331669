"""The OASIS schemas: which one an object must fit, and what a misfit is called in plain words."""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import orjson

from sharing.stix.markings import Json
from sharing.stix.reading.verdict import Problem

MAX_REASONS: Final = 5
_SHOWN_CHARS: Final = 160
_EXPLAINED_BYTES: Final = 16_384
_META: Final = ("marking-definition", "language-content", "extension-definition")
_FORMS: Final = {
    "created": "a time such as 2026-01-31T08:00:00.000Z, with milliseconds",
    "modified": "a time such as 2026-01-31T08:00:00.000Z, with milliseconds",
    "id": "the type, two dashes and a UUID",
}
_CHOICES: Final = {
    ("marking-definition", ""): "must be a statement, carry an extension, or be one of the four "
    "TLP 1.0 markings exactly as STIX 7.2.1.4 prints them",
    ("", "external_references"): "needs source_name and one of description, url, external_id; "
    "CVE and CAPEC numbers need source_name cve or capec",
}


def problems(obj: Json) -> Iterator[Problem]:
    """Where ``obj`` does not fit the schema of its type, at most MAX_REASONS."""
    validator = _validator(_schema_for(obj))
    if not validator.is_valid(obj):
        # One fault may break two parts of a schema; it is said once.
        said = dict.fromkeys(_words(obj["type"], error) for error in _errors(validator, obj))
        for words in said:
            yield Problem("schema", words)


def _errors(
    validator: jsonschema_rs.Draft202012Validator, obj: Json
) -> Iterator[jsonschema_rs.ValidationError]:
    # All errors are made before the first is seen, which a large object can turn into seconds.
    if len(orjson.dumps(obj)) <= _EXPLAINED_BYTES:
        yield from islice(validator.iter_errors(obj), MAX_REASONS)
        return
    try:
        validator.validate(obj)
    except jsonschema_rs.ValidationError as first:
        yield first


def _schema_for(obj: Json) -> str:
    """The schema's file name: the type's own, or the common properties for types STIX lacks."""
    if obj["type"] in _files():
        return str(obj["type"])
    return "cyber-observable-core" if is_custom_observable(obj) else "core"


def is_custom_observable(obj: Json) -> bool:
    """Whether an object of a type STIX does not know is an observable, going by its extension.

    Older producers name no extension; there, an observable is what has no version.
    """
    if obj["type"] in _files():
        return False
    extensions = obj.get("extensions")
    entries = extensions.values() if isinstance(extensions, dict) else ()
    said = {entry.get("extension_type") for entry in entries if isinstance(entry, dict)
            if isinstance(entry.get("extension_type"), str)}  # fmt: skip
    if said & {"new-sdo", "new-sro", "new-sco"}:
        return "new-sco" in said
    return "created" not in obj and "modified" not in obj


@cache
def _files() -> dict[str, Path]:
    """The schema file of every type STIX 2.1 defines."""
    folders = ("sdos", "sros", "observables")
    paths = [path for folder in folders for path in (_root() / folder).glob("*.json")]
    return {path.stem: path for path in paths} | {
        name: _root() / "common" / f"{name}.json" for name in _META
    }


@cache
def _root() -> Path:
    # The package is found, not imported: importing it loads two other validators, for two seconds.
    spec = find_spec("stix2validator")
    if not spec or not spec.origin:
        raise ModuleNotFoundError("stix2-validator brings the OASIS schemas; install it")
    return Path(spec.origin).parent / "schemas-2.1" / "schemas"


@cache
def _validator(name: str) -> jsonschema_rs.Draft202012Validator:
    path = _files().get(name, _root() / "common" / f"{name}.json")
    return jsonschema_rs.Draft202012Validator(
        orjson.loads(path.read_bytes()),
        registry=_registry(),
        validate_formats=True,
        # The type and extension expressions of OASIS take exponential time in other engines.
        pattern_options=jsonschema_rs.RegexOptions(),
    )


@cache
def _registry() -> jsonschema_rs.Registry:
    """Every schema under its own address, so that none is ever fetched."""
    schemas = [orjson.loads(path.read_bytes()) for path in _root().rglob("*.json")]
    return jsonschema_rs.Registry([(schema["$id"], schema) for schema in schemas])


def _words(kind: str, error: jsonschema_rs.ValidationError) -> str:
    path = error.instance_path
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"{where.lstrip('.')[:_SHOWN_CHARS]} {_fault(kind, path, error)}".strip()


def _fault(kind: str, path: list[Any], error: jsonschema_rs.ValidationError) -> str:
    says = error.kind.as_dict()
    first = str(path[0]) if path else ""
    match error.kind.name:
        case "required":
            return f"{says['property']} is missing"
        case "additionalProperties":
            return f"has names STIX does not allow: {', '.join(says['unexpected'])[:_SHOWN_CHARS]}"
        case "pattern":
            return f"must be {_FORMS.get(first, 'in the form STIX gives for it')}"
        case "oneOf" | "anyOf":
            choice = _CHOICES.get((kind, first)) or _CHOICES.get(("", first))
            return choice or "must be one of the forms STIX allows for it"
        case "not":
            return "must not have this value or property"
    return error.message[-_SHOWN_CHARS:]
