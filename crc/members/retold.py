"""Sentences that rows keep, read in the language of whoever looks.

Why a report is held or a send failed is found by a worker, which has no reader, and is stored in
English. ``kept`` marks such a sentence; ``retold`` knows it again, with what was filled in. The
catalogue itself is the list of them: they stand in it under the context CONTEXT. What the desk
writes in two languages is one text as well, made by ``both``.
"""

import re
from functools import cache, lru_cache
from typing import Final

from django.utils.translation import get_language, override, pgettext
from django.utils.translation.trans_real import translation

CONTEXT: Final = "kept"
_BLANK: Final = re.compile(r"%\\\((\w+)\\\)s")
# A text in two languages, anywhere in another, marked with characters that mean nothing else.
_BOTH: Final = re.compile("\ue000(.*?)\ue001(.*?)\ue002", re.DOTALL)
# A warning is read a thousand times.
_REMEMBERED: Final = 512
_MARKS: Final = str.maketrans("", "", "\ue000\ue001\ue002")


def kept(msgid: str) -> str:
    """The sentence as it is; ``%(name)s`` is filled in by the caller."""
    return msgid


def both(english: str, japanese: str) -> str:
    """What somebody wrote in both languages, as one text; Japanese that is missing, or is what the
    reader would get anyway, adds nothing."""
    if not japanese or japanese == told_in("ja", english):
        return english
    parts = (text.translate(_MARKS) for text in (english, japanese))
    return "\ue000{}\ue001{}\ue002".format(*parts)


def told_in(language: str, text: str) -> str:
    """What ``retold`` gives a reader of this language."""
    with override(language):
        return retold(text)


def retold(text: str) -> str:
    """A kept sentence, or a text in both languages, in the reader's; any other text as it is.

    What is filled in is retold too: a reason may hold others, one by one between commas. So is each
    paragraph: a kept one may stand beside what somebody wrote.
    """
    return _retold(get_language() or "", text)


@lru_cache(maxsize=_REMEMBERED)
def _retold(language: str, text: str) -> str:
    text = _BOTH.sub(lambda found: found[2] if language == "ja" else found[1], text)
    said: str = pgettext(CONTEXT, text) if text else ""
    if said != text:
        return said
    for msgid, form in _sentences(language):
        found = form.fullmatch(text)
        if found:
            filled = {name: _parts(part) for name, part in found.groupdict().items()}
            return pgettext(CONTEXT, msgid) % filled
    paragraphs = text.split("\n\n")
    return "\n\n".join(map(retold, paragraphs)) if len(paragraphs) > 1 else text


def _parts(text: str) -> str:
    parts = text.split(", ")
    told = [retold(part) for part in parts]
    # A word may have a comma of its own.
    known = all(said != part for said, part in zip(told, parts, strict=True))
    return ", ".join(told) if known else retold(text)


@cache
def _sentences(language: str) -> list[tuple[str, re.Pattern[str]]]:
    """Those with blanks. Those that begin with one, or are short, come last: they fit by chance."""
    if not language:
        return []
    held = translation(language)._catalog  # type: ignore[attr-defined]
    known = (key.partition("\x04") for key in held.keys() if isinstance(key, str))  # noqa: SIM118
    blanks = [msgid for context, _, msgid in known if context == CONTEXT and "%(" in msgid]
    return [
        (msgid, re.compile(_BLANK.sub(r"(?P<\1>.*?)", re.escape(msgid)), re.DOTALL))
        for msgid in sorted(blanks, key=lambda msgid: (msgid.startswith("%("), -len(msgid)))
    ]
