"""Warnings into a Microsoft Teams channel, by a workflow that posts Adaptive Cards."""

from typing import Any, Final

from django.utils.translation import gettext_noop as _

from alerts.channels import calling
from alerts.channels.base import Notice
from alerts.channels.chat import ChatRoom, kicker, links

# Teams refuses messages of 28 KB and more; a letter may take four bytes.
LONGEST_BODY: Final = 4_000


class Teams(ChatRoom):
    """Text runs, in which Teams reads no Markdown, and no ``entities``, without which ``<at>`` is
    only text."""

    title = "Microsoft Teams"
    help = _(
        "In Teams open the channel's menu, Workflows, “Post to a channel when a webhook request is "
        "received”, follow the steps and copy the URL at the end. The old “Incoming Webhook” "
        "connectors are being shut down and are not taken."
    )
    example = "https://….api.powerplatform.com/powerautomate/automations/direct/workflows/…"

    def check(self, address: str) -> str:
        """A workflow of Microsoft's, or an address at a host that the operator allows."""
        return calling.of_vendor(address, ".api.powerplatform.com", ".logic.azure.com")

    def message(self, notice: Notice) -> dict[str, Any]:
        """The body: one message with one card."""
        paragraphs = [line for line in notice.body[:LONGEST_BODY].splitlines() if line.strip()]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "msteams": {"width": "Full"},
            "body": [
                _run(kicker(notice), isSubtle=True),
                _run(notice.title, weight="Bolder", size="Large"),
                *(_run(paragraph) for paragraph in paragraphs),
            ],
            "actions": [
                {"type": "Action.OpenUrl", "title": words, "url": url}
                for words, url in links(notice)
            ],
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
