"""From notes to rows: additions in the database, so that many processes can write one key."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import models, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Greatest

from crc.members.models import ApiKey
from sharing.models import ToolHour, ToolPlace, ToolRequest, ToolUse
from sharing.tooluse.rhythm import KEPT_GAPS
from sharing.tooluse.tally import HourTally, Noted, PlaceTally, Tally
from sharing.tooluse.words import refused

KEPT_ERRORS: Final = 20
KEPT_WATCHED: Final = 50
HOURS: Final = 24
WATCH: Final = timedelta(minutes=2)


def write(tallies: Mapping[str, Tally]) -> None:
    """All of it or, with a DatabaseError, nothing. Keys that were never issued are passed over."""
    known = ApiKey.objects.select_related("organisation").filter(lookup__in=list(tallies))
    # Always in the order of the keys: two processes that write the same ones never wait in a ring.
    keys = sorted(known, key=lambda key: key.pk)
    if not keys:
        return
    with transaction.atomic():
        uses = _uses(keys)
        places: dict[int, dict[str, ToolPlace]] = {key.pk: {} for key in keys}
        for row in ToolPlace.objects.filter(use__in=keys_of(keys)):
            places[row.use_id][row.place] = row
        for key in keys:
            use, tally = uses[key.pk], tallies[key.lookup]
            _add(use, tally)
            for name, place in sorted(tally.places.items()):
                _add_place(use, name, place, places[key.pk].get(name))
            for hour, counted in sorted(tally.hours.items()):
                _add_hour(use, hour, counted)
            _keep(use, key, tally.requests)


def keys_of(keys: Iterable[ApiKey]) -> list[int]:
    """Their primary keys, which are those of their uses, too."""
    return [key.pk for key in keys]


def _uses(keys: list[ApiKey]) -> dict[int, ToolUse]:
    uses = ToolUse.objects.in_bulk(keys_of(keys))
    missing = [ToolUse(key=key) for key in keys if key.pk not in uses]
    if missing:
        ToolUse.objects.bulk_create(missing, ignore_conflicts=True)
        uses = ToolUse.objects.in_bulk(keys_of(keys))
    return uses


def _add(use: ToolUse, tally: Tally) -> None:
    counted = tally.hours.values()
    changes: dict[str, Any] = {
        "requests": F("requests") + sum(hour.requests for hour in counted),
        "served": F("served") + sum(hour.served for hour in counted),
        "failed": F("failed") + sum(hour.failed for hour in counted),
        "last_at": _later("last_at", tally.last_at),
        "user_agent": tally.user_agent[:200],
        "failed_in_row": F("failed_in_row") + tally.failed_in_row,
    }
    if tally.last_ok_at:
        changes["last_ok_at"] = _later("last_ok_at", tally.last_ok_at)
        changes["failed_in_row"] = tally.failed_in_row
    ToolUse.objects.filter(pk=use.pk).update(**changes)


def _later(column: str, moment: datetime) -> Coalesce:
    """Never back in time, whichever process writes last; SQLite's MAX of NULL is NULL."""
    value = Value(moment, output_field=models.DateTimeField())
    return Coalesce(Greatest(F(column), value), value)


def _add_place(use: ToolUse, name: str, tally: PlaceTally, row: ToolPlace | None) -> None:
    if row is None:
        row = ToolPlace(use=use, place=name, last_ok_at=tally.last_ok_at)
        ToolPlace.objects.bulk_create([row], ignore_conflicts=True)
    gaps, started = list(row.gaps), row.started_at
    for start in tally.starts:
        if started and start > started:
            gaps.append(round((start - started).total_seconds(), 1))
        started = start
    ToolPlace.objects.filter(use=use, place=name).update(
        served=F("served") + tally.served,
        cursor=Greatest(F("cursor"), Value(tally.cursor[:27])),
        last_ok_at=_later("last_ok_at", tally.last_ok_at),
        started_at=started,
        gaps=gaps[-KEPT_GAPS:],
    )


def _add_hour(use: ToolUse, hour: int, tally: HourTally) -> None:
    changes = {
        "requests": F("requests") + tally.requests,
        "served": F("served") + tally.served,
        "failed": F("failed") + tally.failed,
    }
    rows = ToolHour.objects.filter(use=use, hour=hour)
    if not rows.update(**changes):
        ToolHour.objects.bulk_create([ToolHour(use=use, hour=hour)], ignore_conflicts=True)
        rows.update(**changes)
        ToolHour.objects.filter(use=use, hour__lte=hour - HOURS).delete()


def _keep(use: ToolUse, key: ApiKey, requests: Iterable[Noted]) -> None:
    """Failed requests, and all while somebody watches; the oldest make room."""
    rows = [_row(use, key, noted) for noted in requests if not noted.ok or _watched(use, noted)]
    if not rows:
        return
    ToolRequest.objects.bulk_create(rows)
    seen = ToolRequest.objects.filter(use=use)
    newest = [
        *seen.filter(status__gte=400).values_list("pk", flat=True)[:KEPT_ERRORS],
        *seen.filter(watched=True).values_list("pk", flat=True)[:KEPT_WATCHED],
    ]
    seen.filter(~Q(pk__in=newest)).delete()


def _watched(use: ToolUse, noted: Noted) -> bool:
    until = use.watch_until
    return until is not None and until - WATCH <= noted.at <= until


def _row(use: ToolUse, key: ApiKey, noted: Noted) -> ToolRequest:
    reason = noted.reason
    if noted.status == 401 and not reason:
        reason = refused(key)
    return ToolRequest(
        use=use,
        at=noted.at,
        method=noted.method,
        path=noted.address[:300],
        status=noted.status,
        reason=reason[:300],
        accept=noted.accept[:200],
        user_agent=noted.user_agent[:200],
        served=noted.served,
        watched=_watched(use, noted),
    )
