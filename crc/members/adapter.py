"""allauth, with the front door closed: members are added by the desk, never by themselves."""

import logging
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.internal import ratelimit
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import override

from crc.members.language import spoken
from crc.members.models import User

log = logging.getLogger(__name__)


class ClosedDoor(DefaultAccountAdapter):  # type: ignore[misc]
    """No sign-up, links that no Host header bends, no fault page when the mail server is away."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """The account as tried from one address, whatever Host the request names."""
        return f"{ratelimit.get_ip(request)}:{str(credentials.get('email', '')).lower()}"

    def send_mail(self, template_prefix: str, email: str, context_: dict[str, Any]) -> None:
        """Say so when it cannot be sent; smtplib's errors are OSErrors."""
        site = SimpleNamespace(name=settings.HUB_NAME, domain=urlsplit(settings.BASE_URL).netloc)
        told = {**_at_base(context_, context.request.build_absolute_uri("/")), "current_site": site}
        try:
            with override(_language_of(email)):
                super().send_mail(template_prefix, email, {"hub_name": settings.HUB_NAME, **told})
        except OSError as error:
            log.error("account mail cannot be sent: %s", type(error).__name__)
            messages.error(context.request, _("Mail cannot be sent at present. Ask the desk."))


def _language_of(email: str) -> str:
    """Mails are read by their recipient, whatever the browser that asked for them speaks."""
    found = User.objects.filter(email=email.lower()).values_list("language", flat=True).first()
    return spoken(found or "")


def _at_base(told: dict[str, Any], here: str) -> dict[str, Any]:
    """A mail's context in which every link leads to the hub's own address."""
    return {
        name: f"{settings.BASE_URL}/{value.removeprefix(here)}"
        if isinstance(value, str) and value.startswith(here)
        else value
        for name, value in told.items()
    }
