"""Warnings into a Microsoft Teams channel, by a workflow that posts Adaptive Cards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from alerts.channels import calling
from alerts.channels.base import Notice, Send
from crc.outbound import host_of

# Teams refuses messages of 28 KB and more; a letter may take four bytes.
LONGEST_BODY: Final = 4_000


class Teams:
    """Text runs, in which Teams reads no Markdown, and no ``entities``, without which ``<at>`` is
    only text."""

    title = "Microsoft Teams"
    help = _(
        "In Teams open the channel's menu, Workflows, “Post to a channel when a webhook request is "
        "received”, follow the steps and copy the URL at the end. The old “Incoming Webhook” "
        "connectors are being shut down and are not taken."
    )
    example = "https://….api.powerplatform.com/powerautomate/automations/direct/workflows/…"
    needs_secret, needs_tap, offered = False, False, True
    asks = True
    at_once = 64
    per_host = 8
    ahead = 8

    def check(self, address: str) -> str:
        """A workflow of Microsoft's, or an address at a host that the operator allows."""
        return calling.of_vendor(address, ".api.powerplatform.com", ".logic.azure.com")

    def describe(self, address: str) -> str:
        """Host and last letters: the signature in the URL lets anybody post."""
        return calling.masked(address)

    def host(self, address: str) -> str:
        """Host and port."""
        return host_of(address)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Send]:
        """See Channel. A workflow answers 202 before it posts."""
        async with calling.door() as out:

            async def send(notice: Notice) -> None:
                body = orjson.dumps(message(notice))
                await calling.post(out, notice.address, body, calling.JSON)

            yield send


def message(notice: Notice) -> dict[str, Any]:
    """The body: one message with one card."""
    links = [(gettext("Read it in the hub"), notice.link), *notice.answers.items()]
    paragraphs = [line for line in notice.body[:LONGEST_BODY].splitlines() if line.strip()]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            _run(f"{notice.tlp} · {notice.severity} · {notice.hub_name}", isSubtle=True),
            _run(notice.title, weight="Bolder", size="Large"),
            *(_run(paragraph) for paragraph in paragraphs),
        ],
        "actions": [{"type": "Action.OpenUrl", "title": words, "url": url} for words, url in links],
    }
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": card,
            }
        ],
    }


def _run(text: str, **style: Any) -> dict[str, Any]:
    """A paragraph. TextBlock would read Markdown; TextRun does not."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}
