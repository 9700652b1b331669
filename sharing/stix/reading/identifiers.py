"""The deterministic ids of cyber-observable objects (STIX 2.9)."""

import uuid
from typing import Any, Final

import orjson
from stix2.canonicalization.Canonicalize import canonicalize

from sharing.stix.markings import Json

SCO_NAMESPACE: Final = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")

# Chapter 6, "ID Contributing Properties"; the keys are all the observable types STIX knows.
CONTRIBUTING: Final[dict[str, tuple[str, ...]]] = {
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
        "start", "end", "src_ref", "dst_ref", "src_port", "dst_port", "protocols", "extensions",
    ),
    "process": (),
    "software": ("name", "cpe", "swid", "vendor", "version"),
    "url": ("value",),
    "user-account": ("account_type", "user_id", "account_login"),
    "windows-registry-key": ("key", "values"),
    "x509-certificate": ("hashes", "serial_number"),
}  # fmt: skip
_HASH_ORDER: Final = ("MD5", "SHA-1", "SHA-256", "SHA-512")


def sco_id(obj: Json) -> str | None:
    """The deterministic id of an observable: UUIDv5 over the RFC 8785 form of what identifies it.

    None when the type has no identifying properties, or the object none of them.
    """
    kind = obj["type"]
    given = {name: obj[name] for name in CONTRIBUTING.get(kind, ()) if name in obj}
    if not given:
        return None
    if "hashes" in given:
        given["hashes"] = _one_hash(given["hashes"])
    return f"{kind}--{uuid.uuid5(SCO_NAMESPACE, _canonical(given))}"


def _one_hash(hashes: dict[str, str]) -> dict[str, str]:
    """The hash that counts (2.9); where none of the four is there, the first by name."""
    chosen = next((name for name in _HASH_ORDER if name in hashes), min(hashes, default=""))
    return {chosen: hashes[chosen]} if chosen else {}


def _canonical(given: dict[str, Any]) -> str:
    if all(isinstance(value, str) for value in given.values()):
        # For text under these names orjson writes what RFC 8785 asks for, far faster.
        return orjson.dumps(given, option=orjson.OPT_SORT_KEYS).decode()
    return str(canonicalize(given, utf8=False))
