"""Warnings by mail."""

import asyncio
import contextlib
import smtplib
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.validators import validate_email
from django.template.loader import render_to_string
from django.utils.translation import gettext, override
from django.utils.translation import gettext_noop as _

from alerts.channels.base import DeliveryError, Notice, Send
from crc.members.retold import kept

# Connections to the mail server that one worker keeps open.
CONNECTIONS = 4
# One mail, all its steps together; the step it is cut in may last EMAIL_TIMEOUT more.
SECONDS = 12.0


class Email:
    """SMTP as the settings say. Message-ID is the delivery's, so a repeat is seen as one."""

    title = _("E-mail")
    help = _(
        "For a mailbox that is nobody's login: a control room, a duty list. Who reads it gets a "
        "link to confirm that warnings may come there."
    )
    example = "duty@example.com"
    needs_secret, needs_tap, offered = False, True, True
    asks = True
    at_once = ahead = 64
    per_host = CONNECTIONS

    def check(self, address: str) -> str:
        """In lower case: one person, one mail, whatever the case."""
        address = address.strip().lower()
        try:
            validate_email(address)
        except ValidationError:
            raise ValueError(gettext("Write an e-mail address, as duty@example.com.")) from None
        return address

    def describe(self, address: str) -> str:
        """As it is."""
        return address

    def host(self, address: str) -> str:
        """All go through the one mail server."""
        return "mail"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Send]:
        """See Channel. A refused recipient is permanent."""
        free: asyncio.Queue[_Line] = asyncio.Queue()
        lines = [_Line() for _ in range(CONNECTIONS)]
        for line in lines:
            free.put_nowait(line)

        async def send(notice: Notice) -> None:
            line = await free.get()
            try:
                await line.send(notice)
            finally:
                free.put_nowait(line)

        try:
            yield send
        finally:
            for line in lines:
                line.close()


class _Line:
    """One connection to the mail server, in a thread of its own."""

    def __init__(self) -> None:
        self._connection: Any = get_connection()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mail")

    async def send(self, notice: Notice) -> None:
        """Raises DeliveryError."""
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._deliver, notice)
        try:
            await asyncio.wait_for(asyncio.shield(work), SECONDS)
        except TimeoutError:
            # Waited for to its end, so that the mail is not handed over after the row says failed.
            self._cut()
            with contextlib.suppress(DeliveryError):
                await work
                return
            raise DeliveryError(kept("the mail server is too slow"), host_down=True) from None

    def _deliver(self, notice: Notice) -> None:
        mail = message(notice)
        mail.connection = self._connection
        try:
            # Kept open for the next mail; Django closes what it opened itself.
            self._connection.open()
            mail.send()
        except smtplib.SMTPRecipientsRefused as refused:
            codes = {answer[0] for answer in refused.recipients.values()}
            raise DeliveryError(
                kept("the mail server refused the recipient"),
                permanent=all(c >= 500 for c in codes),
            ) from None
        except smtplib.SMTPResponseException as error:
            self._drop()
            raise DeliveryError(
                kept("the mail server answered %(code)s") % {"code": error.smtp_code}
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise DeliveryError(
                kept("the mail server cannot be reached (%(why)s)") % {"why": type(error).__name__},
                host_down=True,
            ) from None

    def _drop(self) -> None:
        with contextlib.suppress(Exception):
            self._connection.close()
        self._connection.connection = None

    def _cut(self) -> None:
        """End whatever the thread is waiting for."""
        sock = getattr(getattr(self._connection, "connection", None), "sock", None)
        if sock:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Say goodbye to the server, in the thread that talks to it."""
        self._thread.submit(self._drop)
        self._thread.shutdown(wait=True)


def message(notice: Notice) -> EmailMultiAlternatives:
    """The mail: plain text, with the same as HTML beside it, and nothing to be fetched."""
    with override(notice.language):
        context = {"notice": notice}
        subject = render_to_string("alerts/mail/subject.txt", context)
        mail = EmailMultiAlternatives(
            subject=" ".join(subject.split()),
            body=render_to_string("alerts/mail/body.txt", context),
            to=[notice.address],
            headers=_headers(notice),
        )
        mail.attach_alternative(render_to_string("alerts/mail/body.html", context), "text/html")
    return mail


def _headers(notice: Notice) -> dict[str, str]:
    headers = {
        "Message-ID": f"<{notice.message_id}@warnings.crc>",
        "Auto-Submitted": "auto-generated",
        "X-Priority": "1" if notice.severity == "critical" else "3",
    }
    if notice.thread_id:
        # Nobody was sent a mail of this name; mail programs put together what names the same one.
        thread = f"<thread.{notice.thread_id}@warnings.crc>"
        headers["References"] = thread
        if notice.thread_id != notice.alert_id:
            headers["In-Reply-To"] = thread
    if notice.unsubscribe:
        headers["List-Unsubscribe"] = f"<{notice.unsubscribe}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    return headers
