"""STIX timestamps as numbers, exact to their last digit."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC) - _EPOCH
_MINUTE_CHARS: Final = len("2026-01-01T00:00:")
_CACHED: Final = 4_096

Moment = tuple[int, str]


@lru_cache(maxsize=_CACHED)
def moment(text: str) -> Moment | None:
    """Whole seconds since the epoch, and the digits after the point without trailing zeros.

    Pairs compare as the times do. None when there is no such time, such as on 31 November. A leap
    second (RFC 3339 allows 60) is the first second of the next minute.
    """
    whole, _, fraction = text.removesuffix("Z").partition(".")
    try:
        minute = datetime.fromisoformat(f"{whole[:_MINUTE_CHARS]}00+00:00")
        seconds = (minute - _EPOCH) // timedelta(seconds=1) + int(whole[_MINUTE_CHARS:])
    except ValueError:
        return None
    return seconds, fraction.rstrip("0")


def instant(text: str) -> datetime:
    """The time as near as a datetime comes, which knows no leap second at the end of the year 9999.

    The epoch when there is no such time.
    """
    return _EPOCH + min(timedelta(microseconds=microseconds(text)), _LATEST)


def microseconds(text: str) -> int:
    """Microseconds since the epoch, further digits cut off; 0 when there is no such time."""
    found = moment(text)
    if found is None:
        return 0
    seconds, fraction = found
    return seconds * 1_000_000 + int(f"{fraction:0<6}"[:6])
