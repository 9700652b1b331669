"""Indicators out of pasted text, defanged or not: what was found, where, and what was left out why.

Linear in the length of the text: every expression is bounded and none nests a repetition. Nothing
is ever resolved or contacted.
"""

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import Final
from urllib.parse import quote, urlsplit

from sharing.stix.internet import EXERCISE_ENDINGS, Names, is_public, suffixes

MAX_CHARS: Final = 262_144
# What one text may give. Whoever has more has a list, and a list has doors of its own.
MAX_INDICATORS: Final = 500


class IndicatorKind(StrEnum):
    """The kinds of indicator the hub reads out of text."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    DOMAIN = "domain"
    URL = "url"
    EMAIL = "email"
    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    CVE = "cve"


@dataclass(frozen=True)
class Indicator:
    """One value in its plain form; ``start`` and ``end`` say where the text shows it first."""

    kind: IndicatorKind
    value: str
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Ignored:
    """Something that looks like an indicator and is not one, with the reason in plain words."""

    text: str
    reason: str
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True)
class Extraction:
    """What was understood, each value once, in the order of the text.

    ``left`` counts the values beyond MAX_INDICATORS, which stay in the text alone.
    """

    indicators: tuple[Indicator, ...]
    ignored: tuple[Ignored, ...]
    left: int = 0


class TextTooLong(ValueError):
    """The text is longer than MAX_CHARS."""


class _NotOne(ValueError):
    """A candidate that is no indicator; the message is the reason."""


_DOT: Final = r"(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|\{dot\}|\\\.|[.。．])"
_AT: Final = r"(?:\[@\]|\[at\]|\(at\)|\{at\}|\(@\)|@)"
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = rf"{_LABEL}(?:{_DOT}{_LABEL}){{1,10}}"
_SCHEME: Final = r"(?:h(?:tt|xx|XX|\*\*)ps?|f(?:t|x)ps?)"
_START: Final = r"(?<![\w@-])"

_CANDIDATE: Final = re.compile(
    "|".join(
        (
            rf"(?P<url>{_START}{_SCHEME}(?:\[:\]|\[:\/\/\]|:)(?:\[//\]|//)?[^\s<>\"'`|]{{1,2000}})",
            rf"(?P<email>{_START}[a-z0-9][a-z0-9.!#$%&+/=?_~-]{{0,63}}{_AT}{_HOST}(?![\w-]))",
            r"(?P<cve>\bCVE-\d{4}-\d{4,7}\b)",
            r"(?P<hash>(?<![0-9a-z])(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9a-z]))",
            rf"(?P<ipv4>(?<![\w.-])\d{{1,3}}(?:{_DOT}\d{{1,3}}){{3}}(?![\w-]|{_DOT}\d))",
            r"(?P<ipv6>(?<![\w:.])[0-9a-f]{0,4}(?:(?:\[:\]|:){1,2}[0-9a-f]{0,4}){2,8}(?![\w:]))",
            rf"(?P<domain>{_START}{_HOST}(?![\w-]))",
        )
    ),
    re.IGNORECASE,
)
_DOTS: Final = re.compile(_DOT, re.IGNORECASE)
_ATS: Final = re.compile(_AT, re.IGNORECASE)
_VERSION_BEFORE: Final = re.compile(
    r"(?:\bv|\bver(?:sion)?|[A-Za-z]+SSL|firmware|build)[ .:]*$", re.IGNORECASE
)
_AUTHORITY: Final = re.compile(
    r"(?:[a-z0-9._~%!$&'()*+,;=:-]*@)?(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])"
    r"(?::\d{0,5})?"
)
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CLOSERS: Final = {")": "(", "]": "[", "}": "{", ">": "<"}
# Endings that are both top-level domains and the names of things people paste.
_FILE_ENDINGS: Final = frozenset(
    [
        "bat",
        "bin",
        "cab",
        "cfg",
        "cmd",
        "conf",
        "csv",
        "dll",
        "doc",
        "docx",
        "dat",
        "exe",
        "gz",
        "ini",
        "iso",
        "jar",
        "js",
        "json",
        "lnk",
        "log",
        "md",
        "msi",
        "ps1",
        "pdf",
        "php",
        "pl",
        "png",
        "ps",
        "py",
        "rar",
        "rs",
        "rtf",
        "sh",
        "sql",
        "sys",
        "tar",
        "tmp",
        "txt",
        "vbs",
        "xls",
        "xlsx",
        "xml",
        "zip",
    ]
)
# Keyboards of East Asia write these for the same characters; one for one, so that places stay.
_NARROW: Final = {0xFEE0 + code: code for code in range(0x21, 0x7F)}
_RECIPIENT: Final = "a recipient, who is not the attacker"
_NUMBER: Final = "the number of a message, not an address"
_INCOMPLETE: Final = "not a complete address"
_FILLER: Final = "a filler, not a hash"
_VERSION: Final = "a version number"
_BAD_PARTS: Final = "not an address: each part must be 0 to 255"
_RESERVED: Final = "a private or reserved address, not one on the internet"
_FILE: Final = "a file name"
_NO_SUCH_ENDING: Final = "no such top-level domain"
_THEIR_OWN: Final = "belongs to the reporting organisation"
# Why something is left out, for the pages that say it in the reader's language.
REASONS: Final = (
    _RECIPIENT,
    _NUMBER,
    _INCOMPLETE,
    _FILLER,
    _VERSION,
    _BAD_PARTS,
    _RESERVED,
    _FILE,
    _NO_SUCH_ENDING,
    _THEIR_OWN,
)
_HEADERS_APART: Final = {
    **dict.fromkeys(
        (
            "to",
            "cc",
            "bcc",
            "delivered-to",
            "envelope-to",
            "x-original-to",
            "x-envelope-to",
            "apparently-to",
            "resent-to",
        ),
        _RECIPIENT,
    ),
    **dict.fromkeys(
        ("message-id", "in-reply-to", "references", "content-id", "resent-message-id"), _NUMBER
    ),
}
# A mail header with its folded lines, which begin with a space and are no header themselves.
_MAIL_HEADER: Final = re.compile(
    rf"^({'|'.join(_HEADERS_APART)})[ \t]*:.*(?:\n[ \t]+(?![\w-]+:).*)*",
    re.IGNORECASE | re.MULTILINE,
)
_HASH_KINDS: Final = {32: IndicatorKind.MD5, 40: IndicatorKind.SHA1, 64: IndicatorKind.SHA256}
HASHES: Final = frozenset(_HASH_KINDS.values())


_NOBODYS: Final = Names(())


def extract(text: str, *, own: Names = _NOBODYS) -> Extraction:
    """Every indicator in ``text``; what is somebody's ``own`` is not an attacker's.

    Raises TextTooLong.
    """
    if len(text) > MAX_CHARS:
        raise TextTooLong(f"The text has {len(text):,} characters; {MAX_CHARS:,} are the most.")
    text = text.translate(_NARROW)
    apart = _headers_apart(text)
    indicators: dict[tuple[IndicatorKind, str], Indicator] = {}
    ignored: dict[str, Ignored] = {}
    for found in _CANDIDATE.finditer(text):
        shown = _trimmed(found)
        try:
            if found.lastgroup == "email":
                _must_be_no_header(apart, found.start())
            kind, value = _READERS[str(found.lastgroup)](
                shown, text[max(0, found.start() - 24) : found.start()]
            )
            _must_be_foreign(host_of(kind, value), own)
        except _NotOne as reason:
            if str(reason):
                ignored.setdefault(
                    shown,
                    Ignored(shown[:200], str(reason), found.start(), found.start() + len(shown)),
                )
            continue
        indicators.setdefault(
            (kind, value), Indicator(kind, value, found.start(), found.start() + len(shown))
        )
    every = tuple(indicators.values())
    taken = every[:MAX_INDICATORS]
    return Extraction(taken, tuple(ignored.values()), len(every) - len(taken))


def _headers_apart(text: str) -> list[tuple[int, int, str]]:
    """Where mail headers stand whose addresses are nobody's to warn of, with the reason."""
    return [
        (found.start(), found.end(), _HEADERS_APART[found[1].lower()])
        for found in _MAIL_HEADER.finditer(text)
    ]


