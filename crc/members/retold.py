"""Sentences that rows keep, read in the language of whoever looks.

Why a report is held or a delivery failed is found by a worker, which has no reader, and is stored in
English. ``kept`` marks such a sentence; ``retold`` knows it again, with what was filled in.
"""

import re
from typing import Final

from django.utils.translation import gettext

_SENTENCES: Final[dict[str, re.Pattern[str]]] = {}
_BLANK: Final = re.compile(r"%\\\((\w+)\\\)s")


def kept(msgid: str) -> str:
    """The sentence as it is, known from now on; ``%(name)s`` is filled in by the caller."""
    _SENTENCES[msgid] = re.compile(_BLANK.sub(r"(?P<\1>.*?)", re.escape(msgid)), re.DOTALL)
    return msgid


def retold(text: str) -> str:
    """A kept sentence in the reader's language; any other text as it is.

    What is filled in is retold too: a reason may hold another.
    """
    if text in _SENTENCES:
        return gettext(text)
    for msgid, form in _SENTENCES.items():
        found = form.fullmatch(text)
        if found and found.groups():
            return gettext(msgid) % {name: retold(part) for name, part in found.groupdict().items()}
    return text
