"""When something is suddenly seen far more often than usual, the desk should look.

Asked by the sweep, of this hour and the one before (tools send late): at least so many sightings in
the hour over all members, and more than so many times the mean of the 24 hours before the jump. One
entry for each jump: while the rate holds, the entry goes on and no other is raised.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

import orjson
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from alerts import corroboration
from alerts.models import Alert, DeskEntry, Observation
from crc.members import audit
from crc.members.models import Organisation, User
from crc.ordering import take_the_pen
from sharing import tally, visibility
from sharing.models import Door, ListedValue, SightingCount, StixObject, Submission

HOUR: Final = timedelta(hours=1)
BEFORE: Final = 24
# So many members at least must see a jump before it counts as a report of each: one member's
# scanner gone wild is for the desk to judge.
WITNESSES: Final = 2
_TITLE_CHARS: Final = 200


def find(now: datetime) -> tuple[int, list[Alert]]:
    """Raise and continue entries; how many are new, and the warnings that corroboration raised."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    raised, alerts = 0, []
    for hour in (this_hour - HOUR, this_hour):
        for what, count, usual in _loud(hour):
            new, warned = _enter(what, hour, count, usual)
            raised += new
            alerts += warned
    return raised, alerts


def is_jump(count: int, usual: float) -> bool:
    """The rule itself."""
    enough = count >= settings.SIGHTING_JUMP_FLOOR
    return enough and count > settings.SIGHTING_JUMP_FACTOR * usual


def _loud(hour: datetime) -> Iterator[tuple[str, int, float]]:
    """What the hub holds and was seen often enough in this hour to ask: how often, and usually.

    Ids that a member made up would else fill the desk's page.
    """
    floor = settings.SIGHTING_JUMP_FLOOR
    often = {what: count for what, count in tally.totals([hour]).items() if count >= floor}
    known = StixObject.objects.filter(stix_id__in=often).values_list("stix_id", flat=True)
    things = set(known.distinct())
    before = [hour - HOUR * back for back in range(1, BEFORE + 1)]
    usual = tally.totals(before, things=things) if things else {}
    for what in sorted(things):
        yield what, often[what], usual.get(what, 0) / BEFORE


def _enter(what: str, hour: datetime, count: int, usual: float) -> tuple[bool, list[Alert]]:
    """Go on with the jump of the hour before, or raise an entry if this is one."""
    going_on = DeskEntry.objects.filter(what=what, hour__lte=hour, until__gte=hour - HOUR).first()
    if not is_jump(count, going_on.usual if going_on else usual):
        return False, []
    sources = _sources(what, hour)
    if going_on and not _is_news(going_on, hour, count, sources):
        return False, []
    with transaction.atomic():
        take_the_pen()
        entry, new = going_on, False
        if entry is None:
            entry, new = DeskEntry.objects.get_or_create(
                what=what,
                hour=hour,
                defaults={
                    "title": _title(what),
                    "until": hour,
                    "count": count,
                    "usual": usual,
                    "factor": settings.SIGHTING_JUMP_FACTOR,
                    "floor": settings.SIGHTING_JUMP_FLOOR,
                },
            )
        entry.until, entry.count = max(entry.until, hour), max(entry.count, count)
        entry.save(update_fields=["until", "count"])
        entry.members.add(*sources)
        return new, _corroborate(entry)


def _is_news(
    entry: DeskEntry, hour: datetime, count: int, sources: Mapping[int, Organisation]
) -> bool:
    known = set(entry.members.values_list("pk", flat=True))
    return entry.until < hour or entry.count < count or not known.issuperset(sources)


def _sources(what: str, hour: datetime) -> dict[int, Organisation]:
    rows = SightingCount.objects.filter(what=what, hour=hour, hours=1, count__gt=0)
    return {row.source_id: row.source for row in rows.select_related("source")}


def _title(what: str) -> str:
    """What the hub calls it, else who sent it first: others may call it what they like."""
    rows = StixObject.objects.filter(stix_id=what)
    held = rows.filter(submission=None).order_by("-version").first() or rows.order_by("pk").first()
    return str(orjson.loads(held.body).get("name", ""))[:_TITLE_CHARS] if held else ""


def _corroborate(entry: DeskEntry) -> list[Alert]:
    """Several members in one jump corroborate each other, and whoever reported the thing."""
    members = list(entry.members.order_by("pk"))
    if len(members) < WITNESSES:
        return []
    jumps = [_observe(entry.what, member, since=entry.hour) for member in members]
    stories = dict.fromkeys(
        story for jump in jumps if jump for story in corroboration.corroborate(jump)
    )
    for story in stories:
        story.refresh_from_db()
    warned = [corroboration.warn(story) for story in stories]
    return [alert for alert in warned if alert]


def _observe(what: str, source: Organisation, *, since: datetime) -> Submission | None:
    """Remember that this member's tools see a known indicator far more than usual, once a jump.

    A jump is not a post, so it is remembered as a submission of its own without objects. None when
    it is remembered already, or when nobody could have seen the same: no value is listed for it.
    """
    known = visibility.objects_for(source).filter(stix_id=what)
    listed = ListedValue.objects.filter(object__in=known).values_list("kind", "value")
    keys = {corroboration.indicator_key(kind, value) for kind, value in listed}
    jumps = Observation.objects.filter(submission__door=Door.SIGHTINGS, source=source)
    if not keys or jumps.filter(key__in=keys, at__gte=since).exists():
        return None
    now = timezone.now()
    jump = Submission.objects.create(source=source, door=Door.SIGHTINGS, triaged_at=now)
    Observation.objects.bulk_create(
        Observation(submission=jump, source=source, key=key, at=now) for key in sorted(keys)
    )
    return jump


def explained(entry: DeskEntry) -> str:
    """The entry in words: what was counted, what is usual, and the rule with its numbers."""
    number = entry.members.count()
    by = _("one member") if number == 1 else _("%(number)s members") % {"number": number}
    return _(
        "%(count)s sightings in one hour, by %(members)s. Usual: %(usual)s an "
        "hour, the mean of the %(hours)s hours before. The rule: at least "
        "%(floor)s in an hour, and more than %(factor)s times the usual rate "
        "(%(limit)s)."
    ) % {
        "count": f"{entry.count:,}",
        "members": by,
        "usual": f"{entry.usual:,.1f}",
        "hours": BEFORE,
        "floor": f"{entry.floor:,}",
        "factor": entry.factor,
        "limit": f"{entry.factor * entry.usual:,.1f}",
    }


def look(entry: DeskEntry, *, actor: User) -> bool:
    """The desk has looked at it; False when somebody else had already."""
    with transaction.atomic():
        mine = DeskEntry.objects.filter(pk=entry.pk, looked_at=None)
        if not mine.update(looked_at=timezone.now()):
            return False
        audit.record("jump.looked_at", actor=actor, subject=entry.what[:160], entry=entry.pk)
        return True
