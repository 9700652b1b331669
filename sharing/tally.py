"""Sightings as counts: a row for each thing, member and hour, whatever number came.

The sum for 60 million sightings a month (23 a second, 60,000 posts of 1,000): rows are things x
members x hours. 30 members that each see 200 different things an hour make 6,000 rows an hour,
2.0 million in the 14 days that are kept by the hour. A day has fewer different rows than 24 hours:
with 1,000 things a day 30,000 rows, 11 million in a year. At about 300 bytes with both indexes that
is 0.6 GB and 3.2 GB, where one object each would be 60 million rows and 60 GB a month.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum

from crc.ordering import take_the_pen
from sharing.models import ListedValue, SightingCount, SightingPost
from sharing.stix.sightings import Seen

VALUE: Final = "value:"
HOUR: Final = 3_600
DAY: Final = 86_400
_ROLLED_AT_ONCE: Final = 5_000
_ROLLS_A_SWEEP: Final = 20

# What is counted, when its stretch begins, how many hours that is.
Key = tuple[str, int, int]


@dataclass(slots=True)
class Cell:
    """What one post adds to one row; times are seconds since the epoch."""

    first: int
    last: int
    count: int = 0
    not_seen: int = 0
    kept: int = 0


@dataclass
class Tally:
    """One member's cells."""

    source_id: int
    hourly_from: int
    cells: dict[Key, Cell] = field(default_factory=dict)

    def add(self, what: str, at: int, count: int) -> None:
        """One sighting more; a count of 0 says that it was looked for."""
        cell = self.cell(what, at)
        cell.first, cell.last = min(cell.first, at), max(cell.last, at)
        if count:
            cell.count += count
        else:
            cell.not_seen += 1

    def cell(self, what: str, at: int) -> Cell:
        """The cell a sighting at ``at`` belongs to: by the hour, or long ago by the day."""
        key = (what, at - at % HOUR, 1) if at >= self.hourly_from else (what, at - at % DAY, 24)
        found = self.cells.get(key)
        if found is None:
            found = self.cells[key] = Cell(at, at)
        return found


def hourly_from(now: datetime) -> int:
    """From when on counts are kept by the hour: a midnight."""
    start = int(now.timestamp()) - settings.SIGHTING_HOURLY_DAYS * DAY
    return start - start % DAY


def oldest(now: datetime) -> int:
    """From when on counts are kept at all."""
    return int(now.timestamp()) - settings.SIGHTING_DAYS * DAY


def whats(seen: Sequence[Seen]) -> list[list[str]]:
    """For each sighting the things it counts for.

    Observed data counts for the indicators that list its values; where none does, each value
    counts under its key, so that what becomes an indicator later has a past.
    """
    keys = {key for one in seen for observable in one.keys for key in observable}
    listed = _indicators(keys) if keys else {}
    found = []
    for one in seen:
        if one.what:
            found.append([one.what])
            continue
        hits = {listed[key] for observable in one.keys for key in observable if key in listed}
        found.append(sorted(hits or {VALUE + observable[0] for observable in one.keys}))
    return found


def _indicators(keys: Iterable[str]) -> dict[str, str]:
    """By key one indicator that lists it: a released one, which members know, else the first."""
    rows = ListedValue.objects.filter(key__in=keys).order_by("-pk")
    found: dict[str, tuple[bool, str]] = {}
    for key, stix_id, release in rows.values_list("key", "object__stix_id", "object__release"):
        if release is not None or not found.get(key, (False,))[0]:
            found[key] = (release is not None, stix_id)
    return {key: stix_id for key, (_, stix_id) in found.items()}


def samples(tally: Tally, seen: Sequence[Seen], things: Sequence[Sequence[str]]) -> list[Seen]:
    """What the policy keeps as it came; noted in the tally. Call inside a transaction."""
    if settings.SIGHTING_EVIDENCE == "none":
        return []
    if settings.SIGHTING_EVIDENCE == "all":
        return list(seen)
    if not _choose(tally, seen, things, _kept(tally)):
        return []
    # Two posts at once must not both keep the first: asked again once nobody else can.
    take_the_pen()
    kept = _choose(tally, seen, things, _kept(tally))
    for number in kept:
        tally.cell(things[number][0], seen[number].at).kept += 1
    return [seen[number] for number in kept]


def _choose(
    tally: Tally,
    seen: Sequence[Seen],
    things: Sequence[Sequence[str]],
    kept: Mapping[tuple[str, int], int],
) -> list[int]:
    """The places of the first few of each thing and day."""
    counted = dict(kept)
    chosen = []
    for number, one in enumerate(seen):
        day = (things[number][0], one.at - one.at % DAY)
        held = counted.get(day, 0)
        if held < settings.SIGHTING_SAMPLE:
            counted[day] = held + 1
            chosen.append(number)
    return chosen