def _must_be_no_header(apart: list[tuple[int, int, str]], place: int) -> None:
    before = bisect_right(apart, place, key=itemgetter(0)) - 1
    if before >= 0 and place < apart[before][1]:
        raise _NotOne(apart[before][2])


def _trimmed(found: re.Match[str]) -> str:
    """Without the sentence's own punctuation, and without a bracket that was opened before it."""
    shown = found[0]
    if found.lastgroup != "url":
        return shown
    while shown and (
        shown[-1] in ".,;:!?*"
        or (shown[-1] in _CLOSERS and shown.count(shown[-1]) > shown.count(_CLOSERS[shown[-1]]))
    ):
        shown = shown[:-1]
    return shown


def _plain(shown: str) -> str:
    return _DOTS.sub(".", shown)


def _url(shown: str, before: str) -> tuple[IndicatorKind, str]:
    plain = re.sub(r"^h(?:xx|\*\*)p", "http", shown, flags=re.IGNORECASE)
    plain = re.sub(r"^fxp", "ftp", plain, flags=re.IGNORECASE)
    plain = plain.replace("[://]", "://").replace("[:]", ":", 1).replace("[//]", "//")
    scheme, _, rest = plain.partition(":")
    rest = rest.removeprefix("//")
    cut = re.search(r"[/?#]", rest)
    host, path = (rest[: cut.start()], rest[cut.start() :]) if cut else (rest, "")
    host = _ascii(_plain(host).replace("[:]", ":").lower())
    value = f"{scheme.lower()}://{host}{_escaped(_plain(path))}"
    try:
        name = urlsplit(value).hostname
        urlsplit(value).port  # noqa: B018 - raises when it is no port
    except ValueError:
        raise _NotOne(_INCOMPLETE) from None
    if not name:
        raise _NotOne(_INCOMPLETE)
    _host(name)
    return IndicatorKind.URL, value


