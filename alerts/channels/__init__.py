"""The ways of reaching people, by the name a delivery row carries. To add one: docs/channels.md."""

from typing import Final

from alerts.channels.base import Channel
from alerts.channels.email import Email
from alerts.channels.inbox import Inbox
from alerts.channels.webhook import Webhook

CHANNELS: Final[dict[str, Channel]] = {
    "inbox": Inbox(),
    "webhook": Webhook(),
    "email": Email(),
}
