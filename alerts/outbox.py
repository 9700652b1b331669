"""Deliveries as a queue: rows claimed in batches and recorded in batches, both conditionally.

At least once: a worker that dies between claim and record leaves a lease behind, and the sweep
gives the row out again with the same id, by which receivers know a repeat.
"""

import logging
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from alerts import storms
from alerts.models import Alert, Delivery, Pulse
from crc import clock, hotsql
from crc.members.retold import kept

log = logging.getLogger(__name__)

# A claimed row that a worker has not begun to send after this long is given back unsent.
PATIENCE: Final = timedelta(seconds=8)
# The longest that one send may take (alerts.channels keep to it).
LONGEST_SEND: Final = timedelta(seconds=20)
# No live send is repeated, and a warning in a dead worker's hands is out again within the minute.
LEASE: Final = PATIENCE + LONGEST_SEND + timedelta(seconds=7)
# Seconds to wait after each failed try: quick at first, then daily for three days.
BACK_OFF: Final = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400, 86_400)
# Up to so much longer, so that what failed together does not come back together.
JITTER: Final = 0.2


@dataclass(frozen=True)
class Outcome:
    """What became of one claimed delivery: its new state, and why; ``again_at`` when waiting.

    ``counts``: whether it was a try. A row given back unsent has not used one up. ``gone``: the
    receiver wants no more at all. ``host_down``: nothing answered.
    """

    delivery: Delivery
    state: Delivery.State
    reason: str = ""
    again_at: datetime | None = None
    took_ms: int | None = None
    counts: bool = True
    gone: bool = False
    host_down: bool = False


_WHAT_A_SEND_NEEDS: Final = (
    "alert", "organisation", "channel", "address", "step", "host", "raised_at", "attempts",
    "reason", "folded_into", "touches",
)  # fmt: skip


def claim(
    channel: str, room: int, *, avoiding: Sequence[str], allowance: Callable[[str], int]
) -> list[Delivery]:
    """At most ``room`` due deliveries of a channel, now this worker's: the gravest, newest first.

    None to the hosts in ``avoiding``, and to each other host at most ``allowance(host)``.
    """
    now = timezone.now()
    due = Delivery.objects.filter(channel=channel, state=Delivery.State.DUE)
    if avoiding:
        due = due.exclude(host__in=avoiding)
    with transaction.atomic():
        # Two workers at once must not look at the same rows; SQLite has one writer anyway.
        found = due.select_for_update(skip_locked=True).order_by("-rank", "-raised_at")
        found = found.only(*_WHAT_A_SEND_NEEDS)[:room]
        chosen = _within(found, allowance)
        if chosen:
            Delivery.objects.filter(pk__in=[row.pk for row in chosen]).update(
                state=Delivery.State.SENDING, lease_until=now + LEASE
            )
    for row in chosen:
        row.lease_until = now + LEASE
    return chosen


def _within(rows: Iterable[Delivery], allowance: Callable[[str], int]) -> list[Delivery]:
    taken: dict[str, int] = {}
    chosen = []
    for row in rows:
        if taken.setdefault(row.host, 0) < allowance(row.host):
            taken[row.host] += 1
            chosen.append(row)
    return chosen


def record(outcomes: Sequence[Outcome]) -> int:
    """Write down what became of claimed deliveries; how many were still ours to write.

    The lease is the fence: a worker that was paused for longer than its own must not write over
    the row's next owner.
    """
    tried = [done for done in outcomes if done.counts]
    given_back = [done for done in outcomes if not done.counts]
    return _write(tried, "lease_until = NULL, attempts = attempts + 1") + _write(
        given_back, "lease_until = NULL"
    )


def _write(outcomes: Sequence[Outcome], setting: str) -> int:
    if not outcomes:
        return 0
    now = timezone.now()
    return hotsql.update(
        Delivery,
        ["id", "lease_until", "state", "reason", "next_try_at", "sent_at", "took_ms"],
        [
            (
                done.delivery.pk,
                done.delivery.lease_until,
                done.state.value,
                done.reason[:300],
                done.again_at or now,
                now if done.state is Delivery.State.SENT else None,
                done.took_ms,
            )
            for done in outcomes
        ],
        matching=2,
        setting=setting,
    )


def hold_back(channel: str, host: str, organisation: int, seconds: float) -> None:
    """What is due at a host for a member whose address there did not answer waits for a while, so
    that the next to be tried there is another's: one member's dead addresses must not take every
    turn of a host that it shares."""
    due = Delivery.objects.filter(state=Delivery.State.DUE, channel=channel, host=host)
    due.filter(organisation=organisation).update(
        state=Delivery.State.WAITING, next_try_at=timezone.now() + timedelta(seconds=seconds)
    )


def back_off(attempts: int) -> timedelta | None:
    """How long to wait after so many failed tries; None when there is no use in trying on."""
    if attempts > len(BACK_OFF):
        return None
    # The spread is no secret.
    return timedelta(seconds=BACK_OFF[attempts - 1] * (1 + random.random() * JITTER))  # noqa: S311


def keep_up() -> timedelta:
    """How far the clock was set back since the last look; what waits for a length of time is
    brought forward by as much.

    Back-offs and the windows of a case are lengths, written down as moments. Digests and the end of
    quiet hours are moments of the reader's day, and stay.
    """
    now = timezone.now()
    with transaction.atomic():
        pulse, _made = Pulse.objects.select_for_update().get_or_create(pk=1, defaults={"at": now})
        back = pulse.at - now
        Pulse.objects.update(at=now)
        if back < clock.SKEW:
            return timedelta(0)
        waiting = Delivery.objects.filter(state=Delivery.State.WAITING)
        lengths = Q(bundle="") | Q(bundle__startswith=storms.BUNDLE)
        waiting.filter(lengths).update(next_try_at=F("next_try_at") - back)
    log.warning("the clock was set back by %s; what waits was brought forward", back)
    return back


def promote() -> int:
    """Make due what has waited long enough, and what a worker that is gone had claimed.

    What waits in a bundle is not for us: alerts.folding makes one message of it.
    """
    waiting = Delivery.objects.filter(state=Delivery.State.WAITING, bundle="")
    waited = waiting.filter(next_try_at__lte=timezone.now())
    lost = Delivery.objects.filter(clock.run_out(LEASE), state=Delivery.State.SENDING)
    return waited.update(state=Delivery.State.DUE) + lost.update(
        state=Delivery.State.DUE,
        lease_until=None,
        attempts=F("attempts") + 1,
        reason=kept("the worker that had it is gone"),
    )


def channels_due(alert: Alert | None = None) -> list[str]:
    """The channels that have something to send now, for one warning or at all."""
    rows = Delivery.objects.filter(state=Delivery.State.DUE)
    if alert:
        rows = rows.filter(alert=alert)
    return sorted(rows.order_by().values_list("channel", flat=True).distinct())
