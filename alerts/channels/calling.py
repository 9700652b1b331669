"""What the channels that call web addresses share: the guarded door, and how answers are judged."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from alerts.channels.base import DeliveryError
from crc.members.retold import kept, retold
from crc.outbound import Blocked, Outbound, OutboundError, Response

# How much of a secret address pages show, and how long one must be for that to give nothing away.
SHOWN: Final = 4
LONG_ENOUGH: Final = 16
JSON: Final = {"content-type": "application/json"}


def door() -> Outbound:
    """The guarded way out, with the operator's own networks opened."""
    return Outbound(
        allowed_networks=settings.OUTBOUND_ALLOWED_NETWORKS, ca_file=settings.OUTBOUND_CA_FILE
    )


def checked(url: str) -> str:
    """The URL in normal form. Raises ValueError for one that the hub will not call."""
    try:
        return door().check_url(url.strip())
    except Blocked as blocked:
        raise ValueError(retold(blocked.reason)) from None


def of_vendor(url: str, *hosts: str) -> str:
    """The URL in normal form, if it is at one of the vendor's ``hosts`` or one that the operator
    allows beside them. A host with a leading full stop stands for all below it. Raises ValueError.
    """
    url = checked(url)
    host = urlsplit(url).hostname or ""
    allowed = (*hosts, *settings.CHAT_HOSTS)
    if not any(host == one or (one[0] == "." and host.endswith(one)) for one in allowed):
        raise ValueError(
            _("The address must be at %(hosts)s, not at %(host)s. Copy it whole from there.")
            % {"hosts": _(" or ").join(one.lstrip(".") for one in hosts), "host": host}
        )
    return url


def masked(url: str) -> str:
    """Host and last letters: whoever knows the whole of such a URL can write to it."""
    parts = urlsplit(url)
    rest = parts.path.strip("/") + parts.query
    end = rest[-SHOWN:] if len(rest) >= LONG_ENOUGH else ""
    return f"{parts.netloc}/…{end}" if rest else parts.netloc


async def post(out: Outbound, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
    """Send ``body`` and judge the answer. Raises DeliveryError unless it is a 2xx."""
    try:
        answer = await out.post(url, body, headers)
    except OutboundError as error:
        raise unreached(error) from None
    return judged(answer)


def unreached(error: OutboundError) -> DeliveryError:
    """A call that got no answer."""
    return DeliveryError(error.reason, permanent=error.permanent, host_down=not error.permanent)


def judged(answer: Response) -> Response:
    """The answer, if it is a 2xx. Raises DeliveryError."""
    if 200 <= answer.status < 300:
        return answer
    # 408, 425 and 429 ask for another try; other 4xx and redirects will not change.
    permanent = 300 <= answer.status < 500 and answer.status not in {408, 425, 429}
    raise DeliveryError(
        kept("the receiver answered %(status)s") % {"status": answer.status},
        permanent=permanent,
        gone=answer.status == 410,
        after=_retry_after(answer.headers.get("retry-after", "")),
    )


def _retry_after(text: str) -> float | None:
    """The header in seconds, a day at most; None for none, or for the date form, which is rare."""
    return min(float(text), 86_400.0) if text.isdecimal() else None
