"""Languages, translations and character sets."""

import re
from collections.abc import Iterator
from typing import Any, Final

from sharing.stix.markings import Json
from sharing.stix.reading.identifiers import CONTRIBUTING
from sharing.stix.reading.verdict import Problem

_SHOWN_CHARS: Final = 80

# RFC 5646: language, script, region, variants. Where a language has a code of two letters it must
# be used; these are the languages without one that computers are set to (CLDR).
_CODES: Final = (
    "arn asa ast bem bez bho brx ceb chr ckb dav doi dsb dua ebu ewo fil fur gez gsw guz haw hsb "
    "jgo jmc kab kam kde kea khq kkj kln kok ksb ksf ksh lag lij lkt luo luy mai mas mer mfe mgh "
    "mgo mni mua mul mus mzn naq nds nmg nnh nso nus nyn pcm prg quc rof rwk sah saq sat sba sbp "
    "scn seh ses shi smn sms syr teo tig twq tzm und vai vun wae xog yav yue zgh zxx"
)
_THREE_LETTERS: Final = frozenset(_CODES.split())
# STIX 2.0 wanted the codes of ISO 639-2 for software, and its producers are still about.
_SOFTWARE_CODES: Final = (
    "ara bul ces chi cze dan deu dut ell eng est fin fra fre ger gle gre heb hin hrv hun ind ita "
    "jpn kor lav lit mlt msa nld nor pol por ron rum rus slk slo slv spa srp swe tha tur ukr vie "
    "zho"
)
_SOFTWARE: Final = frozenset(_SOFTWARE_CODES.split())
_LANGUAGE: Final = re.compile(
    r"([a-z]{2,3})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?(?:-[a-z0-9]{5,8})*+", re.IGNORECASE
)
_CHARACTER_SET: Final = re.compile(r"[A-Za-z0-9_()+:-]{2,250}")
_PROPERTY: Final = re.compile(r"[a-z][a-z0-9_]{2,249}|id")


def problems(obj: Json) -> Iterator[Problem]:
    """Codes that name no language or character set, and translations of nothing."""
    yield from _languages(obj)
    yield from _translations(obj)
    yield from _encodings(obj)


def _languages(obj: Json) -> Iterator[Problem]:
    for name, code in _language_codes(obj):
        if not _is_language(code):
            said = str(code)[:_SHOWN_CHARS]
            yield Problem("bad-language", f"{name} must be a language as in RFC 5646, such as en "
                                          f"or nl-BE, not {said!r}")  # fmt: skip


def _language_codes(obj: Json) -> Iterator[tuple[str, Any]]:
    if "lang" in obj:
        yield "lang", obj["lang"]
    if obj["type"] == "language-content":
        yield from (("contents", code) for code in obj["contents"])
    if obj["type"] == "software":
        newer = (code for code in obj.get("languages", ()) if code not in _SOFTWARE)
        yield from (("languages", code) for code in newer)
    for part in obj.get("granular_markings", ()):
        if "lang" in part:
            yield "granular_markings", part["lang"]


def _is_language(code: Any) -> bool:
    found = _LANGUAGE.fullmatch(code) if isinstance(code, str) else None
    return found is not None and (len(found[1]) == len("en") or found[1].lower() in _THREE_LETTERS)


def _translations(obj: Json) -> Iterator[Problem]:
    for texts in obj["contents"].values() if obj["type"] == "language-content" else ():
        if not isinstance(texts, dict) or not all(map(_PROPERTY.fullmatch, texts)):
            yield Problem("bad-contents", "contents must hold, for each language, the names of "
                                          "properties and their translations")  # fmt: skip


def _encodings(obj: Json) -> Iterator[Problem]:
    if obj["type"] not in CONTRIBUTING:
        return
    for name in ("path_enc", "name_enc"):
        if not _CHARACTER_SET.fullmatch(str(obj.get(name, "utf-8"))):
            yield Problem("bad-encoding", f"{name} must be an IANA character set such as utf-8")
