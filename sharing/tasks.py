"""Celery's side of the intake: an id in, one stage called. The row waits if nobody rings."""

import logging
from collections.abc import Callable

from crc.celery import app, ring
from sharing import envelopes, segments
from sharing.models import Envelope

log = logging.getLogger(__name__)


@app.task(name="sharing.tasks.open_envelope")  # type: ignore[untyped-decorator]
def open_envelope(envelope_id: str) -> None:
    """Take one large post in."""
    envelopes.open_one(envelope_id)


@app.task(name="sharing.tasks.seal")  # type: ignore[untyped-decorator]
def seal() -> None:
    """Make pages ready behind the writers."""
    segments.seal_all()


def ring_for(envelope: Envelope) -> bool:
    """Wake a worker; False when the broker is down and the sweep has to find the row."""
    return ring(open_envelope, str(envelope.pk))


def open_waiting(in_time: Callable[[], bool] = lambda: True) -> int:
    """Open what the doorbell missed, as long as there is time; how many. One that fails must not
    hold up the others."""
    opened = 0
    for envelope_id in envelopes.waiting():
        if not in_time():
            break
        try:
            opened += envelopes.open_one(envelope_id)
        except Exception as error:
            # Its lease stands, so it is tried again later; the message may quote what it holds.
            log.error("envelope %s cannot be opened: %s", envelope_id, type(error).__name__)
    return opened
