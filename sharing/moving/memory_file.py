"""The data file of medallion's memory backend: what is in it, and where.

Read once for the index; bodies stay in the file until they are asked for.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from sharing.stix.markings import Json
from sharing.stix.reading import BadJson, parse
from sharing.stix.reading.moments import microseconds
from sharing.stix.reading.stream import Window

_LINE: Final = ("id", "version", "date_added")
# medallion notes here when it got an object without a version, and takes it off when serving.
_HIDDEN: Final = "_date_added"
NO_ENTRY: Final = "it is not in the manifest, so nobody knows when it was added; use import_stix"
BAD_DATE: Final = "its date_added in the manifest is no time"


class NoSuchRoot(ValueError):
    """The file has other roots; the message lists them."""


@dataclass(frozen=True)
class Entry:
    """One object version; ``added`` is its date_added in microseconds, ``at`` where it starts.

    ``version`` is the store's: 0 for what has none. ``is_old`` is STIX 2.0.
    """

    stix_id: str
    version: int
    added: int
    at: int
    size: int
    is_old: bool


@dataclass
class Held:
    """One collection of the file. ``entries`` are in the order in which medallion serves them."""

    told: Json = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    lost: int = 0


def read(path: Path, root: str) -> list[Held]:
    """The collections of one root. Raises NoSuchRoot, Broken, BadJson and OSError."""
    others, found = [], None
    with path.open("rb") as file:
        window = Window(file)
        for name in window.members():
            if name == root and not name.startswith("/"):
                found = [*_collections(window)]
                continue
            others.append(name)
            window.skip()
        if window.peek() is not None:
            raise window.broken("more follows after the end")
    if found is None:
        roots = ", ".join(name for name in others if not name.startswith("/")) or "none"
        raise NoSuchRoot(f"There is no root {root!r} in it. Roots: {roots}.")
    return found


def body(file: BinaryIO, entry: Entry) -> Json:
    """The object of an entry as its sender sent it. Raises BadJson."""
    file.seek(entry.at)
    obj: Json = parse(file.read(entry.size))
    obj.pop(_HIDDEN, None)
    return obj


def _collections(window: Window) -> Iterator[Held]:
    for name in window.members():
        if name != "collections":
            window.skip()
            continue
        for _ in window.slots():
            yield _collection(window)


@dataclass(frozen=True)
class _Found:
    stix_id: str
    version: int
    has_version: bool
    at: int
    size: int
    is_old: bool


def _collection(window: Window) -> Held:
    held, objects, manifest = Held(), [], []
    for name in window.members():
        if name == "objects":
            for piece in window.elements():
                try:
                    objects.append(_found(piece.value(), piece.at, piece.size))
                except BadJson as bad:
                    held.left_out.append(("", f"at byte {piece.at}: {bad}"))
        elif name == "manifest":
            manifest = [piece.value() for piece in window.elements()]
        else:
            start = window.record()
            window.skip()
            held.told[name] = window.recorded(start).value()
    _match(held, objects, manifest)
    return held


def _found(obj: Any, at: int, size: int) -> _Found:
    if not isinstance(obj, dict) or not isinstance(obj.get("id"), str):
        raise BadJson("an object must be a JSON object with an id")
    version = obj.get("modified") or obj.get("created") or obj.get(_HIDDEN) or ""
    has_version = "modified" in obj or "created" in obj
    is_old = has_version and obj.get("spec_version", "2.0") == "2.0"
    moment = microseconds(version) if isinstance(version, str) else 0
    return _Found(obj["id"], moment, has_version, at, size, is_old)


_Key = tuple[str, int]


def _match(held: Held, objects: list[_Found], manifest: list[Any]) -> None:
    """Give each object its line of the manifest: same id and version, as medallion does."""
    lines: dict[_Key, deque[tuple[int, int]]] = defaultdict(deque)
    for number, line in enumerate(manifest):
        if isinstance(line, dict) and all(isinstance(line.get(name), str) for name in _LINE):
            added = microseconds(line["date_added"])
            key = (line["id"], microseconds(line["version"]))
            lines[key].append((added, number))
    placed: list[tuple[int, int, Entry]] = []
    for obj in objects:
        found = lines.get((obj.stix_id, obj.version))
        if not found:
            held.left_out.append((obj.stix_id, NO_ENTRY))
            continue
        added, number = found.popleft()
        if not added:
            held.left_out.append((obj.stix_id, BAD_DATE))
            continue
        version = obj.version if obj.has_version else 0
        entry = Entry(obj.stix_id, version, added, obj.at, obj.size, obj.is_old)
        placed.append((added, number, entry))
    held.lost = sum(map(len, lines.values()))
    held.entries = [entry for _, _, entry in sorted(placed, key=lambda row: row[:2])]
