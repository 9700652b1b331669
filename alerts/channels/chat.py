"""What chat rooms share: an incoming webhook is their address, one JSON message their request."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from django.utils.translation import gettext, override

from alerts.channels import calling
from alerts.channels.base import Notice, Send
from crc.members.templatetags.hub import severity_words
from crc.outbound import host_of


class ChatRoom(ABC):
    """A channel but for its words: title, help, example, ``check`` and ``message``."""

    needs_secret, needs_tap, offered = False, False, True
    asks = True
    at_once = 64
    # Vendors take about one message a second for each webhook.
    per_host = 8
    ahead = 8

    def describe(self, address: str) -> str:
        """Host and last letters: who knows the URL can write into the room."""
        return calling.masked(address)

    def host(self, address: str) -> str:
        """Host and port."""
        return host_of(address)

    @abstractmethod
    def message(self, notice: Notice) -> dict[str, Any]:
        """The body of the request."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Send]:
        """See Channel."""
        async with calling.door() as out:

            async def send(notice: Notice) -> None:
                with override(notice.language):
                    body = orjson.dumps(self.message(notice))
                await calling.post(out, notice.address, body, calling.JSON)

            yield send


def links(notice: Notice) -> list[tuple[str, str]]:
    """What the reader can go on to, each with its words: the warning, and the answers."""
    return [(gettext("Read it in the hub"), notice.link), *notice.answers.items()]


def headline(notice: Notice, title: str) -> str:
    """What a notification shows of it: marking, severity and title, in one line."""
    return f"{notice.tlp} {severity_words(notice.severity)}: {title}"


def kicker(notice: Notice) -> str:
    """The small line: marking, severity, and who says so."""
    return f"{notice.tlp} · {severity_words(notice.severity)} · {notice.hub_name}"
