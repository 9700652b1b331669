"""Warnings into a Slack channel, by an incoming webhook and Block Kit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from alerts.channels import calling
from alerts.channels.base import Notice, Send
from crc.outbound import host_of

# Slack refuses messages with longer ones.
LONGEST_HEADER: Final = 150
LONGEST_SECTION: Final = 3_000


class Slack:
    """The warning's own words are ``plain_text``, in which Slack reads no mention, link or emoji;
    ``mrkdwn`` holds the hub's words and links alone."""

    title = "Slack"
    help = _(
        "At api.slack.com/apps make an app, switch on “Incoming Webhooks”, press “Add New Webhook "
        "to Workspace”, choose the channel and copy the URL."
    )
    example = "https://hooks.slack.com/services/T000/B000/…"
    needs_secret, needs_tap, offered = False, False, True
    asks = True
    at_once = 64
    # Slack takes about one message a second for each webhook.
    per_host = 8
    ahead = 8

    def check(self, address: str) -> str:
        """An incoming webhook of Slack's, or of a host that the operator allows."""
        return calling.of_vendor(address, "hooks.slack.com", "hooks.slack-gov.com")

    def describe(self, address: str) -> str:
        """Host and last letters: who knows the URL can write into the channel."""
        return calling.masked(address)

    def host(self, address: str) -> str:
        """Host and port."""
        return host_of(address)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Send]:
        """See Channel."""
        async with calling.door() as out:

            async def send(notice: Notice) -> None:
                body = orjson.dumps(message(notice))
                await calling.post(out, notice.address, body, calling.JSON)

            yield send


def message(notice: Notice) -> dict[str, Any]:
    """The body: blocks, and the text that notifications show instead of them."""
    links = [(gettext("Read it in the hub"), notice.link), *notice.answers.items()]
    kicker = f"{notice.tlp} · {notice.severity} · {notice.hub_name}"
    return {
        "text": _escaped(f"{notice.tlp} {notice.severity}: {notice.title}"[:LONGEST_SECTION]),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {"type": "header", "text": _plain(notice.title[:LONGEST_HEADER])},
            {"type": "context", "elements": [_plain(kicker)]},
            {"type": "section", "text": _plain(notice.body[:LONGEST_SECTION])},
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": " · ".join(f"<{_escaped(url)}|{_escaped(w)}>" for w, url in links),
                },
            },
        ],
    }


def _plain(text: str) -> dict[str, Any]:
    # Slack refuses an empty text.
    return {"type": "plain_text", "text": text or "–", "emoji": False}


def _escaped(text: str) -> str:
    """As Slack asks for text in which ``<!channel>`` and its kin must mean nothing."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
