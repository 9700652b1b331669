"""Cursors and dates of TAXII: which part of an answer a client gets, and its ``next``.

``next`` holds the store's clock at the last object served, the filters and the page size, signed
together with who asked what. So it needs no memory here, survives restarts, cannot be forged or
carried elsewhere, and a client that repeats nothing but ``next`` still gets the right page.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from django.core import signing

from sharing.stix.reading.moments import moment as stix_moment

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000
MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
_SALT: Final = "sharing.taxii.next"
# The type wants six digits (2); clients send from none to nine.
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_LAST: Final = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
_LIMIT: Final = re.compile(r"[0-9]{1,9}")
_SHOWN_CHARS: Final = 40

Terms = tuple[str, ...]
Matches = dict[str, Terms]
Item = TypeVar("Item")


class BadQuery(ValueError):
    """A parameter that cannot be used; the message names it and says what would do."""


@dataclass(frozen=True)
class Page:
    """What a client asks for: objects that ``matches``, added after ``after``, ``limit`` at most.

    ``known`` is the instant up to which the client has everything, None when it named none.
    """

    after: int
    limit: int
    matches: Matches
    known: int | None = None

    def continued(self, last: int, *, bound_to: str) -> str:
        """The ``next`` that goes on after the instant ``last``."""
        told = {"after": last, "limit": self.limit, "match": self.matches}
        sealed = signing.Signer(salt=f"{_SALT}:{bound_to}").sign_object(told, compress=True)
        return sealed.replace(":", "~")


def micros(text: str, *, name: str = "added_after") -> int:
    """A STIX timestamp as microseconds since the epoch, rounded down. Raises BadQuery."""
    found = stix_moment(text) if _TIMESTAMP.fullmatch(text) else None
    if found is None:
        raise BadQuery(f"{name} must be a timestamp such as 2026-11-24T08:00:00.000000Z")
    seconds, fraction = found
    # A leap second may belong to a year that cannot be written.
    return min(seconds * 1_000_000 + int(f"{fraction:0<6}"[:6]), _LAST)


def moment(instant: int) -> str:
    """Microseconds since the epoch as a TAXII timestamp."""
    whole, fraction = divmod(instant, 1_000_000)
    second = datetime.fromtimestamp(whole, UTC).replace(tzinfo=None)
    return f"{second.isoformat(timespec='seconds')}.{fraction:06d}Z"


def page(query: dict[str, str], matches: Matches, *, bound_to: str) -> Page:
    """The page a query asks for. Raises BadQuery.

    With ``next``, the cursor decides: ``added_after`` and ``limit`` may be repeated, changed or
    left out, filters repeated or left out. Filters that differ would skip objects unseen.
    """
    after = micros(query["added_after"]) if "added_after" in query else None
    limit = _limit(query["limit"]) if "limit" in query else None
    if not query.get("next"):
        return Page(after or 0, limit or DEFAULT_LIMIT, matches, known=after)
    told = _opened(query["next"], bound_to)
    carried: Matches = {name: tuple(terms) for name, terms in told["match"].items()}
    for name, terms in matches.items():
        if set(terms) != set(carried.get(name, ())):
            raise BadQuery(
                f"next belongs to a query with another match[{name}]; repeat the filters as they "
                "were, leave them out, or leave next out and start again"
            )
    return Page(told["after"], limit or told["limit"], carried, known=told["after"])


def _limit(text: str) -> int:
    if not _LIMIT.fullmatch(text) or int(text) < 1:
        raise BadQuery(bad_limit(text))
    return min(int(text), MAX_LIMIT)


def bad_limit(text: str) -> str:
    """Why this is no limit, and what is."""
    return f'limit is a whole number from 1; "{text[:_SHOWN_CHARS]}" is not.'


def _opened(token: str, bound_to: str) -> dict[str, Any]:
    signer = signing.Signer(salt=f"{_SALT}:{bound_to}")
    try:
        told: dict[str, Any] = signer.unsign_object(token.replace("~", ":"))
    except signing.BadSignature:
        raise BadQuery(
            "next is not one that was given to this key for this address; leave it out and start "
            "again with added_after"
        ) from None
    return told


def cut(
    found: Iterable[tuple[int, Item]], page: Page, *, weigh: Callable[[Item], int] | None = None
) -> tuple[list[tuple[int, Item]], bool]:
    """What goes on the page, and whether there is more. ``found`` pairs instants with items.

    A page has one item at least; beyond that no more than MAX_PAGE_BYTES, as ``weigh`` says.
    """
    shown: list[tuple[int, Item]] = []
    size = 0
    for added, item in found:
        size += weigh(item) if weigh else 0
        if len(shown) == page.limit or (shown and size > MAX_PAGE_BYTES):
            return shown, True
        shown.append((added, item))
    return shown, False
