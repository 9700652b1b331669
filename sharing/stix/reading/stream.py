"""A file of STIX objects of any size, one object at a time.

What may come: a bundle, an envelope, a plain list, or newline-delimited JSON of any of these and of
single objects. Brackets and strings are followed just far enough to cut objects out; each is then
read by ``body.parse``, as strictly as one that came over TAXII. Memory is one object and one chunk.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sharing.stix.reading.body import BadJson, parse

# Indented generously, an object as large as the hub takes; what is longer is passed over unread.
MAX_PIECE_BYTES: Final = 4 * 1_048_576
_CHUNK: Final = 262_144
_BOM: Final = b"\xef\xbb\xbf"
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
# To the next bracket, past whole strings; also stops at a string that the chunk cuts off.
_UNNESTED: Final = re.compile(rb'[^"\[\]{}]*+(?:"(?:[^"\\]++|\\.)*+"[^"\[\]{}]*+)*+', re.DOTALL)
_IN_STRING: Final = re.compile(rb"(?:[^\"\\]++|\\.)*+", re.DOTALL)
_KEY: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_LITERAL: Final = re.compile(rb"[^ \t\r\n,:\"\[\]{}]*+")
_LINE: Final = re.compile(rb"[ \t\r]*+")
_QUOTE: Final = ord('"')
_OPENING: Final = frozenset(b"[{")
_ENVELOPE: Final = frozenset({"more", "next"})


class Source(Protocol):
    """Bytes, from a file or from decompressing one."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


class Broken(ValueError):
    """The file is not what it should be from byte ``at`` on; the message says why."""

    def __init__(self, reason: str, at: int) -> None:
        """``at`` counts from 0, after decompression."""
        super().__init__(f"{reason} at byte {at}")
        self.at = at


@dataclass(frozen=True)
class Piece:
    """One value of a file as it was written; ``raw`` is None when it was too long to keep."""

    raw: bytes | None
    at: int
    size: int

    def value(self) -> Any:
        """The JSON value. Raises BadJson for what the hub cannot keep, Broken for no JSON."""
        if self.raw is None:
            raise BadJson(f"the object has {self.size} bytes, too many to be read")
        try:
            return parse(self.raw)
        except BadJson as bad:
            wrong = _syntax_error(self.raw)
            if wrong is None:
                raise
            raise Broken(str(bad).partition(": line ")[0], self.at + wrong) from None


def _syntax_error(raw: bytes) -> int | None:
    """Where this stops being JSON; None when it is JSON, though not JSON the hub takes."""
    text = raw.decode(errors="replace")
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        return len(text[: error.pos].encode())
    except RecursionError:
        return None
    return None


def pieces(source: Source) -> Iterator[Piece]:
    """The objects of a file, in order, unread. Raises Broken where it breaks."""
    window = Window(source)
    window.pass_over(_BOM)
    while (first := window.peek()) is not None:
        if first == b"[":
            yield from window.elements()
        elif first == b"{":
            yield from _document(window)
        else:
            raise window.broken("here should be a bundle, a list or an object")
        window.end_of_line()


def _document(window: "Window") -> Iterator[Piece]:
    """The objects of a bundle or an envelope; or one object, whole."""
    start, listed = window.record(), False
    for name in window.members():
        if name != "objects" or window.peek() != b"[":
            window.skip()
            continue
        if listed:
            raise window.broken("objects appears twice")
        head = window.recorded(start)
        _checked(Piece(head.raw and head.raw + b"[]}", start, head.size))
        yield from window.elements()
        window.record(head.raw and head.raw + b"[]")
        listed = True
    whole = window.recorded(start)
    if not (_is_wrapping(_checked(whole)) or listed):
        yield whole


def _checked(piece: Piece) -> Any:
    """The value, None where there is one that the hub cannot keep. Raises Broken."""
    try:
        return piece.value()
    except BadJson:
        return None


def _is_wrapping(document: Any) -> bool:
    """Whether this is a bundle or an envelope without objects, and no object itself."""
    is_object = isinstance(document, dict)
    return is_object and (document.get("type") == "bundle" or document.keys() <= _ENVELOPE)