def _kept(tally: Tally) -> dict[tuple[str, int], int]:
    """How many are kept by thing and day, of the days this tally has to do with."""
    hours = [hour for _, hour, _ in tally.cells]
    rows = SightingCount.objects.filter(
        source=tally.source_id,
        what__in={what for what, _, _ in tally.cells},
        hour__gte=_time(min(hours) - min(hours) % DAY),
        hour__lt=_time(max(hours) - max(hours) % DAY + DAY),
        kept__gt=0,
    )
    found: dict[tuple[str, int], int] = {}
    for what, hour, kept in rows.values_list("what", "hour", "kept"):
        at = int(hour.timestamp())
        day = (what, at - at % DAY)
        found[day] = found.get(day, 0) + kept
    return found


# bulk_create(update_conflicts=True) replaces, and cannot add. The rows travel as one JSON text:
# psycopg takes longer to find thousands of placeholders than PostgreSQL to store the rows.
_UPSERT: Final = """
INSERT INTO sharing_sightingcount AS held
  (what, hour, source_id, hours, count, not_seen, kept, first_seen, last_seen)
{rows}
ON CONFLICT (what, hour, source_id, hours) DO UPDATE SET
  count = held.count + excluded.count,
  not_seen = held.not_seen + excluded.not_seen,
  kept = held.kept + excluded.kept,
  first_seen = CASE WHEN excluded.first_seen < held.first_seen
    THEN excluded.first_seen ELSE held.first_seen END,
  last_seen = CASE WHEN excluded.last_seen > held.last_seen
    THEN excluded.last_seen ELSE held.last_seen END
"""
_ROWS: Final = {
    "postgresql": """
SELECT what, hour, source_id, hours, count, not_seen, kept, first_seen, last_seen
FROM json_to_recordset(%s) AS sent(
  what text, hour timestamptz, source_id bigint, hours smallint, count bigint, not_seen bigint,
  kept integer, first_seen timestamptz, last_seen timestamptz)
""",
    "sqlite": """
SELECT value ->> 'what', value ->> 'hour', value ->> 'source_id', value ->> 'hours',
  value ->> 'count', value ->> 'not_seen', value ->> 'kept', value ->> 'first_seen',
  value ->> 'last_seen'
FROM json_each(%s) WHERE true
""",
}


def write(tally: Tally) -> None:
    """Add a tally to the rows. Call last in a transaction: others wait for these rows."""
    sent = [
        {
            "what": what,
            "hour": _written(hour),
            "source_id": tally.source_id,
            "hours": hours,
            "count": cell.count,
            "not_seen": cell.not_seen,
            "kept": cell.kept,
            "first_seen": _written(cell.first),
            "last_seen": _written(cell.last),
        }
        # In one order everywhere, so that two posts at once never wait for each other.
        for (what, hour, hours), cell in sorted(tally.cells.items())
    ]
    with connection.cursor() as cursor:
        sql = _UPSERT.format(rows=_ROWS[connection.vendor])
        cursor.execute(sql, [orjson.dumps(sent).decode()])


@lru_cache(maxsize=4_096)
def _written(seconds: int) -> str:
    """A time as Django writes it into this database."""
    return str(connection.ops.adapt_datetimefield_value(_time(seconds)))


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def tidy(now: datetime) -> int:
    """Roll old hours up into days, drop old days and receipts; how many rows went."""
    gone = 0
    for _ in range(_ROLLS_A_SWEEP):
        rolled = _roll_some(now)
        gone += rolled
        if rolled < _ROLLED_AT_ONCE:
            break
    long_ago = SightingCount.objects.filter(hours=24, hour__lt=_time(oldest(now) - DAY))
    window = timedelta(hours=settings.SIGHTING_RETRY_HOURS)
    posts = SightingPost.objects.filter(received_at__lt=now - window)
    return gone + sum(rows.delete()[0] for rows in (long_ago, posts))


def _roll_some(now: datetime) -> int:
    """Some old hours into their days, each in one transaction: no moment shows it twice or not."""
    start = hourly_from(now)
    with transaction.atomic():
        old = SightingCount.objects.filter(hours=1, hour__lt=_time(start))
        # Locked, so that a count that comes late waits, and then makes a row of its own.
        some = list(old.order_by("hour", "what", "source").select_for_update()[:_ROLLED_AT_ONCE])
        tallies: dict[int, Tally] = {}
        for row in some:
            tally = tallies.setdefault(row.source_id, Tally(row.source_id, start))
            _merge(tally.cell(row.what, int(row.first_seen.timestamp())), row)
        SightingCount.objects.filter(pk__in=[row.pk for row in some]).delete()
        for source_id in sorted(tallies):
            write(tallies[source_id])
    return len(some)


def _merge(cell: Cell, row: SightingCount) -> None:
    cell.count += row.count
    cell.not_seen += row.not_seen
    cell.kept += row.kept
    cell.first = min(cell.first, int(row.first_seen.timestamp()))
    cell.last = max(cell.last, int(row.last_seen.timestamp()))


def totals(hours: Sequence[datetime], *, things: Iterable[str] | None = None) -> dict[str, int]:
    """How often each thing was seen in these hours by all members together."""
    rows = SightingCount.objects.filter(hours=1, hour__in=hours)
    if things is not None:
        rows = rows.filter(what__in=things)
    return dict(rows.values_list("what").annotate(total=Sum("count")))
