"""Warnings as text messages, through whatever gateway the operator has.

The gateway is a template in the environment: URL, method, headers and body, in which ``{to}``,
``{text}``, ``{id}`` and ``{secret}`` stand for the number, the message, the delivery's id and the
operator's secret, each encoded for the place it stands in.
"""

import html
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

import orjson
from django.conf import settings
from django.utils.translation import gettext, override
from django.utils.translation import gettext_noop as _

from alerts.channels import calling
from alerts.channels.base import Notice, Send
from crc.members.templatetags.hub import severity_words
from crc.outbound import OutboundError

# One text message: in the alphabet of GSM 03.38, and with any letter outside of it.
GSM_LETTERS: Final = 160
UCS2_LETTERS: Final = 70
_GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# These take two places each.
_GSM_EXTENSION: Final = frozenset("^{}\\[~]|€")
_TYPOGRAPHY: Final = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-"})
_NUMBER: Final = re.compile(r"\+[1-9][0-9]{7,14}")
_PLACE: Final = re.compile(r"\{(to|text|id|secret)\}")


class Sms:
    """``address`` is a phone number as E.164 writes it."""

    title = _("Text message (SMS)")
    help = _(
        "A mobile number with its country, as +81 90 1234 5678. Who holds the phone gets a link to "
        "confirm that warnings may come there."
    )
    example = "+819012345678"
    needs_secret, needs_tap = False, True
    asks = False
    at_once = ahead = 32
    per_host = 8

    @property
    def offered(self) -> bool:
        """Whether the operator has a gateway."""
        return bool(settings.SMS_URL)

    def check(self, address: str) -> str:
        """E.164; spaces, hyphens and brackets for the eye are taken out."""
        if not self.offered:
            raise ValueError(gettext("This hub has no SMS gateway; ask its operator."))
        number = re.sub(r"[ ()./-]", "", address.strip())
        if not _NUMBER.fullmatch(number):
            raise ValueError(gettext("Write the number with its country, as +81 90 1234 5678."))
        return number

    def describe(self, address: str) -> str:
        """Country and last digits."""
        return f"{address[:3]} … {address[-calling.SHOWN :]}"

    def host(self, address: str) -> str:
        """All go through the one gateway."""
        return "gateway"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Send]:
        """See Channel."""
        async with calling.door() as out:

            async def send(notice: Notice) -> None:
                words = {
                    "to": notice.address,
                    "text": text(notice),
                    "id": notice.message_id,
                    "secret": settings.SMS_SECRET,
                }
                url = filled(settings.SMS_URL, words, lambda word: quote(word, safe=""))
                headers = {
                    name: filled(value, words, str) for name, value in settings.SMS_HEADERS.items()
                }
                try:
                    if settings.SMS_METHOD == "GET":
                        answer = await out.get(url, headers)
                    else:
                        headers = {"content-type": settings.SMS_CONTENT_TYPE, **headers}
                        body = filled(settings.SMS_BODY, words, _encoding())
                        answer = await out.post(url, body.encode(), headers)
                except OutboundError as error:
                    raise calling.unreached(error) from None
                calling.judged(answer)

            yield send


def filled(template: str, words: dict[str, str], encode: Callable[[str], str]) -> str:
    """The template with its places filled. A place that a word brings along is not one."""
    return _PLACE.sub(lambda place: encode(words[place[1]]), template)


def _encoding() -> Callable[[str], str]:
    """How a word is written inside the body."""
    if "json" in settings.SMS_CONTENT_TYPE:
        return lambda word: orjson.dumps(word).decode()[1:-1]
    if "urlencoded" in settings.SMS_CONTENT_TYPE:
        return lambda word: quote(word, safe="")
    return html.escape if "xml" in settings.SMS_CONTENT_TYPE else str


def text(notice: Notice) -> str:
    """One text message that ends with the link: as much of the title as fits before it."""
    title = notice.title.translate(_TYPOGRAPHY)
    title = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    # One Japanese word would make a title that somebody left in English 90 letters shorter.
    with override("en" if _is_gsm(title) else notice.language):
        title = f"{severity_words(notice.severity).upper()} {title}"
    for room, width in ((GSM_LETTERS, _gsm_width), (UCS2_LETTERS, _ucs2_width)):
        tail = f" {notice.short_link}"
        if width is _gsm_width and not _is_gsm(title):
            continue
        kept = _cut(title, room - width(tail), width)
        if kept:
            return kept + tail
    return notice.short_link


def _cut(title: str, room: int, width: Callable[[str], int]) -> str:
    while title and width(title) > room:
        title = title[:-1]
    return title.rstrip()


def _is_gsm(words: str) -> bool:
    return set(words) <= _GSM | _GSM_EXTENSION


def _gsm_width(words: str) -> int:
    return len(words) + sum(letter in _GSM_EXTENSION for letter in words)


def _ucs2_width(words: str) -> int:
    return len(words.encode("utf-16-le")) // 2
