"""The ways of reaching people, by the name a delivery row carries. To add one: docs/channels.md."""

from typing import Final

from alerts.channels.base import Channel
from alerts.channels.email import Email
from alerts.channels.inbox import Inbox
from alerts.channels.mattermost import Mattermost
from alerts.channels.slack import Slack
from alerts.channels.sms import Sms
from alerts.channels.syslog import Syslog
from alerts.channels.teams import Teams
from alerts.channels.webhook import Webhook

CHANNELS: Final[dict[str, Channel]] = {
    "inbox": Inbox(),
    "email": Email(),
    "sms": Sms(),
    "slack": Slack(),
    "teams": Teams(),
    "mattermost": Mattermost(),
    "syslog": Syslog(),
    "webhook": Webhook(),
}
