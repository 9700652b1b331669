"""The cache that counts tries: in the broker, and in this process while the broker is away.

Logging in must not need the broker. Without it each process counts for itself, so a limit holds
for each process, which is looser than before but never open.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import redis
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient

log = logging.getLogger(__name__)
Result = TypeVar("Result")

# A broker that did not answer is not asked again for so long: each try would wait for it.
AWAY_SECONDS: Final = 5.0


class _Client(RedisCacheClient):
    """The four calls that counting needs; the others fail as they would."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._memory = LocMemCache("tries", {})
        self._away_until = 0.0

    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        """Whether the key was new."""
        return self._either(
            lambda: super(_Client, self).add(key, value, timeout),
            lambda: self._memory.add(key, value, timeout),
        )

    def get(self, key: Any, default: Any) -> Any:
        """The value, or the default."""
        return self._either(
            lambda: super(_Client, self).get(key, default),
            lambda: self._memory.get(key, default),
        )

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        """Keep it, in seconds; None is for ever."""
        self._either(
            lambda: super(_Client, self).set(key, value, timeout),
            lambda: self._memory.set(key, value, timeout),
        )

    def delete(self, key: Any) -> bool:
        """Whether it was there."""
        return self._either(
            lambda: super(_Client, self).delete(key),
            lambda: self._memory.delete(key),
        )

    def _either(self, shared: Callable[[], Result], own: Callable[[], Result]) -> Result:
        if time.monotonic() < self._away_until:
            return own()
        try:
            return shared()
        except redis.RedisError as error:
            log.warning("tries are counted in this process alone: %s", type(error).__name__)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return own()


class BrokerOrMemory(RedisCache):
    """A Django cache backend; ``LOCATION`` is the broker."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _Client
