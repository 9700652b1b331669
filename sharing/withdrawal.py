"""A release taken back, whole or one value of it: revoked versions where its objects are, the
values gone from the lists. What others have copied cannot be called back; they are told."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from crc.members import audit
from crc.members.models import ApiKey, User
from crc.ordering import take_the_pen
from sharing import visibility
from sharing.models import (
    Collection,
    ListedValue,
    Placement,
    Release,
    Report,
    StixObject,
    ToolPlace,
)
from sharing.release import NotReleasable, check_words, hub, place
from sharing.stix import compose
from sharing.stix.markings import Json, Tlp
from sharing.tooluse.tally import LISTS

MAX_REASON: Final = 2_000
# Releases whose source waits for the desk's answer.
WITHDRAWAL_ASKED: Final = Q(
    withdrawal_asked_at__isnull=False, withdrawal_declined_at=None, withdrawn_at=None
)
# Markings cannot be revoked (STIX 7.2.1), observables have no versions (3.6): they say nothing of
# their own.
_LASTING: Final = "marking-definition"


def standing(made: Release) -> QuerySet[StixObject]:
    """The objects of a release that hold: newest versions that are not revoked."""
    placed = Placement.objects.filter(object__release=made, latest=True, object__revoked=False)
    return StixObject.objects.filter(pk__in=placed.values("object"))


def values(made: Release) -> list[str]:
    """The indicator values that hold."""
    listed = ListedValue.objects.filter(object__in=standing(made))
    return list(listed.order_by("value").values_list("value", flat=True).distinct())


def ask(made: Release, *, reason: str, actor: User) -> bool:
    """The source asks the desk to take it back, anew once that was declined; False when it has
    asked, or it is withdrawn.
    """
    free = Q(withdrawal_asked_at=None) | Q(withdrawal_declined_at__isnull=False)
    with transaction.atomic():
        asked = Release.objects.filter(free, pk=made.pk, withdrawn_at=None).update(
            withdrawal_asked_at=timezone.now(),
            withdrawal_asked_because=reason,
            withdrawal_declined_at=None,
            withdrawal_declined_because="",
        )
        if asked:
            audit.record("release.withdrawal_asked", actor=actor, subject=made.submission.reference)
    return asked > 0


def decline(made: Release, *, reason: str, actor: User) -> bool:
    """The desk lets the release stand, and tells the source why; False when nobody asks."""
    with transaction.atomic():
        asks = Release.objects.filter(WITHDRAWAL_ASKED, pk=made.pk)
        declined = asks.update(
            withdrawal_declined_at=timezone.now(), withdrawal_declined_because=reason
        )
        if declined:
            subject = made.submission.reference
            audit.record("release.withdrawal_declined", actor=actor, subject=subject)
    return declined > 0


def withdraw(made: Release, *, reason: str, actor: User) -> None:
    """Take all of it back, for good; the private record stays. Call inside a transaction.

    Raises NotReleasable: withdrawn already, or a reason that names the source.
    """
    take_the_pen()
    _may_change(made, reason)
    _revoke(made, [orjson.loads(body) for body in _versioned(made)])
    now = timezone.now()
    made.withdrawn_at, made.withdrawn_by, made.withdrawal_reason = now, actor.email, reason
    made.save(update_fields=["withdrawn_at", "withdrawn_by", "withdrawal_reason"])
    Report.objects.filter(pk=made.submission_id).update(state=Report.State.WITHDRAWN)
    audit.record(
        "release.withdrawn",
        actor=actor,
        subject=made.submission.reference,
        release=str(made.pk),
    )


def withdraw_value(made: Release, value: str, *, reason: str, actor: User) -> None:
    """Take one indicator value back, with what hangs on it. Call inside a transaction.

    Raises NotReleasable.
    """
    take_the_pen()
    _may_change(made, reason)
    listed = ListedValue.objects.filter(object__in=standing(made), value=value)
    ids = set(listed.values_list("object__stix_id", flat=True))
    if not ids:
        raise NotReleasable(_("This value is not part of the release any more."))
    graph = [orjson.loads(body) for body in _versioned(made)]
    _revoke(made, [obj for obj in graph if obj["id"] in ids or _ends(obj) & ids])
    audit.record(
        "release.value_withdrawn",
        actor=actor,
        subject=made.submission.reference,
        release=str(made.pk),
    )


def _ends(obj: Json) -> set[str]:
    """What a link or a sighting is about."""
    return {obj[end] for end in ("source_ref", "target_ref", "sighting_of_ref") if end in obj}


def _may_change(made: Release, reason: str) -> None:
    made.refresh_from_db()
    if made.withdrawn_at:
        raise NotReleasable(_("This has been withdrawn already."))
    check_words(made, reason)


def _versioned(made: Release) -> QuerySet[StixObject, str]:
    """The bodies of what can be revoked. The hub's own identity is in every release."""
    ours = standing(made).exclude(version=0).exclude(type=_LASTING)
    found = ours.exclude(stix_id=hub().identity_id).order_by("pk")
    return found.values_list("body", flat=True)


def _revoke(made: Release, graph: list[Json]) -> None:
    at = timezone.now()
    place([compose.revoked(obj, at=at) for obj in graph], made)


# --- who has heard of it -------------------------------------------------------------------------


@dataclass(frozen=True)
class Consumer:
    """One key at one place that had a release to read; ``knows``: it has asked since."""

    key: ApiKey
    place: str
    last_at: datetime
    knows: bool


def consumers(made: Release) -> list[Consumer]:
    """Keys that have polled where a withdrawn release was while it was there, or since; those that
    do not know that it was withdrawn first."""
    shelf = Collection.objects.filter(group=made.group, tlp=made.tlp).first()
    if made.withdrawn_at is None or shelf is None:
        return []
    placed = Placement.objects.filter(collection=shelf, object__release=made)
    had, cursor = (_cursor(placed.earliest("date_added")), _cursor(placed.latest("date_added")))
    kinds = ListedValue.objects.filter(object__release=made).values_list("kind", flat=True)
    lists = {f"{LISTS}{kind}" for kind in kinds.distinct()}
    readers = visibility.organisations_for(made.group, Tlp(made.tlp))
    rows = ToolPlace.objects.filter(
        place__in={str(shelf.pk), shelf.alias, *lists}, use__key__organisation__in=readers
    ).select_related("use__key__organisation")
    found = [
        Consumer(
            row.use.key,
            row.place if row.place in lists else shelf.title,
            row.last_ok_at,
            # A list is whole each time; a collection is read up to a cursor.
            row.last_ok_at > made.withdrawn_at if row.place in lists else row.cursor >= cursor,
        )
        for row in rows
        if row.use.key.is_live
        and (row.last_ok_at > made.released_at if row.place in lists else row.cursor >= had)
    ]
    return sorted(found, key=lambda one: (one.knows, one.key.organisation.name, one.place))


def _cursor(placement: Placement) -> str:
    """As tools are told it, and ask with it."""
    instant = datetime.fromtimestamp(placement.date_added // 1_000_000, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{placement.date_added % 1_000_000:06d}Z"