class Window:
    """Where reading has got to in a file. Bytes are read once and dropped when passed."""

    def __init__(self, source: Source, at: int = 0) -> None:
        """``at`` is the position of the first byte that ``source`` will give."""
        self._source = source
        self._buffer = b""
        self._next = 0
        self._base = at
        self._mark: int | None = None
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    @property
    def at(self) -> int:
        """The position in the file."""
        return self._base + self._next

    def broken(self, reason: str) -> Broken:
        """What to raise when it cannot go on here."""
        return Broken(reason, self.at)

    def _fill(self) -> bool:
        """Read on; False at the end of the file."""
        chunk = self._source.read(_CHUNK)
        self._keep()
        self._base += self._next
        self._buffer = self._buffer[self._next :] + chunk
        self._next = 0
        self._mark = None if self._mark is None else 0
        return bool(chunk)

    def _keep(self) -> None:
        if self._mark is None:
            return
        passed = self._next - self._mark
        self._kept_bytes += passed
        if self._kept_bytes <= MAX_PIECE_BYTES:
            self._kept.append(self._buffer[self._mark : self._next])
        else:
            self._kept.clear()
        self._mark = self._next

    def record(self, before: bytes | None = b"") -> int:
        """Remember from here on, as if ``before`` had come first; the position."""
        self._mark = self._next
        self._kept = [before] if before else []
        self._kept_bytes = MAX_PIECE_BYTES + 1 if before is None else len(before)
        return self.at

    def recorded(self, start: int) -> Piece:
        """What was passed since ``record`` gave ``start``; recording ends."""
        self._keep()
        self._mark = None
        raw = b"".join(self._kept) if self._kept_bytes <= MAX_PIECE_BYTES else None
        self._kept = []
        return Piece(raw, start, self.at - start)

    def peek(self) -> bytes | None:
        """The next byte that is not white space; None at the end of the file."""
        try:
            return bytes((self._pass(_SPACE),))
        except EOFError:
            return None

    def _pass(self, pattern: "re.Pattern[bytes]") -> int:
        """Go to the first byte that ``pattern`` does not take. Raises EOFError at the end."""
        while True:
            found = pattern.match(self._buffer, self._next)
            self._next = found.end() if found else self._next
            if self._next < len(self._buffer):
                return self._buffer[self._next]
            if not self._fill():
                raise EOFError

    def pass_over(self, optional: bytes) -> None:
        """Pass ``optional`` where it comes next."""
        while len(self._buffer) - self._next < len(optional) and self._fill():
            continue
        if self._buffer.startswith(optional, self._next):
            self._next += len(optional)

    def end_of_line(self) -> None:
        """Between two documents there must be a line break."""
        try:
            after = self._pass(_LINE)
        except EOFError:
            return
        if after != ord("\n"):
            raise self.broken("more follows after the end")

    def _is_next(self, byte: bytes) -> bool:
        if self.peek() != byte:
            return False
        self._next += 1
        return True

    def expect(self, byte: bytes) -> None:
        """Pass ``byte``. Raises Broken when something else comes."""
        if not self._is_next(byte):
            found = self.peek()
            raise self.broken(f"{byte.decode()!r} is missing" if found else "the file ends early")

    def elements(self) -> Iterator[Piece]:
        """The values of a list."""
        for start in self.slots():
            self.skip()
            yield self.recorded(start)

    def slots(self) -> Iterator[int]:
        """Stops before each value of a list, which the caller passes; recording has begun."""
        self.expect(b"[")
        if self._is_next(b"]"):
            return
        while True:
            self.peek()
            yield self.record()
            if self._is_next(b"]"):
                return
            self.expect(b",")

    def members(self) -> Iterator[str]:
        """The keys of an object; the caller passes the value of each."""
        self.expect(b"{")
        if self._is_next(b"}"):
            return
        while True:
            if self.peek() != b'"':
                raise self.broken("a key is missing")
            yield self._key()
            if self._is_next(b"}"):
                return
            self.expect(b",")

    def _key(self) -> str:
        while (found := _KEY.match(self._buffer, self._next)) is None:
            if len(self._buffer) - self._next > _CHUNK or not self._fill():
                raise self.broken("a key does not end")
        start = self.at
        self._next = found.end()
        self.expect(b":")
        return str(_checked(Piece(found[0], start, len(found[0]))))

    def skip(self) -> None:
        """Pass one value. Raises Broken at the end of the file, and where there is none."""
        first = self.peek()
        try:
            if first in (b"{", b"["):
                self._nested()
            elif first == b'"':
                self._string()
            else:
                start = self.at
                self._literal()
                if self.at == start:
                    raise self.broken("a value is missing")
        except EOFError:
            raise self.broken("the file ends early") from None

    def _literal(self) -> None:
        try:
            self._pass(_LITERAL)
        except EOFError:
            return

    def _nested(self) -> None:
        depth = 0
        while True:
            byte = self._pass(_UNNESTED)
            if byte == _QUOTE:
                self._string()
                continue
            depth += 1 if byte in _OPENING else -1
            self._next += 1
            if not depth:
                return

    def _string(self) -> None:
        self._next += 1
        while self._pass(_IN_STRING) != _QUOTE:
            # An escape that the chunk cuts off.
            if not self._fill():
                raise self.broken("the file ends early")
        self._next += 1
