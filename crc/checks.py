"""Mistakes that no single setting shows: reported by ``manage.py check``, each with an id."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


@register
def settings_that_do_not_fit(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What is wrong with the settings taken together."""
    found: list[CheckMessage] = []
    if not settings.SECURE and urlsplit(settings.BASE_URL).hostname not in _THIS_MACHINE:
        found.append(
            Warning(
                "CRC_BASE_URL is plain http: passwords and keys would cross the network readable.",
                hint="Put a proxy with TLS in front and set CRC_BASE_URL to https://…",
                id="crc.W001",
            )
        )
    if settings.SECURE and not settings.TRUSTED_PROXIES:
        found.append(
            Warning(
                "CRC_BASE_URL is https, but no proxy is trusted: the hub sees one visitor, the "
                "proxy, and would count everybody's failed logins as its own.",
                hint="Set CRC_TRUSTED_PROXIES to the number of proxies in front, usually 1.",
                id="crc.W002",
            )
        )
    if settings.SECURE and settings.DEBUG:
        found.append(
            Warning(
                "CRC_DEBUG is on for a hub that others reach: error pages would show its inside.",
                hint="Unset CRC_DEBUG.",
                id="crc.W003",
            )
        )
    return found


@register
def sms_gateway_that_says_nothing(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Whether the SMS template tells the gateway what to send, and to whom."""
    template = settings.SMS_URL + ("" if settings.SMS_METHOD == "GET" else settings.SMS_BODY)
    missing = [place for place in ("{to}", "{text}") if place not in template]
    if not settings.SMS_URL or not missing:
        return []
    return [
        Warning(
            f"The SMS gateway is never told {' and '.join(missing)}.",
            hint="Put both into CRC_SMS_URL or CRC_SMS_BODY; see docs/channels.md.",
            id="crc.W004",
        )
    ]
