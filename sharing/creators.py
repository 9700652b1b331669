"""Who may say what under an id. Whoever sent an id first counts as its creator: that is all a hub
without signatures can know.

A member is bound by what it sent itself and by what it may see, and by nothing else: an answer that
differed for what only others sent would tell that they did, and a copy sent first would keep the
true one out. So one id may have several sources, each with versions of its own.
"""

from collections.abc import Collection as Some
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from django.db.models import Q

from crc import hotsql
from crc.members.models import Organisation
from sharing import visibility
from sharing.models import Collection, Placement
from sharing.stix.markings import Tlp
from sharing.stix.reading import Facts


class Held(NamedTuple):
    """One stored version. ``source`` is the member that sent it; None is the hub itself."""

    pk: int
    stix_id: str
    number: int
    digest: str
    revoked: bool
    creator: str
    tlp: str
    source: int | None


@dataclass(slots=True)
class History:
    """What binds a sender under one id: who sent it first, and the versions by their content."""

    source: int | None
    creator: str
    revoked: bool = False
    versions: dict[int, dict[str, Held]] = field(default_factory=dict)

    def add(self, version: Held) -> None:
        """One more version."""
        self.versions.setdefault(version.number, {})[version.digest] = version
        self.revoked = self.revoked or version.revoked

    def twin(self, number: int, digest: str) -> Held | None:
        """The same version with the same content."""
        return self.versions.get(number, {}).get(digest)


_HELD: Final = (
    "SELECT o.id, o.stix_id, o.version, o.digest, o.revoked, o.created_by_ref, o.tlp, s.source_id"
    " FROM sharing_stixobject o LEFT JOIN sharing_submission s ON s.id = o.submission_id"
    " WHERE o.stix_id {among} ORDER BY o.id"
)


def held(stix_ids: Some[str]) -> list[Held]:
    """All that is stored under these ids, oldest first."""
    return [Held(*row) for row in hotsql.rows_among(_HELD, [*stix_ids])]


def histories(
    rows: Iterable[Held], sender: Organisation | None, into: Iterable[Collection]
) -> dict[str, History]:
    """By id what binds ``sender``, who posts into these collections; None is the hub itself.

    Whoever publishes on a shelf is bound by what is on it, and by all that the hub made: readers
    would else be told two things under one id.
    """
    mine = sender.pk if sender else None
    shelves = [one.pk for one in into if one.kind == Collection.Kind.SHELF]
    rows = _binding([*rows], sender, shelves)
    own = {row.stix_id for row in rows if row.source == mine}
    found: dict[str, History] = {}
    for row in rows:
        if row.source == mine or shelves or row.stix_id not in own:
            history = found.setdefault(row.stix_id, History(row.source, row.creator))
            history.add(row)
    return found


def _binding(rows: list[Held], sender: Organisation | None, shelves: list[UUID]) -> list[Held]:
    if sender is None:
        return [row for row in rows if row.source is None]
    foreign = [row.pk for row in rows if row.source != sender.pk]
    if not foreign:
        return rows
    readable = Q(collection__in=visibility.collections_for(sender)) | Q(collection__in=shelves)
    placed = Placement.objects.filter(readable, object__in=foreign)
    seen = set(placed.values_list("object_id", flat=True))
    return [
        row
        for row in rows
        if row.source == sender.pk or row.pk in seen or (shelves and row.source is None)
    ]


def loosened(facts: Facts, twin: Held, sender: Organisation | None) -> str:
    """Why a copy of what is here may not come under this marking; empty when it may.

    What says nothing of its marking takes that of the collection it is sent to: its source may
    choose a looser one, whoever has only read it may not.
    """
    if twin.source == (sender.pk if sender else None) or facts.tlp.rank >= Tlp(twin.tlp).rank:
        return ""
    return (
        f"another member shared this as {Tlp(twin.tlp).label}: only who sent it first may share it "
        f"as {facts.tlp.label}"
    )


def refusal(facts: Facts, known: Mapping[str, History], sender: Organisation | None) -> str:
    """Why this may not follow what binds its sender (STIX 3.5, 3.6); empty when it may."""
    history = known.get(facts.stix_id) if facts.version_us else None
    if history and history.source != (sender.pk if sender else None):
        return "not the object's creator: only who sent it first may change or revoke it"
    creator = known.get(facts.created_by_ref.lower())
    if creator and creator.source is None and sender and not sender.is_desk:
        return "created_by_ref names the hub: only the hub speaks for itself"
    return _out_of_line(facts, history) if history else ""


def _out_of_line(facts: Facts, history: History) -> str:
    if facts.type == "marking-definition":
        return "a marking cannot be changed; make a new one"
    if facts.version_us in history.versions:
        return "this version is already here with other content; raise 'modified'"
    if history.creator != facts.created_by_ref:
        return "created_by_ref must stay the same from version to version"
    if history.revoked:
        return "this object is revoked, and that is final; make a new one"
    if facts.revoked and facts.version_us < max(history.versions):
        return "a later version is already here; revoke with a later 'modified'"
    return ""
