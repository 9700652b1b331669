"""From bytes to a JSON value that means the same to everyone who will read it."""

import json
from typing import Any, Final

import orjson

MAX_DEPTH: Final = 32
_SMALLEST_INT: Final = -(2**63)
_LARGEST_INT: Final = 2**64 - 1
_INT_CHARS: Final = 20
_SHOWN_CHARS: Final = 60
# The shortest integer beyond 64 bits has 19 digits; orjson would quietly make it a fraction.
_LONG_NUMBER: Final = b"0" * 19
# Looking for one text among zeros and blanks is five times as fast as an expression.
_DIGITS: Final = bytes(ord("0" if chr(byte) in "0123456789" else " ") for byte in range(256))


class BadJson(ValueError):
    """Bytes that are not JSON the hub can keep; the message says why."""


def parse(body: bytes) -> Any:
    """The JSON value of ``body``.

    Raises BadJson for anything else, and for JSON that parsers read differently: repeated keys
    (what we checked may not be what a consumer sees), NaN, lone surrogates, integers beyond 64
    bits. Nesting is limited to MAX_DEPTH.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadJson(f"this is not JSON: {error}") from None
    if deeper_than(MAX_DEPTH, value):
        raise BadJson(f"the JSON is nested more than {MAX_DEPTH} deep")
    if _LONG_NUMBER in body.translate(_DIGITS) or not _colons_agree(body, value):
        _read_closely(body)
    return value


def deeper_than(limit: int, value: Any) -> bool:
    """Whether lists and objects are nested more than ``limit`` deep."""
    layer = [value] if isinstance(value, (dict, list)) else []
    while layer and limit:
        layer = [
            child
            for node in layer
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        limit -= 1
    return bool(layer)


def _colons_agree(body: bytes, value: Any) -> bool:
    """Whether no key was repeated; False also when that takes a closer look.

    A colon is a key or part of a text. Every repeated key takes its colons away, and nothing
    adds any, save the one way to escape a colon.
    """
    return b"u003" not in body and body.count(b":") == orjson.dumps(value).count(b":")


def _read_closely(body: bytes) -> None:
    try:
        json.loads(body.decode(), object_pairs_hook=_refuse_repeated_keys, parse_int=_refuse_long)
    except RecursionError:
        # What a repeated key hid may be deeper than what was left of it.
        raise BadJson(f"the JSON is nested more than {MAX_DEPTH} deep") from None


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise BadJson(f"the key {name[:_SHOWN_CHARS]!r} appears twice in one object")
        seen.add(name)


def _refuse_long(digits: str) -> None:
    if len(digits) > _INT_CHARS or not _SMALLEST_INT <= int(digits) <= _LARGEST_INT:
        raise BadJson(f"the number {digits[:_SHOWN_CHARS]} does not fit into 64 bits")
