"""The store: objects go in under one clock.

``date_added`` is handed out while holding the pen (crc.ordering), so it rises in commit order: a
poller that has seen instant T will never later find something new at or before T.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import orjson
from django.db.models import Q

from crc.ordering import take_the_pen
from sharing.models import (
    Collection,
    ListedValue,
    Placement,
    Release,
    StixObject,
    StoreClock,
    Submission,
)
from sharing.stix.markings import Json
from sharing.stix.reading import Facts
from sharing.stix.values import key_of, plain_values


class Outcome(StrEnum):
    """What became of one object."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True)
class Item:
    """A checked object on its way in."""

    body: Json
    facts: Facts


@dataclass(frozen=True)
class Result:
    """What became of one object, with a reason when it was refused."""

    stix_id: str
    version: str
    outcome: Outcome
    reason: str = ""


def put(
    items: Sequence[Item],
    *,
    into: Iterable[Collection],
    submission: Submission | None = None,
    release: Release | None = None,
) -> list[Result]:
    """Store object versions and place them; one result per item, in order.

    The same version with the same content is a duplicate; what STIX 3.6 does not allow after what
    is here already is refused (see ``_refusal``). Call inside a transaction.
    """
    take_the_pen()
    rows = [_row(item, submission, release) for item in items]
    results, fresh = _sort(rows, submission.source_id if submission else None)
    StixObject.objects.bulk_create(fresh, batch_size=500)
    ListedValue.objects.bulk_create(_listed(items, rows, fresh), batch_size=500)
    stored = _stored(
        row for row, kept in zip(rows, results, strict=True) if kept.outcome is not Outcome.REFUSED
    )
    placed: set[tuple[str, int]] = set()
    for collection in into:
        placed |= _place(stored, collection)
    return [
        _accepted(result)
        if (row.stix_id, row.version) in placed and result.outcome is Outcome.DUPLICATE
        else result
        for row, result in zip(rows, results, strict=True)
    ]


def _accepted(result: Result) -> Result:
    return Result(result.stix_id, result.version, Outcome.ACCEPTED)


def _row(item: Item, submission: Submission | None, release: Release | None) -> StixObject:
    body = orjson.dumps(item.body)
    facts = item.facts
    return StixObject(
        stix_id=facts.stix_id,
        version=facts.version_us,
        type=facts.type,
        spec_version=facts.spec_version,
        version_text=facts.version,
        created_by_ref=facts.created_by_ref,
        revoked=facts.revoked,
        tlp=facts.tlp.value,
        body=body.decode(),
        lacks_spec_version=facts.lacks_spec_version,
        submission=submission,
        release=release,
        # Key order carries no meaning in JSON, so it must not make two copies differ.
        digest=hashlib.sha256(orjson.dumps(item.body, option=orjson.OPT_SORT_KEYS)).hexdigest(),
    )


@dataclass
class _History:
    """What the store holds of one object id. ``owner`` first sent it; None is the hub itself."""

    owner: int | None
    creator: str
    revoked: bool = False
    digests: dict[int, set[str]] = field(default_factory=dict)

    def add(self, version: int, digest: str, *, revoked: bool) -> None:
        """One more version."""
        self.digests.setdefault(version, set()).add(digest)
        self.revoked = self.revoked or revoked


def _sort(rows: Sequence[StixObject], sender: int | None) -> tuple[list[Result], list[StixObject]]:
    """Per row what is to become of it, and the rows to insert."""
    known = _histories({row.stix_id for row in rows})
    results, fresh = [], []
    for row in rows:
        history = known.setdefault(row.stix_id, _History(sender, row.created_by_ref))
        outcome, reason = Outcome.DUPLICATE, ""
        if row.digest not in history.digests.get(row.version, ()):
            reason = _refusal(row, history, sender)
            outcome = Outcome.REFUSED if reason else Outcome.ACCEPTED
        if outcome is Outcome.ACCEPTED:
            history.add(row.version, row.digest, revoked=row.revoked)
            fresh.append(row)
        results.append(Result(row.stix_id, row.version_text, outcome, reason))
    return results, fresh


def _histories(stix_ids: set[str]) -> dict[str, _History]:
    known: dict[str, _History] = {}
    held = StixObject.objects.filter(stix_id__in=stix_ids).order_by("pk")
    for stix_id, version, digest, revoked, creator, owner in held.values_list(
        "stix_id", "version", "digest", "revoked", "created_by_ref", "submission__source"
    ):
        history = known.setdefault(stix_id, _History(owner, creator))
        history.add(version, digest, revoked=revoked)
    return known


