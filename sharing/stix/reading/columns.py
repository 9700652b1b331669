"""What the columns of a stored object can hold. OASIS has schemas for what STIX defines; beside
those, types and properties are anybody's, and a database takes only what its columns are made for.
"""

from collections.abc import Iterator
from typing import Any, Final

from sharing.stix.markings import Json
from sharing.stix.reading.verdict import Problem

MAX_TYPE_CHARS: Final = 250
MAX_ID_CHARS: Final = MAX_TYPE_CHARS + len("--") + 36
# Nanoseconds and more; the version of an object is kept as it was written.
MAX_VERSION_CHARS: Final = 40
MAX_REASON_CHARS: Final = 1_000

_TEXTS: Final = ("created", "modified", "created_by_ref")


def problems(obj: Json) -> Iterator[Problem]:
    """What is read into a column and is of another kind. Lengths are checked with the form of a
    time and of an id."""
    for name in _TEXTS:
        if not isinstance(obj.get(name, ""), str):
            yield Problem("shape", f"{name} must be text")
    if not isinstance(obj.get("revoked", False), bool):
        yield Problem("shape", "revoked must be true or false")


def fit(said: Any, most: int) -> str:
    """What a sender wrote, fit to be repeated: cut, and without what PostgreSQL cannot keep."""
    if not isinstance(said, str):
        return ""
    shown = said[:most].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return shown.encode(errors="replace").decode()
