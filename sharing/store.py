"""The store: objects go in under one clock.

``date_added`` is handed out while holding the pen (crc.ordering), so it rises in commit order: a
poller that has seen instant T will never later find something new at or before T.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson
from django.db.models import Q

from crc import hotsql
from crc.members.models import Organisation
from crc.ordering import take_the_pen
from sharing import creators, segments
from sharing.creators import Held, History
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
from sharing.stix.values import plain_values


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
    # What its sender should know of it all the same.
    note: str = ""


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
    the sender is bound by is refused (see sharing.creators). Call inside a transaction;
    ``submission`` and ``release`` may be saved later in it.
    """
    if not items:
        return []
    # What needs no database is done before the others have to wait.
    versions = [_Version.of(item) for item in items]
    take_the_pen()
    for version, pk in zip(versions, hotsql.next_ids(StixObject, len(items)), strict=True):
        version.pk = pk
    sender, into = submission.source if submission else None, list(into)
    held = creators.held(_named(versions))
    known = creators.histories(held, sender, into)
    results, fresh = _judged(versions, known, sender)
    _store(fresh, submission, release)
    _loosen(versions)
    kept = [
        version
        for version, result in zip(versions, results, strict=True)
        # TLP:RED must not reach a collection, whoever asks.
        if result.outcome is not Outcome.REFUSED and version.item.facts.tlp is not Tlp.RED
    ]
    placed: set[int] = set()
    seen_before = {row.stix_id for row in held}
    for collection in into:
        placed |= _place(kept, collection, seen_before)
    # A twin from before that is new in a collection is accepted there.
    placed -= {version.pk for version in fresh}
    return [
        _accepted(result) if version.pk in placed else result
        for version, result in zip(versions, results, strict=True)
    ]


def _named(versions: Sequence["_Version"]) -> set[str]:
    """The ids they have, and those of who made them."""
    creators_named = {version.item.facts.created_by_ref.lower() for version in versions}
    return {version.stix_id for version in versions} | creators_named - {""}


def _accepted(result: Result) -> Result:
    return Result(result.stix_id, result.version, Outcome.ACCEPTED)


# Whose versions of one id: each source has its own; None is the hub.
Line = tuple[str, int | None]
_SOURCE: Final = "object__submission__source"


def digest_of(body: Json) -> str:
    """What two copies of one content share: key order carries no meaning in JSON."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(slots=True)
class _Version:
    """One object version on its way in; ``pk`` and ``source`` are its row's, or those of the twin
    stored before. ``columns`` and ``listed`` are what its rows will hold beside keys."""

    item: Item
    stix_id: str
    number: int
    digest: str
    columns: tuple[Any, ...]
    listed: list[tuple[Any, ...]]
    pk: int = 0
    source: int | None = None
    # Whether its source has sent the twin under a stricter marking before.
    loosens: bool = False

    @classmethod
    def of(cls, item: Item) -> "_Version":
        """All that can be told of an item without asking the database."""
        facts, digest = item.facts, digest_of(item.body)
        columns = (
            facts.stix_id,
            facts.version_us,
            digest,
            facts.type,
            facts.spec_version,
            facts.version,
            facts.created_by_ref,
            facts.revoked,
            facts.tlp.value,
            orjson.dumps(item.body).decode(),
            facts.lacks_spec_version,
        )
        listed = [
            (plain.kind.value, plain.value, plain.valid_from, plain.valid_until, plain.key)
            for plain in plain_values(item.body)
        ]
        return cls(item, facts.stix_id, facts.version_us, digest, columns, listed)

    def held(self) -> Held:
        """As the store will hold it."""
        facts = self.item.facts
        return Held(
            self.pk,
            self.stix_id,
            self.number,
            self.digest,
            facts.revoked,
            facts.created_by_ref,
            facts.tlp.value,
            self.source,
        )


def _judged(
    versions: Sequence[_Version], known: dict[str, History], sender: Organisation | None
) -> tuple[list[Result], list[_Version]]:
    """Per version what is to become of it, and those to insert."""
    results, fresh = [], []
    source = sender.pk if sender else None
    several = {pk for pk, count in Counter(one.stix_id for one in versions).items() if count > 1}
    for version in versions:
        facts = version.item.facts
        version.source = source
        history = known.get(version.stix_id)
        twin = history.twin(version.number, version.digest) if history else None
        if twin is not None:
            version.pk, version.source = twin.pk, twin.source
            reason = creators.loosened(facts, twin, sender)
            outcome = Outcome.REFUSED if reason else Outcome.DUPLICATE
            version.loosens = not reason and facts.tlp.rank < Tlp(twin.tlp).rank
        else:
            reason = creators.refusal(facts, known, sender)
            outcome = Outcome.REFUSED if reason else Outcome.ACCEPTED
        if outcome is Outcome.ACCEPTED:
            fresh.append(version)
            # What comes later under this id has to follow it.
            if version.stix_id in several:
                first = known.setdefault(version.stix_id, History(source, facts.created_by_ref))
                first.add(version.held())
        results.append(Result(version.stix_id, facts.version, outcome, reason))
    return results, fresh


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
    rows = ((one.pk, *one.columns, *origin) for one in fresh)
    hotsql.insert(StixObject, _OBJECT_COLUMNS, rows)
    hotsql.insert(
        ListedValue,
        _VALUE_COLUMNS,
        ((one.pk, *columns) for one in fresh for columns in one.listed),
    )


def _loosen(versions: Sequence[_Version]) -> None:
    """An object's level is the loosest that its source has sent it under."""
    for version in versions:
        if version.loosens:
            StixObject.objects.filter(pk=version.pk).update(tlp=version.item.facts.tlp.value)


