"""Warnings to a member's own system, signed."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from django.utils.translation import gettext_noop as _

from alerts.channels import calling, signing
from alerts.channels.base import Line, Notice, Send
from alerts.channels.calling import door
from crc.outbound import host_of


class Webhook:
    """POST of one JSON event. Any 2xx is a receipt; 410 and most other 4xx mean never again."""

    title = _("Webhook")
    help = _(
        "For a system of your own that takes JSON over HTTPS. The hub signs each message the "
        "Standard Webhooks way; the secret to verify it with is shown once, on the next page."
    )
    example = "https://soc.example.com/hooks/port"
    needs_secret, needs_tap, offered = True, False, True
    asks = False
    at_once = 512
    per_host = 32
    ahead = 4

    def check(self, address: str) -> str:
        """Any URL that the hub may call."""
        return calling.checked(address)

    def describe(self, address: str) -> str:
        """Host and last letters: some receivers know their senders by the path."""
        return calling.masked(address)

    def host(self, address: str) -> str:
        """Host and port."""
        return host_of(address)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Send]:
        """See Channel."""
        async with door() as out:

            async def send(notice: Notice) -> None:
                body = orjson.dumps(event(notice))
                now = int(time.time())
                headers = {
                    **calling.JSON,
                    signing.HEADERS.id: notice.message_id,
                    signing.HEADERS.timestamp: str(now),
                    signing.HEADERS.signature: signing.sign(
                        notice.secrets, notice.message_id, now, body
                    ),
                }
                await calling.post(out, notice.address, body, headers)

            yield send


def event(notice: Notice) -> dict[str, object]:
    """The body, in the shape Standard Webhooks recommends. The same for every attempt."""
    return {
        "type": f"alert.{notice.kind}",
        "timestamp": notice.raised_at.isoformat(),
        "data": {
            "alert": notice.alert_id,
            "tlp": notice.tlp,
            "severity": notice.severity,
            "title": notice.title,
            "body": notice.body,
            "link": notice.link,
            **({"about": notice.about} if notice.about else {}),
            **({"more": [_further(line) for line in notice.more]} if notice.more else {}),
        },
    }


def _further(line: Line) -> dict[str, str]:
    return {
        "type": f"alert.{line.kind}",
        "timestamp": line.raised_at.isoformat(),
        "alert": line.alert_id,
        "tlp": line.tlp,
        "severity": line.severity,
        "title": line.title,
        "link": line.link,
    }
