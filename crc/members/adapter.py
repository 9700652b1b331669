"""allauth, with the front door closed: members are added by the desk, never by themselves."""

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest

log = logging.getLogger(__name__)


class ClosedDoor(DefaultAccountAdapter):  # type: ignore[misc]
    """No sign-up, and no fault page when the mail server is away."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def send_mail(self, template_prefix: str, email: str, context_: dict[str, Any]) -> None:
        """Say so when it cannot be sent; smtplib's errors are OSErrors."""
        try:
            super().send_mail(template_prefix, email, {"hub_name": settings.HUB_NAME, **context_})
        except OSError as error:
            log.error("account mail cannot be sent: %s", type(error).__name__)
            messages.error(context.request, "Mail cannot be sent at present. Ask the desk.")
