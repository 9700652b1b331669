"""The grammar of STIX patterns, checked within limits. No pattern is ever executed here."""

import re
from functools import lru_cache
from threading import Lock
from typing import Final

from stix2patterns.validator import run_validator

MAX_PATTERN_CHARS: Final = 10_000
MAX_PATTERN_COMPARISONS: Final = 300
MAX_PATTERN_NESTING: Final = 20
_CACHED_PATTERNS: Final = 1_024
# Too short for more comparisons than are allowed.
_PLAIN_CHARS: Final = 1_000
_SHOWN_CHARS: Final = 200

# What nearly every indicator holds: equalities on known observables, joined by OR. The parser of
# the grammar needs a quarter of a millisecond for one, this expression a microsecond. It has to
# stay within the grammar (a property test holds it to that) and cannot backtrack.
_TYPES: Final = (
    "artifact|autonomous-system|directory|domain-name|email-addr|email-message|file|ipv4-addr"
    "|ipv6-addr|mac-addr|mutex|network-traffic|process|software|url|user-account"
    "|windows-registry-key|x509-certificate"
)
_EQUALITY: Final = (
    rf"(?:(?:{_TYPES}):(?:name|value|path|subject|user_id|key) = '(?:[^'\\]|\\['\\])*+'"
    r"|file:hashes\.(?:'?MD5'? = '[0-9a-fA-F]{32}'|'SHA-1' = '[0-9a-fA-F]{40}'"
    r"|'SHA-256' = '[0-9a-fA-F]{64}'|'SHA-512' = '[0-9a-fA-F]{128}'))"
)
_OBSERVATION: Final = rf"\[{_EQUALITY}(?: OR {_EQUALITY})*+\]"
_SIMPLE: Final = re.compile(rf"{_OBSERVATION}(?: OR {_OBSERVATION})*+")

_TEXT: Final = re.compile(r"'(?:[^'\\]|\\.)*+'", re.DOTALL)
_JOINT: Final = re.compile(r"\b(?:AND|OR|FOLLOWEDBY)\b")
_TYPE: Final = re.compile(r"[\[(\s]([A-Za-z0-9_-]+)\s*:")
_TYPE_FORM: Final = re.compile(r"[a-z][a-z0-9-]{2,249}")

# What stix2-patterns raises for some wrong patterns instead of answering, such as file:hashes[0].
_FALLS: Final = (AttributeError, LookupError, NameError, TypeError, ValueError)

# The parser shares a cache of decisions between all its instances, unguarded.
_parser: Final = Lock()


def is_plain(pattern: str) -> bool:
    """Whether the pattern is surely right: short, and as nearly every indicator has it."""
    return len(pattern) < _PLAIN_CHARS and _SIMPLE.fullmatch(pattern) is not None


def problem(pattern: str) -> str | None:
    """What is wrong with a pattern of type ``stix``, in words for its author; None when nothing."""
    if not pattern:
        return "the pattern is empty"
    if len(pattern) > MAX_PATTERN_CHARS:
        return f"the pattern has {len(pattern)} characters, {MAX_PATTERN_CHARS} are allowed"
    bare = _bare(pattern)
    if len(_JOINT.findall(bare)) >= MAX_PATTERN_COMPARISONS:
        return f"the pattern has more than {MAX_PATTERN_COMPARISONS} comparisons; split it"
    if _SIMPLE.fullmatch(pattern):
        return None
    if bare.count("(") > MAX_PATTERN_NESTING:
        return f"the pattern has more than {MAX_PATTERN_NESTING} parentheses; split it"
    return _parsed(pattern)


def effort(pattern: str) -> int:
    """How many characters the grammar's parser has to read; the others take microseconds."""
    if len(pattern) > MAX_PATTERN_CHARS or _SIMPLE.fullmatch(pattern):
        return 0
    return len(pattern)


def misnamed(pattern: str) -> str | None:
    """The first object type in a pattern that breaks the rules for type names (3.1), if any.

    The grammar allows any name; whoever stores the pattern in an object has to look.
    """
    names = _TYPE.findall(_bare(pattern))
    return next((name for name in names if not _TYPE_FORM.fullmatch(name)), None)


def _bare(pattern: str) -> str:
    return _TEXT.sub("''", pattern)


@lru_cache(maxsize=_CACHED_PATTERNS)
def _parsed(pattern: str) -> str | None:
    try:
        with _parser:
            found = run_validator(pattern, stix_version="2.1")
    except RecursionError:
        # Reached by some valid patterns too; nobody can be expected to read those.
        return "the pattern is nested too deeply"
    except _FALLS:
        return "the pattern is not valid: an object path in it makes no sense"
    return f"the pattern is not valid: {found[0][:_SHOWN_CHARS]}" if found else None
