"""Warnings by mail."""

import smtplib

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from alerts.channels.base import DeliveryError, Notice


class Email:
    """SMTP as the settings say. Message-ID is the delivery's, so a repeat is seen as one."""

    def send(self, notice: Notice) -> None:
        """Raises DeliveryError; a refused recipient is permanent."""
        context = {"notice": notice}
        subject = render_to_string("alerts/mail/subject.txt", context)
        message = EmailMultiAlternatives(
            subject=" ".join(subject.split()),
            body=render_to_string("alerts/mail/body.txt", context),
            to=[notice.address],
            headers={
                "Message-ID": f"<{notice.message_id}@warnings.crc>",
                "Auto-Submitted": "auto-generated",
                "X-Priority": "1" if notice.severity == "critical" else "3",
            },
        )
        message.attach_alternative(render_to_string("alerts/mail/body.html", context), "text/html")
        try:
            message.send()
        except smtplib.SMTPRecipientsRefused as refused:
            codes = {answer[0] for answer in refused.recipients.values()}
            raise DeliveryError(
                "the mail server refused the recipient",
                permanent=all(code >= 500 for code in codes),
            ) from None
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(
                f"the mail server answered {error.smtp_code}", permanent=False
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(
                f"the mail server cannot be reached ({type(error).__name__})", permanent=False
            ) from None
