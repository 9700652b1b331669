"""Celery's side of the fan-out: ids in, one stage called. With the broker down nobody rings, and
the sweep, run by beat or by hand, finds what the rows say is due."""

from django.utils import timezone

from alerts import fanout, jumps, triage
from alerts.models import Alert
from crc.celery import app
from crc.celery import ring as ring
from sharing import tally
from sharing.tasks import open_waiting

CHUNK = 10


@app.task(name="alerts.tasks.triage_submission")  # type: ignore[untyped-decorator]
def triage_submission(submission_id: str) -> None:
    """Assess one submission and send what it raises."""
    for alert in triage.triage(submission_id):
        ring_for(alert)


@app.task(name="alerts.tasks.deliver")  # type: ignore[untyped-decorator]
def deliver(delivery_ids: list[str]) -> None:
    """Send some deliveries."""
    fanout.send_all(delivery_ids)


@app.task(name="alerts.tasks.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Find what the doorbell missed and do it."""
    run_sweep()


def run_sweep() -> dict[str, int]:
    """Open, triage and send what waits; returns how many of each. Safe to run twice at once."""
    counts = {"opened": open_waiting(), "triaged": 0, "sent": 0, "jumps": 0}
    for submission_id in triage.waiting():
        for alert in triage.triage(submission_id):
            ring_for(alert)
        counts["triaged"] += 1
    now = timezone.now()
    counts["jumps"], warned = jumps.find(now)
    for alert in warned:
        ring_for(alert)
    tally.tidy(now)
    counts["sent"] = fanout.send_all(fanout.due())
    return counts


def ring_for(alert: Alert) -> bool:
    """Hand one warning's deliveries to the workers, in chunks; False when the broker is down."""
    ids = fanout.due_for(alert)
    return all(ring(deliver, ids[start : start + CHUNK]) for start in range(0, len(ids), CHUNK))
