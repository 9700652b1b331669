"""The one door in: form, TAXII post and import all end here, in one transaction, with a receipt."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from crc import faults
from crc.members import audit
from crc.members.models import ApiKey, Organisation, User
from sharing import retries, store, tally
from sharing.checking import Checked, check, refused
from sharing.models import Collection, Door, Placement, Report, SightingPost, Submission
from sharing.signals import accepted
from sharing.stix import compose, sightings
from sharing.stix.markings import Tlp
from sharing.store import Item, Outcome, Result, put
from sharing.understanding import incident

log = logging.getLogger(__name__)

UNSTORABLE: Final = "the hub cannot store this object; tell its operator, and send it otherwise"

# Counting a thousand sightings keeps a processor busy. Several threads at it at once count no more
# in a second; they only take turns with a thread that answers a page, which then waits for all.
_counting: Final = Lock()


@dataclass(frozen=True)
class Receipt:
    """What became of a submission; ``results`` has one entry per object sent, in order."""

    submission: Submission
    results: list[Result]

    def count(self, outcome: Outcome) -> int:
        """How many objects ended so."""
        return sum(result.outcome is outcome for result in self.results)


def accept(
    objects: Sequence[Any],
    *,
    submission: Submission,
    into: Iterable[Collection],
    actor: User | ApiKey | str,
    default_tlp: Tlp = Tlp.AMBER_STRICT,
    at_most: Tlp = Tlp.RED,
    report: Report | None = None,
) -> Receipt:
    """Check, store and place ``objects``; the receipt says what became of each.

    ``submission`` and ``report`` come unsaved and are saved here with everything else, or not at
    all. What is marked stricter than ``at_most`` is refused.
    """
    checked = check(objects, default_tlp=default_tlp, at_most=at_most)
    return take_in(checked, submission=submission, into=into, actor=actor, report=report)


def take_in(
    checked: Sequence[Checked],
    *,
    submission: Submission,
    into: Iterable[Collection],
    actor: User | ApiKey | str,
    report: Report | None = None,
) -> Receipt:
    """Store and place what was checked, in one transaction; the second half of ``accept``.

    An object that the database does not take, which nobody has foreseen, costs the others nothing.
    """
    into = list(into)
    try:
        return _taken_in(checked, submission, into, actor, report)
    except Exception as error:
        if _is_no_objects_fault(error):
            raise
        # Its message may quote what was sent.
        log.error("%s: taken in one by one: %s", submission.reference, type(error).__name__)
        storable = [_storable(item, submission, into) for item in checked]
        return _taken_in(storable, submission, into, actor, report)


def _storable(item: Checked, submission: Submission, into: list[Collection]) -> Checked:
    """The item if it can be stored alone, which is tried and undone; else its refusal."""
    if isinstance(item, Result):
        return item
    try:
        with transaction.atomic():
            put([item], into=into, submission=submission)
            transaction.set_rollback(True)
    except Exception as error:
        if _is_no_objects_fault(error):
            raise
        return refused(item.body, UNSTORABLE)
    return item


def _is_no_objects_fault(error: Exception) -> bool:
    """Busy, away, or sent twice: for the caller to settle."""
    return faults.passes(error) or isinstance(error, IntegrityError)


def _taken_in(
    checked: Sequence[Checked],
    submission: Submission,
    into: list[Collection],
    actor: User | ApiKey | str,
    report: Report | None,
) -> Receipt:
    with transaction.atomic():
        good = [item for item in checked if isinstance(item, Item)]
        stored = iter(put(good, into=into, submission=submission))
        results = [
            _noted(next(stored), item) if isinstance(item, Item) else item for item in checked
        ]
        submission.receipt = [
            [result.stix_id, result.version, result.outcome.value, result.reason]
            for result in results
        ]
        if not is_news(into):
            submission.triaged_at = submission.received_at
        submission.save(force_insert=True)
        if report:
            report.save(force_insert=True)
        audit.record(
            "submission.accepted",
            actor=actor,
            subject=submission.reference,
            door=submission.door,
            objects=len(results),
        )
        if submission.triaged_at is None:
            transaction.on_commit(lambda: _announce(submission))
    return Receipt(submission, results)


def is_news(into: Iterable[Collection]) -> bool:
    """Whether a member tells what it saw itself, which goes to its inbox, and triage should look.

    What is put on a shelf is what somebody publishes: a feed that repeats a member's indicator is
    no second member that saw it.
    """
    return any(collection.kind == Collection.Kind.INBOX for collection in into)


def _noted(result: Result, item: Item) -> Result:
    if item.note and result.outcome is not Outcome.REFUSED:
        return replace(result, reason=item.note)
    return result


def _announce(submission: Submission) -> None:
    """Ring the doorbell. Nobody listening is no reason to fail: the row is the letter."""
    told = accepted.send_robust(
        Submission, submission_id=str(submission.pk), by_person=submission.door == Door.FORM
    )
    for receiver, outcome in told:
        if isinstance(outcome, Exception):
            log.warning(
                "submission %s: %s did not hear of it: %s",
                submission.reference,
                receiver,
                type(outcome).__name__,
            )


def count_sightings(
    objects: Sequence[Any], *, body: bytes, source: Organisation, actor: ApiKey
) -> SightingPost:
    """Count a post of sightings, in one transaction; the receipt is the row returned.

    ``body`` are the bytes ``objects`` came in: the same again gets the first receipt again. There
    is no audit entry for each post: who counted what stays in the counts, and what is kept as
    evidence goes in, and on record, as any submission does.
    """
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    known = SightingPost.objects.filter(source=source, digest=digest).first()
    if known:
        return known
    with _counting:
        return _read_and_count(objects, digest, source, actor)


def _read_and_count(
    objects: Sequence[Any], digest: str, source: Organisation, actor: ApiKey
) -> SightingPost:
    arrived = timezone.now()
    found = sightings.read(objects, now=int(arrived.timestamp()), oldest=tally.oldest(arrived))
    fresh = _first_time(found.seen, source)
    with transaction.atomic():
        post, made = SightingPost.objects.get_or_create(
            source=source,
            digest=digest,
            defaults={
                "actor": f"key:{actor.lookup}",
                "received_at": arrived,
                "taken": len(objects) - len(found.refused),
                "repeated": len(found.seen) - len(fresh),
                "refused": [_refusal_of(obj, reason) for obj, reason in found.refused],
            },
        )
        if not made:
            return post
        if fresh:
            _count(fresh, found, source=source, actor=actor, arrived=arrived)
        ids = [one.body["id"] for one in fresh]
        transaction.on_commit(lambda: retries.remember(source.pk, ids))
    return post


def _first_time(seen: Sequence[sightings.Seen], source: Organisation) -> list[sightings.Seen]:
    """Without what came before, in this envelope or in others."""
    by_id = {one.body["id"]: one for one in reversed(seen)}
    known = retries.seen_before(source.pk, list(by_id))
    return [one for one in seen if by_id[one.body["id"]] is one and one.body["id"] not in known]


def _count(
    seen: Sequence[sightings.Seen],
    found: sightings.Reading,
    *,
    source: Organisation,
    actor: ApiKey,
    arrived: datetime,
) -> None:
    counted = tally.Tally(source.pk, tally.hourly_from(arrived))
    things = tally.whats(seen)
    for one, names in zip(seen, things, strict=True):
        for what in names:
            counted.add(what, one.at, one.count)
    kept = tally.samples(counted, seen, things)
    parts = {part["id"]: part for one in kept for part in found.with_what_it_names(one)}
    if parts:
        evidence = Submission(source=source, door=Door.SIGHTINGS, triaged_at=arrived)
        accept(list(parts.values()), submission=evidence, into=shelves_for(source), actor=actor)
    tally.write(counted)


def _refusal_of(obj: Any, reason: str) -> list[str]:
    told = refused(obj, reason)
    return [told.stix_id, told.version, told.reason]


def shelves_for(source: Organisation) -> list[Collection]:
    """Where a member's own submissions are placed: its inbox, and the desk's collection."""
    return list(
        Collection.objects.filter(kind=Collection.Kind.INBOX, owner=source)
        | Collection.objects.filter(kind=Collection.Kind.DESK)
    )


@dataclass(frozen=True)
class Destination:
    """Where a post to one collection goes, and which markings hold on the way."""

    into: list[Collection]
    default_tlp: Tlp = Tlp.AMBER_STRICT
    at_most: Tlp = Tlp.RED


def destination(collection: Collection, source: Organisation) -> Destination:
    """An inbox takes anything; a shelf only what its marking allows, and the desk has a copy."""
    if collection.kind == Collection.Kind.INBOX:
        return Destination(shelves_for(source))
    desk = Collection.objects.get(kind=Collection.Kind.DESK)
    level = Tlp(collection.tlp)
    return Destination([collection, desk], default_tlp=level, at_most=level)


class NotYours(ValueError):
    """Somebody else put this there."""


def take_back(
    chosen: QuerySet[Placement], collection: Collection, stix_id: str, *, actor: ApiKey
) -> int:
    """Take a member's own object out of one collection; the number of versions taken.

    ``chosen`` are placements of this object in this collection. Raises NotYours, also when only
    some of them are another's. The desk may take any.
    """
    source = actor.organisation
    with transaction.atomic():
        foreign = chosen.exclude(object__submission__source=source)
        if not source.is_desk and foreign.exists():
            raise NotYours("Only who put an object here may delete it")
        taken = store.take_out(
            collection, stix_id, Q(pk__in=list(chosen.values_list("pk", flat=True)))
        )
        if taken:
            audit.record(
                "object.deleted",
                actor=actor,
                subject=stix_id[:160],
                collection=collection.alias,
                versions=taken,
            )
    return taken


def accept_report(report: Report, *, submission: Submission, author: User) -> Receipt:
    """A report from the form: composed into its private graph and taken in."""
    report.submission, report.author = submission, author
    graph = compose.private_graph(incident(report))
    receipt = accept(
        graph,
        submission=submission,
        report=report,
        actor=author,
        into=shelves_for(submission.source),
        default_tlp=Tlp(report.tlp),
    )
    lost = [result for result in receipt.results if result.outcome is Outcome.REFUSED]
    if lost:
        # We composed these ourselves. The report is kept, the fault is ours, and the log says so.
        log.error(
            "report %s: %d of our own objects refused: %s",
            submission.reference,
            len(lost),
            lost[0].reason,
        )
    return receipt
