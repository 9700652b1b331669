"""Warnings inside the hub: the delivery row is the message; open pages are told at once."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from django.conf import settings
from django.utils.translation import gettext_noop as _

from alerts.channels.base import Notice, Send

log = logging.getLogger(__name__)


def topic(organisation: str) -> str:
    """The broker's pub/sub channel for one organisation's open pages."""
    return f"crc:inbox:{organisation}"


class Inbox:
    """``address`` is the organisation's slug."""

    title = _("Inbox")
    help = _("Every member has one, on the Warnings page.")
    example = ""
    needs_secret = needs_tap = offered = False
    asks = False
    at_once = ahead = 500
    per_host = 64

    def check(self, address: str) -> str:
        """The slug itself."""
        return address

    def describe(self, address: str) -> str:
        """The slug."""
        return address

    def host(self, address: str) -> str:
        """All go through the broker."""
        return "hub"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Send]:
        """See Channel. A send never fails: the row is in the inbox already, and a page that
        missed the nudge finds it when it is opened."""
        broker = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1, max_connections=4
        )
        silent = False

        async def send(notice: Notice) -> None:
            nonlocal silent
            if silent:
                return
            try:
                await broker.publish(topic(notice.address), notice.alert_id)
            except redis.RedisError as error:
                silent = True
                log.info("open pages are not told: %s", type(error).__name__)

        try:
            yield send
        finally:
            await broker.aclose()
