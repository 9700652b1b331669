"""Each object of a submission read and judged by itself, before anything is stored."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from sharing.stix import reading
from sharing.stix.markings import Json, Tlp
from sharing.stix.reading import columns
from sharing.store import Item, Outcome, Result

log = logging.getLogger(__name__)

# A slow pattern takes the grammar a quarter of a second: one post must not hold a worker for long.
MAX_CHECK_SECONDS: Final = 20.0
_TOO_LONG: Final = (
    f"not checked: the objects before it took {MAX_CHECK_SECONDS:.0f} seconds; send it again in "
    "smaller posts"
)

UNREADABLE: Final = "the hub cannot read this object; tell its operator, and send it otherwise"

Checked = Item | Result


def check(
    objects: Sequence[Any],
    *,
    default_tlp: Tlp = Tlp.AMBER_STRICT,
    at_most: Tlp = Tlp.RED,
    statements: frozenset[str] = frozenset(),
    reached: Callable[[int], object] | None = None,
) -> list[Checked]:
    """Each object ready to be stored, or what is wrong with it. Needs no database.

    What is not reached within MAX_CHECK_SECONDS of processor time is refused unread. ``statements``
    are markings known as such, beside those among the objects; they count where nothing is
    published. ``reached`` is told the place of each object before it is read.
    """
    statements |= reading.statements(objects)
    in_time = _allowance(MAX_CHECK_SECONDS)
    checked: list[Checked] = []
    for place, obj in enumerate(objects):
        if reached:
            reached(place)
        if in_time():
            checked.append(_read(obj, default_tlp, at_most, statements))
        else:
            checked.append(refused(obj, _TOO_LONG))
    return checked


def _allowance(seconds: float) -> Callable[[], bool]:
    """Tells whether so much processor time is still not used up."""
    begun, until = time.monotonic(), time.thread_time() + seconds
    # A thread uses no more than what passes, and to ask for that costs next to nothing.
    return lambda: time.monotonic() - begun < seconds or time.thread_time() < until


def _read(obj: Any, default_tlp: Tlp, at_most: Tlp, statements: frozenset[str]) -> Checked:
    """One object that nobody has foreseen must not cost the others of its post."""
    try:
        return _checked(obj, default_tlp, at_most, statements)
    except Exception as error:  # its message may quote the object
        log.error("an object cannot be read: %s", type(error).__name__)
        return refused(obj, UNREADABLE)


def _checked(obj: Any, default_tlp: Tlp, at_most: Tlp, statements: frozenset[str]) -> Checked:
    problems = reading.problems(obj)
    if problems:
        return refused(obj, "; ".join(problem.message for problem in problems[:5]))
    if at_most is not Tlp.RED:
        facts = reading.facts(obj, default_tlp=default_tlp)
        reason = _unpublishable(obj, facts, at_most)
        return refused(obj, reason) if reason else Item(obj, facts)
    facts = reading.facts(obj, default_tlp=default_tlp, statements=statements)
    return Item(obj, facts, _DESK_ALONE.format(facts.unranked) if facts.unranked else "")


_DESK_ALONE: Final = (
    "unknown marking {}: the desk alone sees this object; mark it with TLP only, or send the "
    "definition along if it is a statement"
)


def _unpublishable(obj: Json, facts: reading.Facts, level: Tlp) -> str:
    """Why a shelf of this level may not have an object; empty when it may.

    A statement may say in words who is not to see it ("for our members only"): of those that are
    not known here, none is published.
    """
    if facts.unranked:
        return (
            f"unknown marking {facts.unranked}; mark the object with TLP only, so that the hub "
            "knows who may see it"
        )
    if facts.tlp.rank > level.rank:
        return (
            f"{facts.tlp.label} may not enter a collection of {level.label}; post it to your inbox"
        )
    return reading.anothers_id(obj)


def refused(obj: Any, reason: str) -> Result:
    """The result for an object that is not taken, whatever it is."""
    named = obj if isinstance(obj, dict) else {}
    return Result(
        columns.fit(named.get("id"), columns.MAX_ID_CHARS),
        columns.fit(named.get("modified") or named.get("created"), columns.MAX_VERSION_CHARS),
        Outcome.REFUSED,
        columns.fit(reason, columns.MAX_REASON_CHARS),
    )
