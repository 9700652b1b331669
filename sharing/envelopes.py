"""Large posts: left at the door as a row, taken in by a worker, found by the sweep if need be."""

import logging
import uuid
from datetime import timedelta
from threading import Lock
from typing import Any, Final

from django.db import DatabaseError, transaction
from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from crc import faults
from crc.clock import run_out
from crc.members.models import ApiKey
from sharing.checking import UNREADABLE, Checked, check, refused
from sharing.intake import Destination, destination, take_in
from sharing.models import Collection, Door, Envelope, Submission
from sharing.stix import reading
from sharing.stix.patterns import effort

log = logging.getLogger(__name__)

MAX_OBJECTS: Final = 10_000
# What is larger than any of these takes longer than a client likes to wait for its answer.
WAITS_ABOVE_OBJECTS: Final = 1_000
WAITS_ABOVE_BYTES: Final = 2 * 1024 * 1024
WAITS_ABOVE_PATTERN_CHARS: Final = 20_000
# Longer than the slowest envelope of 10 MiB takes: ten thousand patterns for the grammar.
LEASE: Final = timedelta(minutes=10)
# So many workers may die over one envelope: all objects at once, then those that kill one by one.
MAX_ATTEMPTS: Final = 5
_GIVEN_UP: Final = (
    f"not taken: the hub has tried this envelope {MAX_ATTEMPTS} times and did not come to its end; "
    "send it again in smaller posts, and tell the hub's operator"
)

# One at a time in a process: large posts must not take all the threads that send warnings.
_reading: Final = Lock()

# For one member, all its keys together: a gigabyte at most.
MAX_WAITING: Final = 100


class TooManyWait(Exception):
    """This member's posts come faster than they are taken in."""


class NotAnEnvelope(ValueError):
    """The JSON is not what 3.7 calls an envelope; the message says what to send."""


def unpack(content: Any) -> list[Any]:
    """The objects of an envelope or a bundle; properties nobody knows are passed over (7.1.1).

    Raises NotAnEnvelope.
    """
    objects = content.get("objects") if isinstance(content, dict) else None
    if not isinstance(objects, list):
        raise NotAnEnvelope('Send an envelope, {"objects": [ ... ]}, or a STIX 2.1 bundle.')
    if not objects or len(objects) > MAX_OBJECTS:
        raise NotAnEnvelope(f"Send between 1 and {MAX_OBJECTS} objects at a time.")
    return objects


def must_wait(objects: list[Any], size: int) -> bool:
    """Whether taking these in is a worker's job."""
    if len(objects) > WAITS_ABOVE_OBJECTS or size > WAITS_ABOVE_BYTES:
        return True
    patterns = [obj["pattern"] for obj in objects if isinstance(obj, dict) and "pattern" in obj]
    slow = sum(effort(text) for text in patterns if isinstance(text, str))
    return slow > WAITS_ABOVE_PATTERN_CHARS


def leave(body: bytes, *, objects: int, collection: Collection, key: ApiKey) -> Envelope:
    """Keep a post as it came until a worker takes it in. Raises TooManyWait."""
    if Envelope.objects.filter(source=key.organisation).count() >= MAX_WAITING:
        raise TooManyWait
    return Envelope.objects.create(
        source=key.organisation,
        collection=collection,
        actor=f"key:{key.lookup}",
        objects_sent=objects,
        body=body,
    )


def waiting(limit: int = 20) -> list[str]:
    """Envelopes that no worker has: each member's oldest, then each one's second."""
    turn = Window(RowNumber(), partition_by="source", order_by=["received_at", "pk"])
    rows = Envelope.objects.filter(_free()).annotate(turn=turn).order_by("turn", "received_at")
    return [str(pk) for pk in rows.values_list("pk", flat=True)[:limit]]


def open_one(envelope_id: str) -> bool:
    """Take one envelope in; False when it is gone, another worker has it, or this one is busy with
    another: then the sweep comes back to it.

    The envelope goes in the transaction that stores its objects: a worker killed before leaves it
    to be opened again, one killed after leaves nothing.
    """
    if not _reading.acquire(blocking=False):
        return False
    try:
        return _open(envelope_id)
    finally:
        _reading.release()


def _open(envelope_id: str) -> bool:
    envelope = _claimed(envelope_id)
    if envelope is None:
        return False
    try:
        return _taken_in(envelope)
    except Exception as error:
        if faults.passes(error):
            _give_back(envelope)
        raise


def _claimed(envelope_id: str) -> Envelope | None:
    row = Envelope.objects.filter(_free(), pk=uuid.UUID(envelope_id))
    # Counted before the work: what kills its worker must not be given to workers for ever.
    if not row.update(lease_until=timezone.now() + LEASE, attempts=F("attempts") + 1):
        return None
    envelope = Envelope.objects.select_related("source", "collection").get(pk=envelope_id)
    if envelope.reached is not None:
        envelope.fatal, envelope.reached = [*envelope.fatal, envelope.reached], None
        envelope.save(update_fields=["fatal", "reached"])
    return envelope


def _give_back(envelope: Envelope) -> None:
    """The database was busy or away, which is no fault of the envelope: the next sweep has it."""
    try:
        _held(envelope).update(lease_until=None, attempts=F("attempts") - 1, reached=None)
    except DatabaseError:
        log.warning("envelope %s waits until its lease runs out", envelope.pk)


def _taken_in(envelope: Envelope) -> bool:
    goes_to = destination(envelope.collection, envelope.source)
    checked = _checked(envelope, goes_to)
    with transaction.atomic():
        # Ours no longer when the lease ran out meanwhile: whoever has it now stores it.
        gone, _ = _held(envelope).delete()
        if not gone:
            return False
        take_in(
            checked,
            submission=_submission(envelope),
            into=goes_to.into,
            actor=envelope.actor,
        )
    return True


def _checked(envelope: Envelope, goes_to: Destination) -> list[Checked]:
    """Every object judged; after a worker has died over them, with a note of where it has got to,
    so that the object that kills is known and left out the next time."""
    if envelope.attempts > MAX_ATTEMPTS + 1:  # even to read it is too much
        return [refused(None, _GIVEN_UP)] * envelope.objects_sent
    objects = unpack(reading.parse(bytes(envelope.body)))
    if envelope.attempts > MAX_ATTEMPTS:
        return [refused(obj, _GIVEN_UP) for obj in objects]
    fatal = {place: objects[place] for place in envelope.fatal}
    held = _held(envelope)
    checked = check(
        [None if place in fatal else obj for place, obj in enumerate(objects)],
        default_tlp=goes_to.default_tlp,
        at_most=goes_to.at_most,
        reached=(lambda at: held.update(reached=at)) if envelope.attempts > 1 else None,
    )
    held.update(reached=None)
    return [
        refused(fatal[place], UNREADABLE) if place in fatal else one
        for place, one in enumerate(checked)
    ]


def _submission(envelope: Envelope) -> Submission:
    """The submission takes the envelope's id, which the client was given as its status."""
    return Submission(
        id=envelope.pk,
        source=envelope.source,
        door=Door.TAXII,
        received_at=envelope.received_at,
    )


def _held(envelope: Envelope) -> QuerySet[Envelope]:
    return Envelope.objects.filter(pk=envelope.pk, lease_until=envelope.lease_until)


def _free() -> Q:
    return Q(lease_until=None) | run_out(LEASE)
