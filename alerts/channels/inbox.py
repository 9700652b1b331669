"""Warnings inside the hub: the delivery row is the message; open pages are told at once."""

import logging
from functools import cache

import redis
from django.conf import settings

from alerts.channels.base import Notice

log = logging.getLogger(__name__)


def topic(organisation: str) -> str:
    """The broker's pub/sub channel for one organisation's open pages."""
    return f"crc:inbox:{organisation}"


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1)


class Inbox:
    """``address`` is the organisation's slug."""

    def send(self, notice: Notice) -> None:
        """Never fails: the row is in the inbox already, a page that missed the nudge reloads."""
        try:
            _client().publish(topic(notice.address), notice.alert_id)
        except redis.RedisError as error:
            log.info("live update of %s not told: %s", notice.address, type(error).__name__)