def _ascii(host: str) -> str:
    """The host as DNS knows it. Raises _NotOne for one that cannot be."""
    try:
        plain = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise _NotOne(_INCOMPLETE) from None
    if not _AUTHORITY.fullmatch(plain):
        raise _NotOne(_INCOMPLETE)
    return plain


def _escaped(path: str) -> str:
    """The rest of an address with what RFC 3986 does not allow there written in percent."""
    return (
        quote(_LONE_PERCENT.sub("%25", path), safe="%/?#:@!$&'()*+,;=~-._")
        .replace("#", "\0", 1)
        .replace("#", "%23")
        .replace("\0", "#")
    )


def _host(name: str) -> None:
    """Raises _NotOne unless the name could be on the internet."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        _domain(name, "")
    else:
        _must_be_public(address)


def _email(shown: str, before: str) -> tuple[IndicatorKind, str]:
    user, host = _ATS.split(shown, maxsplit=1)
    _, domain = _domain(host, "")
    return IndicatorKind.EMAIL, f"{_plain(user)}@{domain}".lower()


def _cve(shown: str, before: str) -> tuple[IndicatorKind, str]:
    return IndicatorKind.CVE, shown.upper()


def _hash(shown: str, before: str) -> tuple[IndicatorKind, str]:
    if len(set(shown.lower())) < 4:
        raise _NotOne(_FILLER)
    return _HASH_KINDS[len(shown)], shown.lower()


def _ipv4(shown: str, before: str) -> tuple[IndicatorKind, str]:
    if _VERSION_BEFORE.search(before):
        raise _NotOne(_VERSION)
    plain = _plain(shown)
    try:
        address = ipaddress.IPv4Address(plain)
    except ValueError:
        raise _NotOne(_BAD_PARTS) from None
    _must_be_public(address)
    return IndicatorKind.IPV4, str(address)


def _ipv6(shown: str, before: str) -> tuple[IndicatorKind, str]:
    plain = shown.replace("[:]", ":").rstrip(".")
    try:
        address = ipaddress.IPv6Address(plain)
    except ValueError:
        raise _NotOne("") from None  # a clock, a hardware address: nobody meant it as one
    _must_be_public(address)
    return IndicatorKind.IPV6, str(address)


def _must_be_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if not is_public(address):
        raise _NotOne(_RESERVED)


def _domain(shown: str, before: str) -> tuple[IndicatorKind, str]:
    name = _plain(shown).lower().rstrip(".")
    ending = name.rpartition(".")[2]
    if ending in _FILE_ENDINGS:
        raise _NotOne(_FILE)
    if "_" in name.rpartition(".")[0].rpartition(".")[2]:
        raise _NotOne("")
    if ending not in EXERCISE_ENDINGS and suffixes().publicsuffix(name) in {None, name}:
        raise _NotOne("" if ending.isdecimal() else _NO_SUCH_ENDING)
    return IndicatorKind.DOMAIN, name


def _must_be_foreign(host: str, own: Names) -> None:
    if own.holding(host):
        raise _NotOne(_THEIR_OWN)


def host_of(kind: IndicatorKind, value: str) -> str:
    """The domain or address that a value is at; of a hash or a CVE, itself; of no URL, nothing."""
    if kind is IndicatorKind.URL:
        try:
            value = urlsplit(value).hostname or ""
        except ValueError:
            return ""
    elif kind is IndicatorKind.EMAIL:
        value = value.rpartition("@")[2]
    return value.lower().rstrip(".")


def without_suffix(kind: IndicatorKind, value: str) -> str:
    """A value without the ending of its host, such as ``.one``, which its owner did not make up."""
    host = host_of(kind, value)
    suffix = suffixes().publicsuffix(host) if "." in host else None
    return value.replace(host, host.removesuffix(f".{suffix}"), 1) if suffix else value


_READERS: Final[dict[str, Callable[[str, str], tuple[IndicatorKind, str]]]] = {
    "url": _url,
    "email": _email,
    "cve": _cve,
    "hash": _hash,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "domain": _domain,
}
