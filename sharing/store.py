"""The store: objects go in under one clock.

``date_added`` is handed out while holding the pen (crc.ordering), so it rises in commit order: a
poller that has seen instant T will never later find something new at or before T.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import orjson
from django.db.models import Q

from crc import hotsql
from crc.ordering import take_the_pen
from sharing import segments
from sharing.models import (
    Collection,
    ListedValue,
    Placement,
    Release,
    StixObject,
    StoreClock,
    Submission,
)
from sharing.stix.markings import Json, Tlp
from sharing.stix.reading import Facts
from sharing.stix.values import PlainValue, plain_values


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
    is here already is refused (see ``_refusal``). Call inside a transaction; ``submission`` and
    ``release`` may be saved later in it.
    """
    if not items:
        return []
    # What needs no database is done before the others have to wait.
    versions = [_Version.of(item) for item in items]
    take_the_pen()
    for version, pk in zip(versions, hotsql.next_ids(StixObject, len(items)), strict=True):
        version.pk = pk
    known = _histories({version.stix_id for version in versions})
    seen_before = set(known)
    results, fresh = _judged(versions, known, submission.source_id if submission else None)
    _store(fresh, submission, release)
    kept = [
        version
        for version, result in zip(versions, results, strict=True)
        # TLP:RED must not reach a collection, whoever asks.
        if result.outcome is not Outcome.REFUSED and version.item.facts.tlp is not Tlp.RED
    ]
    placed: set[tuple[str, int]] = set()
    for collection in into:
        placed |= _place(kept, collection, seen_before)
    return [
        _accepted(result)
        if (version.stix_id, version.number) in placed and result.outcome is Outcome.DUPLICATE
        else result
        for version, result in zip(versions, results, strict=True)
    ]


def _accepted(result: Result) -> Result:
    return Result(result.stix_id, result.version, Outcome.ACCEPTED)