def _place(kept: Sequence[_Version], collection: Collection, seen_before: set[str]) -> set[int]:
    """Place what is not there yet; returns the object keys that were new there.

    Only what the store had ``seen_before`` can have been placed before.
    """
    here = _Here.of(collection, {one.stix_id for one in kept} & seen_before)
    new = [one for one in kept if here.takes(one)]
    if not new:
        return set()
    _retire(collection, here.outdone())
    first = _instants(len(new))
    hotsql.insert(
        Placement,
        _PLACEMENT_COLUMNS,
        (
            (
                collection.pk,
                one.pk,
                at,
                one.number,
                one.number == here.newest[(one.stix_id, one.source)],
            )
            for at, one in enumerate(new, first)
        ),
    )
    last = first + len(new) - 1
    Collection.objects.filter(pk=collection.pk).update(changed=last, newest=last)
    return {one.pk for one in new}


@dataclass
class _Here:
    """What is in a collection of some ids, and what is to be; each source has a line of its own.

    ``newest`` is the highest version of each line, ``latest`` the placement that had it before.
    """

    is_shelf: bool
    versions: set[tuple[Line, int]] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    contents: set[tuple[str, int, str]] = field(default_factory=set)
    newest: dict[Line, int] = field(default_factory=dict)
    latest: dict[Line, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, collection: Collection, stix_ids: set[str]) -> "_Here":
        """Ask the database."""
        here = cls(collection.kind == Collection.Kind.SHELF)
        if stix_ids:
            held = Placement.objects.filter(collection=collection, object__stix_id__in=stix_ids)
            columns = ("pk", "latest", "object__stix_id", "version", "object__digest", _SOURCE)
            for pk, latest, stix_id, number, digest, source in held.values_list(*columns):
                here._add((stix_id, source), number, digest)
                if latest:
                    here.latest[(stix_id, source)] = number, pk
        return here

    def _add(self, line: Line, number: int, digest: str) -> None:
        self.versions.add((line, number))
        self.ids.add(line[0])
        self.contents.add((line[0], number, digest))
        self.newest[line] = max(number, self.newest.get(line, number))

    def takes(self, one: _Version) -> bool:
        """Whether this version is new here, which it then is no longer.

        The same content of two sources is there once. Under an id of the hub's own nobody else is
        placed, but for observables, whose ids belong to everybody; on a shelf, readers get one of
        them.
        """
        line = one.stix_id, one.source
        if (line, one.number) in self.versions:
            return False
        if (one.stix_id, one.number, one.digest) in self.contents:
            return False
        if one.source is not None and self._is_settled(one):
            return False
        self._add(line, one.number, one.digest)
        return True

    def _is_settled(self, one: _Version) -> bool:
        if one.number or not self.is_shelf:
            return bool(one.number) and (one.stix_id, None) in self.newest
        return one.stix_id in self.ids

    def outdone(self) -> list[int]:
        """The placements that are the latest of their line no longer."""
        return [pk for line, (number, pk) in self.latest.items() if self.newest[line] > number]


def _retire(collection: Collection, placements: list[int]) -> None:
    """These are no longer the latest here."""
    latest = Placement.objects.filter(pk__in=placements, latest=True)
    if placements:
        segments.spoil(collection, latest)
        latest.update(latest=False)


def take_out(collection: Collection, stix_id: str, which: Q) -> int:
    """Take an object's placements out of one collection; the number taken.

    The newest version of each source that stays becomes the latest again. Call inside a
    transaction.
    """
    take_the_pen()
    here = Placement.objects.filter(collection=collection, object__stix_id=stix_id)
    segments.spoil(collection, here)
    taken, _ = here.filter(which).delete()
    # The last of each source is what stays in the table.
    stays = dict(here.order_by("version").values_list(_SOURCE, "pk"))
    here.filter(pk__in=stays.values(), latest=False).update(latest=True)
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