def _refusal(row: StixObject, history: _History, sender: int | None) -> str:
    """Why this may not follow what is held of its id (STIX 3.5, 3.6); empty when it may.

    Whoever sent an object first counts as its creator: that is all the hub can know.
    """
    if not row.version or not history.digests:
        return ""
    if row.version in history.digests:
        return "this version is already here with other content; raise 'modified'"
    if history.owner != sender:
        return "not the object's creator: only who sent it first may change or revoke it"
    if history.creator != row.created_by_ref:
        return "created_by_ref must stay the same from version to version"
    if row.type == "marking-definition":
        return "a marking cannot be changed; make a new one"
    if history.revoked:
        return "this object is revoked, and that is final; make a new one"
    if row.revoked and row.version < max(history.digests):
        return "a later version is already here; revoke with a later 'modified'"
    return ""


def _listed(
    items: Sequence[Item], rows: Sequence[StixObject], fresh: Sequence[StixObject]
) -> list[ListedValue]:
    new = {id(row) for row in fresh}
    return [
        ListedValue(
            object=row,
            kind=plain.kind.value,
            value=plain.value,
            valid_from=plain.valid_from,
            valid_until=plain.valid_until,
            key=key_of(plain.kind, plain.value),
        )
        for item, row in zip(items, rows, strict=True)
        if id(row) in new
        for plain in plain_values(item.body)
    ]


def _stored(rows: Iterable[StixObject]) -> list[StixObject]:
    """The saved twin of each row (itself, when it was inserted), in order, each once."""
    wanted = {(row.stix_id, row.version, row.digest): row for row in rows}
    missing = [row for row in wanted.values() if row.pk is None]
    held = StixObject.objects.filter(stix_id__in={row.stix_id for row in missing})
    for twin in held.only("stix_id", "version", "digest"):
        key = (twin.stix_id, twin.version, twin.digest)
        if key in wanted:
            wanted[key] = twin
    return list(wanted.values())


def _place(objects: Sequence[StixObject], collection: Collection) -> set[tuple[str, int]]:
    """Place what is not there yet; returns the (id, version) pairs that were new."""
    here: dict[str, set[int]] = {}
    held = Placement.objects.filter(
        collection=collection, stix_id__in={obj.stix_id for obj in objects}
    )
    for stix_id, version in held.values_list("stix_id", "version"):
        here.setdefault(stix_id, set()).add(version)
    new: dict[tuple[str, int], StixObject] = {}
    for obj in objects:
        if obj.version not in here.get(obj.stix_id, ()):
            new.setdefault((obj.stix_id, obj.version), obj)
    newest = {stix_id: max(versions) for stix_id, versions in here.items()}
    for stix_id, version in new:
        newest[stix_id] = max(version, newest.get(stix_id, version))
    _retire(collection, [i for i in newest if i in here and newest[i] not in here[i]])
    first = _instants(len(new))
    Placement.objects.bulk_create(
        [
            Placement(
                collection=collection,
                object_id=obj.pk,
                date_added=first + step,
                stix_id=obj.stix_id,
                version=obj.version,
                latest=obj.version == newest[obj.stix_id],
            )
            for step, obj in enumerate(new.values())
        ],
        batch_size=500,
    )
    return set(new)


def _retire(collection: Collection, stix_ids: list[str]) -> None:
    """The versions so far of these objects are no longer the latest here."""
    Placement.objects.filter(Q(stix_id__in=stix_ids), collection=collection, latest=True).update(
        latest=False
    )


def take_out(collection: Collection, stix_id: str, which: Q) -> int:
    """Take an object's placements out of one collection; the number taken.

    The newest version that stays becomes the latest again. Call inside a transaction.
    """
    take_the_pen()
    here = Placement.objects.filter(collection=collection, stix_id=stix_id)
    taken, _ = here.filter(which).delete()
    stays = here.order_by("-version").first()
    if stays and not stays.latest:
        here.filter(pk=stays.pk).update(latest=True)
    return taken


def _instants(count: int) -> int:
    """The first of ``count`` consecutive microseconds that nothing was added at.

    Never behind the last one handed out, so a machine clock set back cannot hide objects.
    """
    clock, _ = StoreClock.objects.get_or_create(pk=1)
    first = max(time.time_ns() // 1000, clock.last + 1)
    StoreClock.objects.filter(pk=1).update(last=first + count)
    return first
