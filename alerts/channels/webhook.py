"""Warnings to a member's own system, signed."""

import asyncio
import time

import orjson
from django.conf import settings

from alerts.channels import signing
from alerts.channels.base import DeliveryError, Notice
from crc.outbound import Outbound, OutboundError, Response


def outbound() -> Outbound:
    """The one way to members' addresses, with the operator's settings."""
    return Outbound(allowed_networks=settings.OUTBOUND_ALLOWED_NETWORKS)


class Webhook:
    """POST of one JSON event. Any 2xx is a receipt; 410 and other 4xx mean never again."""

    def send(self, notice: Notice) -> None:
        """Raises DeliveryError."""
        body = orjson.dumps(event(notice))
        now = int(time.time())
        headers = {
            "content-type": "application/json",
            signing.HEADERS.id: notice.message_id,
            signing.HEADERS.timestamp: str(now),
            signing.HEADERS.signature: signing.sign([notice.secret], notice.message_id, now, body),
        }
        try:
            answer = asyncio.run(_post(notice.address, body, headers))
        except OutboundError as error:
            raise DeliveryError(error.reason, permanent=error.permanent) from None
        if 200 <= answer.status < 300:
            return
        # 408, 425 and 429 ask for another try; other 4xx and redirects will not change.
        permanent = 300 <= answer.status < 500 and answer.status not in {408, 425, 429}
        raise DeliveryError(f"the receiver answered {answer.status}", permanent=permanent)


async def _post(url: str, body: bytes, headers: dict[str, str]) -> Response:
    async with outbound() as door:
        return await door.post(url, body, headers)


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
        },
    }
