"""Warnings into a Mattermost channel, by an incoming webhook and a Slack-compatible attachment."""

import re
from typing import Any, Final
from urllib.parse import urlsplit

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from alerts.channels import calling
from alerts.channels.base import Notice
from alerts.channels.chat import ChatRoom, headline, kicker, links

# Mattermost cuts posts at 16,383 letters; escaping can double them.
LONGEST_TEXT: Final = 4_000
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~:])")
_COLOURS: Final = {"critical": "#a3201d", "high": "#a8410a", "medium": "#855c00"}


class Mattermost(ChatRoom):
    """Attachments only: links in the text of a post get previews with remote images."""

    title = "Mattermost"
    help = _(
        "In Mattermost open Integrations, Incoming Webhooks, “Add Incoming Webhook”, choose the "
        "channel and copy the URL. A server of your own inside a closed network has to be allowed "
        "by the hub's operator first."
    )
    example = "https://chat.example.com/hooks/…"

    def check(self, address: str) -> str:
        """An incoming webhook of any Mattermost server that the hub may call."""
        url = calling.checked(address)
        if "/hooks/" not in urlsplit(url).path:
            raise ValueError(
                gettext("A Mattermost webhook has /hooks/ in its address. Copy it whole.")
            )
        return url

    def message(self, notice: Notice) -> dict[str, Any]:
        """The body. The warning's own words are escaped: no mention, no markup, no image."""
        title = _escaped(notice.title)
        linked = " · ".join(f"[{_escaped(words)}]({url})" for words, url in links(notice))
        return {
            "attachments": [
                {
                    "fallback": headline(notice, title),
                    "color": _COLOURS.get(notice.severity, "#51626e"),
                    "title": title,
                    "text": f"{_escaped(notice.body[:LONGEST_TEXT])}\n\n{linked}",
                    "footer": kicker(notice),
                }
            ],
        }


def _escaped(text: str) -> str:
    """Markdown that shows the text as it is. A zero-width space keeps @all from calling anybody;
    indented text would become a code block."""
    lines = (line.strip() for line in text.splitlines())
    return _MARKUP.sub(r"\\\1", "\n".join(lines)).replace("@", "@\u200b")
