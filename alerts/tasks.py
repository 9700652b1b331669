"""Celery's side of the fan-out: ids in, one stage called. With the broker down nobody rings, and
the sweep, run by beat or by hand, finds what the rows say is due.

Two queues: one that hangs on nobody (triage, the sweep), and one, worked by processes of its own,
in which a channel may wait for the world outside. What people report comes first; what tools post,
a thousand objects at a time, is one thread's work at a time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import Any, Final

from celery.signals import worker_shutting_down
from django.utils import timezone

from alerts import escalation, folding, jumps, outbox, sending, triage
from alerts.models import Alert
from crc import faults
from crc.celery import app
from crc.celery import ring as ring
from sharing import tally
from sharing.tasks import open_waiting

# Held by who looks at what tools have posted.
_patiently: Final = Lock()
# So long a sweep opens what tools have posted, and so long it triages. The next goes on with it.
MOST_SECONDS: Final = 10.0


@app.task(name="alerts.tasks.triage_report")  # type: ignore[untyped-decorator]
def triage_report(submission_id: str) -> None:
    """Assess what a person has sent, and send what it raises."""
    _triage(submission_id)


@app.task(name="alerts.tasks.triage_post")  # type: ignore[untyped-decorator]
def triage_post(submission_id: str) -> None:
    """Assess what a tool has sent, unless that is being done for another: the sweep comes to it."""
    if _patiently.acquire(blocking=False):
        try:
            _triage(submission_id)
        finally:
            _patiently.release()


def _triage(submission_id: str) -> None:
    for alert in triage.triage(submission_id):
        ring_for(alert)


# Acknowledged early: a lost ring is found by the sweep, a repeated one would only find work done.
@app.task(name="alerts.tasks.deliver", acks_late=False)  # type: ignore[untyped-decorator]
def deliver(channel: str) -> None:
    """Send what is due on one channel; where that is much, with the other senders."""
    sending.drain(channel, call_others=lambda: ring(deliver, channel))


@app.task(name="alerts.tasks.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Find what the doorbell missed and ring for it; sending is the senders' work."""
    troubles: list[Exception] = []
    for part in (_urgent, _patient):
        part(troubles)
        for channel in outbox.channels_due():
            ring(deliver, channel)
    _tell(troubles)


@worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
def stop_sending(**kwargs: Any) -> None:
    """Celery waits for running tasks: let them come to an end."""
    sending.stop()


def run_sweep() -> dict[str, int]:
    """Open, triage and send what waits; returns how many of each. Safe to run twice at once."""
    troubles: list[Exception] = []
    urgent, patient = _urgent(troubles), _patient(troubles)
    counts = {**patient, "triaged": urgent + patient["triaged"]}
    counts["sent"] = sum(sending.drain(channel) for channel in outbox.channels_due())
    _tell(troubles)
    return counts


def _urgent(troubles: list[Exception]) -> int:
    """People's reports, and what has become due; how many were triaged. What goes wrong is noted:
    one thing that cannot be done must not hold up the others, or nobody would be called because
    one submission cannot be read."""
    done = _triage_waiting(troubles, triage.waiting(people=True))
    for stage in (escalation.climb, outbox.keep_up, folding.fold, outbox.promote):
        with _noting(troubles):
            stage()
    return done


def _patient(troubles: list[Exception]) -> dict[str, int]:
    """What tools have posted, for a while, as far as no other thread is at it."""
    now, counts = timezone.now(), {"opened": open_waiting(_for_a_while()), "triaged": 0, "jumps": 0}
    if not _patiently.acquire(blocking=False):
        return counts
    try:
        posts = triage.waiting(people=False)
        counts["triaged"] = _triage_waiting(troubles, posts, _for_a_while())
        with _noting(troubles):
            counts["jumps"], warned = jumps.find(now)
            for alert in warned:
                ring_for(alert)
        with _noting(troubles):
            tally.tidy(now)
    finally:
        _patiently.release()
    return counts


def _for_a_while() -> Callable[[], bool]:
    until = monotonic() + MOST_SECONDS
    return lambda: monotonic() < until


def _triage_waiting(
    troubles: list[Exception], waiting: list[str], in_time: Callable[[], bool] = lambda: True
) -> int:
    done = 0
    for submission_id in waiting:
        if not in_time():
            break
        with _noting(troubles):
            try:
                _triage(submission_id)
            except Exception as error:
                if not faults.passes(error):
                    triage.leave_to_the_desk(submission_id)
                raise
            done += 1
    return done


@contextmanager
def _noting(troubles: list[Exception]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        troubles.append(error)


def _tell(troubles: list[Exception]) -> None:
    """Celery logs it, at the end of a sweep that has done all it could."""
    if troubles:
        raise troubles[0]


def ring_for(alert: Alert) -> bool:
    """Wake the senders of every channel a warning goes to; False when the broker is down."""
    rung = [ring(deliver, channel) for channel in outbox.channels_due(alert)]
    return all(rung)