def digest_of(body: Json) -> str:
    """What two copies of one content share: key order carries no meaning in JSON."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(slots=True)
class _Version:
    """One object version on its way in; ``pk`` is its row, or that of the twin stored before."""

    item: Item
    stix_id: str
    number: int
    body: str
    digest: str
    values: list[PlainValue]
    pk: int = 0

    @classmethod
    def of(cls, item: Item) -> "_Version":
        """All that can be told of an item without asking the database."""
        return cls(
            item,
            item.facts.stix_id,
            item.facts.version_us,
            orjson.dumps(item.body).decode(),
            digest_of(item.body),
            plain_values(item.body),
        )


@dataclass(slots=True)
class _History:
    """What the store holds of one object id: rows by digest, by version.

    ``owner`` first sent it; None is the hub itself.
    """

    owner: int | None
    creator: str
    revoked: bool = False
    versions: dict[int, dict[str, int]] = field(default_factory=dict)

    def add(self, number: int, digest: str, pk: int, *, revoked: bool) -> None:
        """One more version."""
        self.versions.setdefault(number, {})[digest] = pk
        self.revoked = self.revoked or revoked


def _judged(
    versions: Sequence[_Version], known: dict[str, _History], sender: int | None
) -> tuple[list[Result], list[_Version]]:
    """Per version what is to become of it, and those to insert."""
    results, fresh = [], []
    for version in versions:
        facts = version.item.facts
        history = known.get(version.stix_id)
        if history is None:
            history = known[version.stix_id] = _History(sender, facts.created_by_ref)
        twin = history.versions.get(version.number, {}).get(version.digest)
        outcome, reason = Outcome.DUPLICATE, ""
        if twin is not None:
            version.pk = twin
        else:
            reason = _refusal(version, history, sender)
            outcome = Outcome.REFUSED if reason else Outcome.ACCEPTED
        if outcome is Outcome.ACCEPTED:
            history.add(version.number, version.digest, version.pk, revoked=facts.revoked)
            fresh.append(version)
        results.append(Result(version.stix_id, facts.version, outcome, reason))
    return results, fresh


_HELD: Final = (
    "SELECT o.id, o.stix_id, o.version, o.digest, o.revoked, o.created_by_ref, s.source_id"
    " FROM sharing_stixobject o LEFT JOIN sharing_submission s ON s.id = o.submission_id"
    " WHERE o.stix_id {among} ORDER BY o.id"
)


def _histories(stix_ids: set[str]) -> dict[str, _History]:
    known: dict[str, _History] = {}
    for pk, stix_id, number, digest, revoked, creator, owner in hotsql.rows_among(
        _HELD, [*stix_ids]
    ):
        history = known.setdefault(stix_id, _History(owner, creator))
        history.add(number, digest, pk, revoked=bool(revoked))
    return known


def _refusal(version: _Version, history: _History, sender: int | None) -> str:
    """Why this may not follow what is held of its id (STIX 3.5, 3.6); empty when it may.

    Whoever sent an object first counts as its creator: that is all the hub can know.
    """
    facts = version.item.facts
    if not version.number or not history.versions:
        return ""
    if version.number in history.versions:
        return "this version is already here with other content; raise 'modified'"
    if history.owner != sender:
        return "not the object's creator: only who sent it first may change or revoke it"
    if history.creator != facts.created_by_ref:
        return "created_by_ref must stay the same from version to version"
    if facts.type == "marking-definition":
        return "a marking cannot be changed; make a new one"
    if history.revoked:
        return "this object is revoked, and that is final; make a new one"
    if facts.revoked and version.number < max(history.versions):
        return "a later version is already here; revoke with a later 'modified'"
    return ""


_OBJECT_COLUMNS: Final = (
    "id", "stix_id", "version", "digest", "type", "spec_version", "version_text",
    "created_by_ref", "revoked", "tlp", "body", "lacks_spec_version", "submission_id", "release_id",
)  # fmt: skip
_VALUE_COLUMNS: Final = ("object_id", "kind", "value", "valid_from", "valid_until", "key")
_PLACEMENT_COLUMNS: Final = (
    "collection_id", "object_id", "date_added", "version", "latest",
)  # fmt: skip


def _store(
    fresh: Sequence[_Version], submission: Submission | None, release: Release | None
) -> None:
    """Insert objects, and the plain values of indicators for the lists."""
    origin = (submission.pk if submission else None, release.pk if release else None)
    hotsql.insert(StixObject, _OBJECT_COLUMNS, (_object_row(one, origin) for one in fresh))
    hotsql.insert(
        ListedValue,
        _VALUE_COLUMNS,
        (
            (one.pk, plain.kind.value, plain.value, plain.valid_from, plain.valid_until, plain.key)
            for one in fresh
            for plain in one.values
        ),
    )


def _object_row(one: _Version, origin: tuple[UUID | None, UUID | None]) -> tuple[Any, ...]:
    facts = one.item.facts
    return (
        one.pk,
        facts.stix_id,
        facts.version_us,
        one.digest,
        facts.type,
        facts.spec_version,
        facts.version,
        facts.created_by_ref,
        facts.revoked,
        facts.tlp.value,
        one.body,
        facts.lacks_spec_version,
        *origin,
    )


def _place(
    kept: Sequence[_Version], collection: Collection, seen_before: set[str]
) -> set[tuple[str, int]]:
    """Place what is not there yet; returns the (id, version) pairs that were new.

    Only what the store had ``seen_before`` can have been placed before.
    """
    here = _placed_before(collection, {one.stix_id for one in kept} & seen_before)
    new: dict[tuple[str, int], _Version] = {}
    for one in kept:
        if one.number not in here.get(one.stix_id, ()):
            new.setdefault((one.stix_id, one.number), one)
    if not new:
        return set()
    newest = {stix_id: max(numbers) for stix_id, numbers in here.items()}
    for stix_id, number in new:
        newest[stix_id] = max(number, newest.get(stix_id, number))
    _retire(collection, [i for i in newest if i in here and newest[i] not in here[i]])
    first = _instants(len(new))
    hotsql.insert(
        Placement,
        _PLACEMENT_COLUMNS,
        (
            (collection.pk, one.pk, at, one.number, one.number == newest[one.stix_id])
            for at, one in enumerate(new.values(), first)
        ),
    )
    last = first + len(new) - 1
    Collection.objects.filter(pk=collection.pk).update(changed=last, newest=last)
    return set(new)


def _placed_before(collection: Collection, stix_ids: set[str]) -> dict[str, set[int]]:
    """The versions of these objects that are in the collection, by id."""
    here: dict[str, set[int]] = {}
    if stix_ids:
        held = Placement.objects.filter(collection=collection, object__stix_id__in=stix_ids)
        for stix_id, number in held.values_list("object__stix_id", "version"):
            here.setdefault(stix_id, set()).add(number)
    return here


def _retire(collection: Collection, stix_ids: list[str]) -> None:
    """The versions so far of these objects are no longer the latest here."""
    if stix_ids:
        latest = Placement.objects.filter(
            object__stix_id__in=stix_ids, collection=collection, latest=True
        )
        segments.spoil(collection, latest)
        latest.update(latest=False)


def take_out(collection: Collection, stix_id: str, which: Q) -> int:
    """Take an object's placements out of one collection; the number taken.

    The newest version that stays becomes the latest again. Call inside a transaction.
    """
    take_the_pen()
    here = Placement.objects.filter(collection=collection, object__stix_id=stix_id)
    segments.spoil(collection, here)
    taken, _ = here.filter(which).delete()
    stays = here.order_by("-version").first()
    if stays and not stays.latest:
        here.filter(pk=stays.pk).update(latest=True)
    Collection.objects.filter(pk=collection.pk).update(changed=_instants(1))
    return taken


_TICK: Final = (
    "UPDATE sharing_storeclock SET last = %s + CASE WHEN last < %s THEN %s ELSE last + 1 END"
    " WHERE id = 1 RETURNING last"
)


def _instants(count: int) -> int:
    """The first of ``count`` consecutive microseconds that nothing was added at.

    Never behind the last one handed out, so a machine clock set back cannot hide objects.
    """
    now, further = time.time_ns() // 1000, count - 1
    ticked = hotsql.row(_TICK, [further, now, now])
    if ticked is None:
        StoreClock.objects.create(pk=1)
        return _instants(count)
    last: int = ticked[0]
    return last - further
