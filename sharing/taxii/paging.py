"""Cursors and dates of TAXII: what a client may ask for, and the ``next`` it is given.

``next`` is the store's clock at the last object served, signed together with who asked for what, so
that it is stateless, survives restarts, and cannot be forged or carried to another collection.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.core import signing

MAX_LIMIT: Final = 1_000
_SALT: Final = "sharing.taxii.next"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BadQuery(ValueError):
    """A parameter that cannot be used; the message names it and says what would do."""


@dataclass(frozen=True)
class Page:
    """Serve what was added after ``after`` (microseconds), at most ``limit`` objects."""

    after: int
    limit: int


def micros(text: str, *, name: str = "added_after") -> int:
    """A STIX timestamp as microseconds since the epoch, rounded down. Raises BadQuery."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None or "T" not in text:
            raise ValueError
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise BadQuery(f"{name} must be a timestamp such as 2026-11-24T08:00:00.000000Z") from None


def moment(instant: int) -> str:
    """Microseconds since the epoch as a TAXII timestamp."""
    whole, fraction = divmod(instant, 1_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:06d}Z"


def page(query: dict[str, str], *, bound_to: str) -> Page:
    """The page a query asks for. Raises BadQuery.

    With ``next``, the cursor decides and a repeated ``added_after`` is accepted and ignored.
    """
    after = micros(query["added_after"]) if query.get("added_after") else 0
    if query.get("next"):
        after = max(after, _opened(query["next"], bound_to))
    return Page(after, _limit(query.get("limit", "")))


def _limit(text: str) -> int:
    if not text:
        return MAX_LIMIT
    if not text.isdecimal() or not text.isascii() or len(text) > 9 or int(text) < 1:
        raise BadQuery("limit must be a whole number, 1 or more")
    return min(int(text), MAX_LIMIT)


def sealed(instant: int, *, bound_to: str) -> str:
    """The ``next`` that continues after ``instant``."""
    return signing.Signer(salt=f"{_SALT}:{bound_to}").sign(f"{instant:x}").replace(":", ".")


def _opened(token: str, bound_to: str) -> int:
    try:
        plain = signing.Signer(salt=f"{_SALT}:{bound_to}").unsign(token.replace(".", ":"))
    except signing.BadSignature:
        raise BadQuery(
            "next is not one that this collection gave to this key; leave it out and "
            "start again with added_after"
        ) from None
    return int(plain, 16)
