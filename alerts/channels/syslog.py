"""Warnings into a log collector or SIEM: RFC 5424 with CEF, over TLS (RFC 5425) or plain TCP."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from alerts.channels import calling
from alerts.channels.base import DeliveryError, Notice, Send
from crc.members.retold import kept
from crc.outbound import OutboundError

# One message after the connection stands: writing it, and the other side closing in good order.
SECONDS: Final = 4.0
# As CEF limits its fields; together they stay below the 8,192 octets that every receiver takes.
LONGEST_NAME: Final = 512
LONGEST_TEXT: Final = 1_023
_LOCAL0: Final = 16
# By severity: syslog's (RFC 5424, 6.2.1) and CEF's.
_LEVELS: Final = {"critical": (2, 10), "high": (3, 8), "medium": (4, 5), "low": (5, 3)}
_ADDRESS: Final = re.compile(
    r"(?P<scheme>tls|tcp)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?/?"
)
# Everything that a collector could take for the end of a line, or a terminal for a command.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Syslog:
    """A connection for each message: on one kept open, a message to a collector that has gone
    would be lost unseen, for syslog has no receipt."""

    title = _("Syslog (SIEM)")
    help = _(
        "The address of your log collector, as tls://host:6514. It gets RFC 5424 messages with CEF "
        "inside and must show a certificate that the hub can verify. Plain tcp:// is for networks "
        "that the hub's operator has allowed."
    )
    example = "tls://siem.example.com:6514"
    needs_secret, needs_tap, offered = False, False, True
    asks = False
    at_once = 64
    per_host = 4
    ahead = 8

    def check(self, address: str) -> str:
        """``tls://host:port`` or ``tcp://host:port``, judged as the door judges web addresses."""
        found = _ADDRESS.fullmatch(address.strip().lower())
        if not found:
            raise ValueError(gettext("Write it as tls://host:6514 (or tcp://host:514)."))
        scheme, host = found["scheme"], found["host"]
        port = found["port"] or ("6514" if scheme == "tls" else "514")
        calling.checked(f"https://{host}:{port}/")
        if scheme == "tcp":
            try:
                calling.checked(f"http://{host}:{port}/")
            except ValueError:
                raise ValueError(
                    gettext("Plain tcp:// is not allowed on this hub, or not there; use tls://.")
                ) from None
        return f"{scheme}://{host}:{int(port)}"

    def describe(self, address: str) -> str:
        """As it is: there is no secret in it."""
        return address

    def host(self, address: str) -> str:
        """Host and port."""
        return urlsplit(address).netloc

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Send]:
        """See Channel."""
        async with calling.door() as out:

            async def send(notice: Notice) -> None:
                to = urlsplit(notice.address)
                try:
                    reader, writer = await out.open_stream(
                        to.hostname or "", to.port or 0, tls=to.scheme != "tcp"
                    )
                except OutboundError as error:
                    raise calling.unreached(error) from None
                await _hand_over(reader, writer, frame(notice))

            yield send


async def _hand_over(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, octets: bytes
) -> None:
    """Write it all and part in good order. Raises DeliveryError when the line breaks meanwhile."""
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(octets)
            await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
                # The other side closes after it has read all; what it says before is not for us.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SECONDS / 2):
                        while await reader.read(4096):
                            pass
    except (OSError, TimeoutError):
        writer.transport.abort()
        raise DeliveryError(
            kept("the collector broke off the connection"), host_down=True
        ) from None
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(SECONDS / 2):
            await writer.wait_closed()


def frame(notice: Notice) -> bytes:
    """The message behind its length in octets (RFC 5425, 4.3; RFC 6587, 3.4.1)."""
    octets = message(notice).encode()
    return b"%d %s" % (len(octets), octets)


def message(notice: Notice) -> str:
    """RFC 5424. Without a byte order mark (6.4, MSG-ANY): parsers look for "CEF:" first."""
    level, _grade = _LEVELS.get(notice.severity, (6, 1))
    at = notice.raised_at.astimezone(UTC).isoformat(timespec="milliseconds")
    origin = urlsplit(settings.BASE_URL).hostname or "-"
    return (
        f"<{_LOCAL0 * 8 + level}>1 {at.replace('+00:00', 'Z')} {origin[:255]} crc-hub - "
        f"{re.sub('[^a-z-]', '', notice.kind)[:32] or '-'} - {cef(notice)}"
    )


def cef(notice: Notice) -> str:
    """The event in the Common Event Format, version 0."""
    _level, grade = _LEVELS.get(notice.severity, (6, 1))
    header = (
        "Port Cyber Resilience Hub",
        "warnings",
        "1",
        f"alert.{notice.kind}",
        notice.title[:LONGEST_NAME],
        str(grade),
    )
    extension = {
        "rt": str(int(notice.raised_at.timestamp() * 1000)),
        "externalId": notice.alert_id,
        "request": notice.link,
        "msg": notice.body[:LONGEST_TEXT],
        "cs1Label": "TLP",
        "cs1": notice.tlp,
        "cs2Label": "DeliveryId",
        "cs2": notice.message_id,
    }
    return (
        "|".join(("CEF:0", *map(_header_field, header)))
        + "|"
        + " ".join(f"{key}={_value(text)}" for key, text in extension.items())
    )


def _header_field(text: str) -> str:
    return _CONTROL.sub(" ", text).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    """Line ends survive as CEF writes them; nothing in the text can begin another key."""
    lines = [_CONTROL.sub(" ", line) for line in text.splitlines()]
    return "\\n".join(line.replace("\\", "\\\\").replace("=", "\\=") for line in lines)
