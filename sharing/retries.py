"""Which sightings came before: tools send again what they got no answer for.

Two memories. A post of the same bytes is recognised by its row (SightingPost) for the whole retry
window, whatever else is down. Single sightings that come again in another envelope are recognised
by their ids in Redis, 16 bytes each, for at least HALF_SECONDS; with Redis away, or past MOST ids
of one member in that time, they count again. Ids are remembered after the commit, so that a post
that failed may be sent again; two posts of one sighting at the same instant both count.
"""

import logging
import time
from collections.abc import Sequence
from functools import cache
from typing import Final

import redis
from django.conf import settings

log = logging.getLogger(__name__)

HALF_SECONDS: Final = 12 * 3600
# About 64 bytes of Redis each.
MOST: Final = 1_000_000
_REST_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 0.5

# When Redis did not answer: not asked again before this, or every post would wait for it.
_resting = {"until": 0.0}
_full: set[str] = set()


def seen_before(source_id: int, stix_ids: Sequence[str]) -> set[str]:
    """Those of the ids that were counted before, as far as is remembered."""
    if _rests() or not stix_ids:
        return set()
    members = [_short(stix_id) for stix_id in stix_ids]
    try:
        with _redis().pipeline(transaction=False) as ask:
            for age in (0, 1):
                ask.smismember(_name(source_id, age), members)
            now, before = ask.execute()
    except redis.RedisError as error:
        _rest(error)
        return set()
    return {stix_id for stix_id, *hits in zip(stix_ids, now, before, strict=True) if any(hits)}


def remember(source_id: int, stix_ids: Sequence[str]) -> None:
    """These are counted now."""
    name = _name(source_id, 0)
    if _rests() or not stix_ids or name in _full:
        return
    try:
        with _redis().pipeline(transaction=False) as tell:
            tell.sadd(name, *map(_short, stix_ids))
            tell.expire(name, 2 * HALF_SECONDS)
            tell.scard(name)
            held = tell.execute()[-1]
    except redis.RedisError as error:
        _rest(error)
        return
    if held >= MOST:
        _full.add(name)
        log.warning("member %s: no more sighting ids are remembered for now", source_id)


def _short(stix_id: str) -> bytes:
    return bytes.fromhex(stix_id[-36:].replace("-", ""))


def _name(source_id: int, age: int) -> str:
    return f"crc:sighted:{source_id}:{int(time.time()) // HALF_SECONDS - age}"


@cache
def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=_ANSWER_SECONDS,
        socket_timeout=_ANSWER_SECONDS,
    )


def _rests() -> bool:
    return time.monotonic() < _resting["until"]


def _rest(error: redis.RedisError) -> None:
    log.warning("Redis does not answer (%s); sightings sent again may count", type(error).__name__)
    _resting["until"] = time.monotonic() + _REST_SECONDS
