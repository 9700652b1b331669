"""Warnings to a member's own system, signed."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import orjson
from django.conf import settings

from alerts.channels import signing
from alerts.channels.base import DeliveryError, Notice, Send
from crc.outbound import Outbound, OutboundError, Response, host_of


def door() -> Outbound:
    """The guarded way out, with the operator's own networks opened."""
    return Outbound(allowed_networks=settings.OUTBOUND_ALLOWED_NETWORKS)


class Webhook:
    """POST of one JSON event. Any 2xx is a receipt; 410 and most other 4xx mean never again."""

    at_once = 512
    per_host = 32
    ahead = 4

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
                    "content-type": "application/json",
                    signing.HEADERS.id: notice.message_id,
                    signing.HEADERS.timestamp: str(now),
                    signing.HEADERS.signature: signing.sign(
                        notice.secrets, notice.message_id, now, body
                    ),
                }
                await post(out, notice.address, body, headers)

            yield send


async def post(out: Outbound, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
    """Send ``body`` and judge the answer. Raises DeliveryError unless it is a 2xx."""
    try:
        answer = await out.post(url, body, headers)
    except OutboundError as error:
        raise DeliveryError(
            error.reason, permanent=error.permanent, host_down=not error.permanent
        ) from None
    if 200 <= answer.status < 300:
        return answer
    # 408, 425 and 429 ask for another try; other 4xx and redirects will not change.
    permanent = 300 <= answer.status < 500 and answer.status not in {408, 425, 429}
    raise DeliveryError(
        f"the receiver answered {answer.status}",
        permanent=permanent,
        gone=answer.status == 410,
        after=_retry_after(answer.headers.get("retry-after", "")),
    )


def _retry_after(text: str) -> float | None:
    """The header in seconds, a day at most; None for none, or for the date form, which is rare."""
    return min(float(text), 86_400.0) if text.isdecimal() else None


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
        },
    }
