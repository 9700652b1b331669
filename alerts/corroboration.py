"""When a second member sees the same thing, the whole community should know; never who saw it.

The same indicator, or the same kind of attack on the same kind of system, from two organisations
inside a window; a jump in the sightings of two members says as much as a report of each. Call while
holding the pen (crc.ordering): of two reports at the same instant, the second to hold it sees the
first.
"""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from alerts import fanout
from alerts.models import Alert, Corroboration, Observation
from alerts.severity import Severity, assess
from crc.members.models import Group, Organisation
from sharing.models import Door, ListedValue, Release, Report, Submission
from sharing.release import add_sightings
from sharing.stix.markings import Tlp
from sharing.stix.port import AttackKind, Impact, PortSystem

_INDICATOR: Final = "value:"
_PATTERN: Final = "kind:"


def observe(submission: Submission) -> None:
    """Remember what this submission saw."""
    keys = {
        _INDICATOR + key
        for key in ListedValue.objects.filter(object__submission=submission).values_list(
            "key", flat=True
        )
    }
    report = Report.objects.filter(submission=submission).first()
    if report and report.attack != AttackKind.OTHER:
        keys |= {
            f"{_PATTERN}{report.attack}@{system}"
            for system, impact in report.systems.items()
            # "Something else" twice is not the same thing twice.
            if impact != Impact.NONE and system != PortSystem.OTHER
        }
    Observation.objects.bulk_create(
        Observation(
            submission=submission, source=submission.source, key=key, at=submission.received_at
        )
        for key in sorted(keys)
    )


def observe_sightings(what: str, source: Organisation, *, since: datetime) -> Submission | None:
    """Remember that this member's tools see a known indicator far more than usual, once a jump.

    A jump is not a post, so it is remembered as a submission of its own without objects. None when
    it is remembered already, or when nobody could have seen the same: no value is listed for it.
    """
    keys = set(ListedValue.objects.filter(object__stix_id=what).values_list("key", flat=True))
    seen = Observation.objects.filter(
        submission__door=Door.SIGHTINGS, source=source, at__gte=since
    ).filter(key__in=[_INDICATOR + key for key in keys])
    if not keys or seen.exists():
        return None
    now = timezone.now()
    jump = Submission.objects.create(source=source, door=Door.SIGHTINGS, triaged_at=now)
    Observation.objects.bulk_create(
        Observation(submission=jump, source=source, key=_INDICATOR + key, at=now)
        for key in sorted(keys)
    )
    return jump


def corroborate(submission: Submission) -> Corroboration | None:
    """Tie this submission to others that tell of the same thing; None when there are none."""
    others = Submission.objects.filter(observations__in=_matching(submission)).distinct()
    if not others:
        return None
    story = Corroboration.objects.filter(submissions__in=others).order_by("pk").first()
    story = story or Corroboration.objects.create()
    story.submissions.add(submission, *others)
    story.members = story.submissions.values("source").distinct().count()
    story.save(update_fields=["members"])
    return story


def _matching(submission: Submission) -> QuerySet[Observation]:
    own = Observation.objects.filter(submission=submission)
    match = Q(pk__in=[])
    for prefix, hours in (
        (_INDICATOR, settings.CORROBORATION_WINDOW_HOURS),
        (_PATTERN, settings.CORROBORATION_KIND_WINDOW_HOURS),
    ):
        window = timedelta(hours=hours)
        match |= Q(
            key__in=own.filter(key__startswith=prefix).values("key"),
            at__gte=submission.received_at - window,
            at__lte=submission.received_at + window,
        )
    return Observation.objects.filter(match).exclude(source=submission.source)


def warn(story: Corroboration) -> Alert | None:
    """Warn when more members than last told have seen it, and something of it may be shared.

    None when there is nothing new, or when no source has released anything yet: the next release
    of any of these reports asks again.
    """
    released = _loosest_release(story)
    if story.members < 2 or story.members <= story.told or released is None:
        return None
    severity = _severity(story).raised()
    alert = fanout.raise_alert(
        released,
        kind=Alert.Kind.CORROBORATION,
        severity=severity,
        group=_audience(released),
        title=f"Seen by {story.members} members: {released.title}"[:240],
        body=(
            f"{story.members} members of the port have now reported the same indicator, or the "
            "same kind of attack on the same kind of system. Treat it as a campaign against "
            "the port: check your own systems now.\n\n" + released.advice
        ).strip(),
    )
    Alert.objects.filter(pk=alert.pk).update(corroboration=story)
    add_sightings(released, _seen_by(story, released))
    story.told = story.members
    story.save(update_fields=["told"])
    return alert


def _seen_by(story: Corroboration, released: Release) -> dict[str, int]:
    """How many members of the story saw each indicator of a release, where more than one did."""
    sources: dict[str, set[int]] = {}
    seen = Observation.objects.filter(submission__corroborations=story)
    for key, source in seen.values_list("key", "source_id"):
        sources.setdefault(key, set()).add(source)
    listed = ListedValue.objects.filter(object__release=released)
    counts = {
        stix_id: len(sources.get(_INDICATOR + key, ()))
        for stix_id, key in listed.values_list("object__stix_id", "key")
    }
    return {stix_id: count for stix_id, count in counts.items() if count > 1}


def _loosest_release(story: Corroboration) -> Release | None:
    found = Release.objects.filter(submission__corroborations=story)
    return min(found, key=lambda made: (Tlp(made.tlp).rank, made.released_at), default=None)


def _audience(released: Release) -> Group:
    """The whole community, unless the source allowed less than that."""
    if Tlp(released.tlp).rank <= Tlp.GREEN.rank:
        return Group.objects.get(slug="community")
    return released.group


def _severity(story: Corroboration) -> Severity:
    reports = Report.objects.filter(submission__corroborations=story)
    return max(
        (assess(AttackKind(r.attack), r.impact_by_system) for r in reports),
        key=lambda severity: severity.rank,
        default=Severity.MEDIUM,
    )
