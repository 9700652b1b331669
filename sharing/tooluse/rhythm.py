"""Whether a tool still polls as it used to: a pure function of what was seen of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median_high
from typing import Final

# Nobody's red light for a tool that missed a few minutes.
LEAST_SILENCE: Final = timedelta(minutes=15)
LEAST_LATE: Final = timedelta(minutes=5)
# What is assumed of a tool until it has polled twice.
UNKNOWN: Final = timedelta(hours=1)
SILENT_AFTER: Final = 3
LATE_AFTER: Final = 1.5
FAILING_AFTER: Final = 3
KEPT_GAPS: Final = 9


class State(StrEnum):
    """How a tool does."""

    NEVER = "never"
    FINE = "fine"
    LATE = "late"
    SILENT = "silent"
    FAILING = "failing"
    ENDED = "ended"


@dataclass(frozen=True)
class Seen:
    """What the judgement rests on. ``usual`` is the tool's own rhythm, None while unknown;
    ``polls`` whether silence means anything: a tool that only posts has no rhythm."""

    last_at: datetime | None
    last_ok_at: datetime | None
    failed_in_row: int = 0
    usual: timedelta | None = None
    polls: bool = True
    live: bool = True


def usual_gap(gaps: list[float]) -> timedelta | None:
    """The rhythm in the last gaps: their median, so that one long pause does not change it."""
    return timedelta(seconds=median_high(gaps)) if gaps else None


def silent_after(usual: timedelta | None) -> timedelta:
    """How long a tool of this rhythm may be quiet before the light turns red."""
    return max(LEAST_SILENCE, SILENT_AFTER * (usual or UNKNOWN))


def state(seen: Seen, *, now: datetime) -> State:
    """The light. A tool that asks in vain is failing; one that does not ask is silent."""
    if not seen.live:
        return State.ENDED
    if seen.last_at is None:
        return State.NEVER
    patience = silent_after(seen.usual)
    if seen.polls and now - seen.last_at > patience:
        return State.SILENT
    if seen.last_ok_at is None or seen.failed_in_row >= FAILING_AFTER:
        return State.FAILING
    if not seen.polls:
        return State.FINE
    quiet = now - seen.last_ok_at
    if quiet > patience:
        return State.FAILING
    late = max(LEAST_LATE, LATE_AFTER * (seen.usual or UNKNOWN))
    return State.LATE if quiet > late else State.FINE
