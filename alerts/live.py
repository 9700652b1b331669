"""The desk's open pages are told that something changed; what it is they ask for themselves."""

import logging
from functools import cache
from typing import Final

import redis
from django.conf import settings

log = logging.getLogger(__name__)

# The broker's pub/sub channel for the pages of the desk's analysts.
DESK_TOPIC: Final = "crc:desk"
# A decision must not wait for a broker that is down: the pages look by themselves now and then.
_PATIENCE_SECONDS: Final = 0.3


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=_PATIENCE_SECONDS,
        socket_timeout=_PATIENCE_SECONDS,
    )


def tell_the_desk() -> None:
    """Never fails, and says nothing but that it is time to look."""
    try:
        _client().publish(DESK_TOPIC, "")
    except redis.RedisError as error:
        log.info("live update of the desk not told: %s", type(error).__name__)
