"""Warnings into a Slack channel, by an incoming webhook and Block Kit."""

from typing import Any, Final

from django.utils.translation import gettext_noop as _

from alerts.channels import calling
from alerts.channels.base import Notice
from alerts.channels.chat import ChatRoom, headline, kicker, links

# Slack refuses messages with longer ones.
LONGEST_HEADER: Final = 150
LONGEST_SECTION: Final = 3_000


class Slack(ChatRoom):
    """The warning's own words are ``plain_text``, in which Slack reads no mention, link or emoji;
    ``mrkdwn`` holds the hub's words and links alone."""

    title = "Slack"
    help = _(
        "At api.slack.com/apps make an app, switch on “Incoming Webhooks”, press “Add New Webhook "
        "to Workspace”, choose the channel and copy the URL."
    )
    example = "https://hooks.slack.com/services/T000/B000/…"

    def check(self, address: str) -> str:
        """An incoming webhook of Slack's, or of a host that the operator allows."""
        return calling.of_vendor(address, "hooks.slack.com", "hooks.slack-gov.com")

    def message(self, notice: Notice) -> dict[str, Any]:
        """The body: blocks, and the text that notifications show instead of them."""
        joined = " · ".join(f"<{_escaped(url)}|{_escaped(words)}>" for words, url in links(notice))
        return {
            "text": _escaped(headline(notice, notice.title)[:LONGEST_SECTION]),
            "mrkdwn": False,
            "unfurl_links": False,
            "unfurl_media": False,
            "blocks": [
                {"type": "header", "text": _plain(notice.title[:LONGEST_HEADER])},
                {"type": "context", "elements": [_plain(kicker(notice))]},
                {"type": "section", "text": _plain(notice.body[:LONGEST_SECTION])},
                {
                    "type": "section",
                    "text": {"type": "mrkdwn", "text": joined},
                },
            ],
        }


def _plain(text: str) -> dict[str, Any]:
    # Slack refuses an empty text.
    return {"type": "plain_text", "text": text or "–", "emoji": False}


def _escaped(text: str) -> str:
    """As Slack asks for text in which ``<!channel>`` and its kin must mean nothing."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
