"""What a page shows of each key: the light, how far it has got, what went wrong."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from crc.members.models import ApiKey
from crc.members.roles import Scope
from sharing import visibility
from sharing.models import ToolHour, ToolPlace, ToolRequest, ToolUse
from sharing.tooluse import rhythm
from sharing.tooluse.ledger import HOURS, KEPT_ERRORS, keys_of
from sharing.tooluse.tally import LISTS, hour_of

Row = TypeVar("Row", ToolPlace, ToolHour)


@dataclass(frozen=True)
class Place:
    """One collection or list as a line: what it is called, and how far the tool has got."""

    title: str
    row: ToolPlace

    @property
    def cursor(self) -> datetime | None:
        """The newest date_added it was served."""
        return datetime.fromisoformat(self.row.cursor) if self.row.cursor else None


@dataclass
class Picture:
    """One key. ``use`` is an empty row while nothing was seen of it."""

    key: ApiKey
    use: ToolUse
    state: rhythm.State
    usual: timedelta | None = None
    hours: list[ToolHour] = field(default_factory=list)
    served: int = 0
    failed: int = 0
    last_error: ToolRequest | None = None

    @property
    def silent_after(self) -> timedelta:
        """How long it may be quiet."""
        return rhythm.silent_after(self.usual)


def pictures(keys: Iterable[ApiKey]) -> list[Picture]:
    """All in a handful of queries, whatever their number, in the order given."""
    keys = list(keys)
    uses = ToolUse.objects.in_bulk(keys_of(keys))
    now = timezone.now()
    places = _by_use(ToolPlace.objects.filter(use__in=uses))
    hours = _by_use(ToolHour.objects.filter(use__in=uses, hour__gt=hour_of(now) - HOURS))
    errors = _last_errors(uses)
    drawn = []
    for key in keys:
        use = uses.get(key.pk) or ToolUse(key=key)
        usual = _usual(places.get(key.pk, []))
        counted = hours.get(key.pk, [])
        drawn.append(
            Picture(
                key=key,
                use=use,
                state=rhythm.state(_seen(key, use, usual), now=now),
                usual=usual,
                hours=_every_hour(counted, now),
                served=sum(hour.served for hour in counted),
                failed=sum(hour.failed for hour in counted),
                last_error=errors.get(key.pk),
            )
        )
    return drawn


def _by_use(rows: QuerySet[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row.use_id, []).append(row)
    return found


def _last_errors(uses: Iterable[int]) -> dict[int, ToolRequest]:
    """The newest failed request of each: there are few, so the last of each id wins."""
    failed = ToolRequest.objects.filter(use__in=uses, status__gte=400).order_by("at", "pk")
    return {request.use_id: request for request in failed}


def _usual(places: list[ToolPlace]) -> timedelta | None:
    """The rhythm of what was polled last: a collection tried once, or given up, has no say."""
    with_gaps = [place for place in places if place.gaps]
    newest = max(with_gaps, key=lambda place: place.last_ok_at, default=None)
    return rhythm.usual_gap(newest.gaps) if newest else None


def _seen(key: ApiKey, use: ToolUse, usual: timedelta | None) -> rhythm.Seen:
    return rhythm.Seen(
        last_at=use.last_at,
        last_ok_at=use.last_ok_at,
        failed_in_row=use.failed_in_row,
        usual=usual,
        polls=key.allows(Scope.TAXII_READ) or key.allows(Scope.LISTS_READ),
        live=key.is_live,
    )


def _every_hour(counted: list[ToolHour], now: datetime) -> list[ToolHour]:
    """24 of them, oldest first, those without a request as well."""
    by_hour = {row.hour: row for row in counted}
    last = hour_of(now)
    return [by_hour.get(h, ToolHour(hour=h)) for h in range(last - HOURS + 1, last + 1)]


def places(picture: Picture) -> list[Place]:
    """Where this key polls, the latest first."""
    readable = visibility.collections_for(picture.key.organisation)
    titles: dict[str, str] = {}
    for collection in readable:
        titles |= dict.fromkeys((str(collection.pk), collection.alias), collection.title)
    rows = picture.use.places.order_by("-last_ok_at")
    return [Place(_title(row.place, titles), row) for row in rows]


def _title(place: str, titles: dict[str, str]) -> str:
    if place.startswith(LISTS):
        return _("List %(name)s") % {"name": f"{place.removeprefix(LISTS)}.txt"}
    return titles.get(place) or _("A collection it may no longer read")


def errors(picture: Picture) -> list[ToolRequest]:
    """The last failed requests, newest first."""
    return list(picture.use.seen.filter(status__gte=400)[:KEPT_ERRORS])
