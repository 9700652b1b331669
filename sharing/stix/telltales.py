"""Words that would give somebody away, found also in disguise. Framework-free.

The one comparison: what a text says is read with its disguises off (percent signs, full-width and
accented letters, punycode, Base64, hexadecimal), once as words and once with nothing between the
letters. ``North%20Quay``, ``north-quay.evil.com`` and ``bm9ydGggcXVheQ==`` all say "northquay".
"""

import base64
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from sharing.stix.internet import Names
from sharing.stix.markings import Json

# Shorter words ("MSC", "ONE") occur in every text: in prose they count in their own letter case.
SHORTEST: Final = 4
# From so many bytes on a word counts inside a longer run too: "rail" would be in every "trail".
# Bytes, so that two kanji are enough.
LONG: Final = 6
MAX_UNQUOTED: Final = 3

_BETWEEN: Final = re.compile(r"[\W_]+")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{12,}")
_PUNYCODE: Final = re.compile(r"xn--[a-z0-9-]{1,59}", re.IGNORECASE)
_URL_SAFE: Final = str.maketrans("-_", "+/")
# Words in the names of many members, by which nobody is known.
_GENERIC: Final = frozenset(
    "a ag and authority bv cargo co company container containers corp corporation desk duty "
    "express freight global gmbh group handling harbor harbour inc international kk limited line "
    "lines llc logistics ltd marine maritime of officer operations operator port ports railway "
    "railways sa security service services shipping soc support team terminal terminals the "
    "trucking".split()
)


@dataclass(frozen=True)
class _Reading:
    """What a text says: ``words`` with one space around each, ``run`` with none."""

    words: str
    run: str

    @classmethod
    def of(cls, text: str) -> "_Reading":
        words = f" {_BETWEEN.sub(' ', text).strip()} "
        return cls(words, words.replace(" ", ""))


@dataclass(frozen=True)
class _Needle:
    word: str
    reading: _Reading
    inside: bool

    @property
    def is_long(self) -> bool:
        return len(self.reading.run.encode()) >= LONG

    def is_in(self, hay: _Reading) -> bool:
        return self.reading.words in hay.words or (self.inside and self.reading.run in hay.run)


class Telltales:
    """The words of one member, or of several.

    ``said`` give it away as they stand, a network also by an address in it. ``hints`` (a brand
    without its "Terminal", the label of a domain) are too vague to be struck out by a machine: they
    are looked for in disguise only. ``chosen`` are those of either that the operator picked, which
    count inside longer runs sooner.
    """

    def __init__(
        self, said: Iterable[str], *, hints: Iterable[str] = (), chosen: Iterable[str] = ()
    ) -> None:
        self.said = sorted({word for word in map(str.strip, said) if len(word) > 1})
        self._own = Names(self.said)
        picked = set(chosen)
        self._needles = [
            needle
            for word in sorted({*self.said, *hints})
            if (needle := _needle(word, LONG if word not in picked else SHORTEST))
        ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Telltales) and (self.said, self._needles) == (
            other.said,
            other._needles,
        )

    def plainly_in(self, text: str) -> list[str]:
        """The said words that stand in ``text`` as they are."""
        lowered = text.casefold()
        return [word for word in self.said if stands_in(word, text, lowered)]

    def disguised_in(self, values: Iterable[str]) -> dict[str, str]:
        """Indicator values that may say a word, each with the first word it says."""
        read = {value: (_Reading.of(_unmasked(value)), _hidden(value)) for value in values}
        # Most words are in none of the values: one look at all of them together tells.
        runs = "\n".join(f"{plain.run}\n{hidden.run}" for plain, hidden in read.values())
        found: dict[str, str] = {}
        for needle in self._needles:
            if needle.reading.run not in runs:
                continue
            for value, (plain, hidden) in read.items():
                # A short word is in any noise, and what was no Base64 decodes to noise.
                if needle.is_in(plain) or (needle.inside and needle.is_in(hidden)):
                    found.setdefault(value, needle.word)
        return found

    def alluded_to_in(self, prose: str) -> list[str]:
        """The words that a person's sentence says, plainly or run together."""
        hay = _Reading.of(_unmasked(prose))
        found = {n.word for n in self._needles if n.is_long and n.is_in(hay)}
        return sorted({*self.plainly_in(prose), *self._own.said_in(_unmasked(prose)), *found})


def stands_in(word: str, text: str, lowered: str) -> bool:
    """Whether ``word`` stands in ``text`` between boundaries, in any letter case unless short.

    ``lowered`` is the text casefolded, which the caller does once for all words.
    """
    if len(word) >= SHORTEST:
        word, text = word.casefold(), lowered
    return word in text and bool(
        re.search(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", text)
    )


def leaks(graph: Iterable[Json], words: Iterable[str]) -> list[str]:
    """The words that stand anywhere in the graph; see ``stands_in``."""
    text = "\n".join(_texts(list(graph)))
    lowered = text.casefold()
    return [word for word in words if stands_in(word, text, lowered)]


def _texts(part: Any) -> Iterator[str]:
    """Every string in a graph as it reads: in JSON a line break would hang on to the next word."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for value in part.values():
            yield from _texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from _texts(value)


def brand(name: str) -> str:
    """A name without the words that it shares with others, such as "Terminal"; may be empty."""
    words = _Reading.of(_unmasked(name)).words.split()
    while words and words[-1] in _GENERIC:
        words.pop()
    while words and words[0] in _GENERIC:
        words.pop(0)
    return " ".join(words)


def rare_words(name: str) -> list[str]:
    """The words of a person's name that are long enough to tell by themselves."""
    words = _Reading.of(_unmasked(name)).words.split()
    return [word for word in words if len(word.encode()) >= LONG and word not in _GENERIC]


def _needle(word: str, long: int) -> _Needle | None:
    reading = _Reading.of(_unmasked(word))
    if not reading.run:
        return None
    # The digits of one address run through those of many others.
    inside = len(reading.run.encode()) >= long and not reading.run.isdecimal()
    return _Needle(word, reading, inside)


def _unmasked(text: str) -> str:
    """In plain lower-case letters: percent signs, punycode, odd widths and accents taken off."""
    text = _PUNYCODE.sub(_from_punycode, _unquoted(text))
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in parts if unicodedata.category(c) not in {"Mn", "Cf"})
        text = unicodedata.normalize("NFKC", text)
    return text.casefold()


def _unquoted(text: str) -> str:
    for _ in range(MAX_UNQUOTED):
        if "%" not in text:
            break
        text = unquote(text)
    return text


def _from_punycode(label: re.Match[str]) -> str:
    try:
        return label[0][4:].encode().decode("punycode")
    except UnicodeError:
        return label[0]


def _hidden(text: str) -> _Reading:
    """What runs of Base64 and hexadecimal in a text decode to, wherever in a run it begins."""
    text = _unquoted(text)
    found = []
    for run in _BASE64.findall(text):
        for start in range(4):
            part = run[start:].translate(_URL_SAFE)
            found.append(base64.b64decode(part + "A" * (-len(part) % 4)))
    for run in _HEX.findall(text):
        for start in range(2):
            part = run[start:]
            found.append(bytes.fromhex(part[: len(part) // 2 * 2]))
    return _Reading.of(_unmasked("\n".join(piece.decode("utf-8", "ignore") for piece in found)))
