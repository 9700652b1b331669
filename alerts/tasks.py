"""Celery's side of the fan-out: ids in, one stage called. With the broker down nobody rings, and
the sweep, run by beat or by hand, finds what the rows say is due.

Two queues: one that hangs on nobody (triage, the sweep), and one, worked by processes of its own,
in which a channel may wait for the world outside.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.signals import worker_shutting_down
from django.utils import timezone

from alerts import escalation, folding, jumps, outbox, sending, triage
from alerts.models import Alert
from crc import faults
from crc.celery import app
from crc.celery import ring as ring
from sharing import tally
from sharing.tasks import open_waiting


@app.task(name="alerts.tasks.triage_submission")  # type: ignore[untyped-decorator]
def triage_submission(submission_id: str) -> None:
    """Assess one submission and send what it raises."""
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
    _, troubles = _decide()
    for channel in outbox.channels_due():
        ring(deliver, channel)
    _tell(troubles)


@worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
def stop_sending(**kwargs: Any) -> None:
    """Celery waits for running tasks: let them come to an end."""
    sending.stop()


def run_sweep() -> dict[str, int]:
    """Open, triage and send what waits; returns how many of each. Safe to run twice at once."""
    counts, troubles = _decide()
    counts["sent"] = sum(sending.drain(channel) for channel in outbox.channels_due())
    _tell(troubles)
    return counts


def _decide() -> tuple[dict[str, int], list[Exception]]:
    """What is due, and what went wrong. One thing that cannot be done must not hold up the others:
    nobody would be called because one submission cannot be read."""
    troubles: list[Exception] = []
    now = timezone.now()
    counts = {"opened": open_waiting(), "triaged": _triage_waiting(troubles), "jumps": 0}
    with _noting(troubles):
        counts["jumps"], warned = jumps.find(now)
        for alert in warned:
            ring_for(alert)
    with _noting(troubles):
        tally.tidy(now)
    for stage in (escalation.climb, outbox.keep_up, folding.fold, outbox.promote):
        with _noting(troubles):
            stage()
    return counts, troubles


def _triage_waiting(troubles: list[Exception]) -> int:
    done = 0
    for submission_id in triage.waiting():
        with _noting(troubles):
            try:
                raised = triage.triage(submission_id)
            except Exception as error:
                if not faults.passes(error):
                    triage.leave_to_the_desk(submission_id)
                raise
            for alert in raised:
                ring_for(alert)
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
