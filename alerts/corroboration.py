"""When a second member sees the same thing, the whole community should know; never who saw it.

The same indicator, or the same kind of attack on the same kind of system, from two organisations
inside a window. Call while holding the pen (crc.ordering): of two reports at the same instant, the
second to hold it sees the first.
"""

import hashlib
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q, QuerySet

from alerts import fanout
from alerts.models import Alert, Corroboration, Observation
from alerts.severity import Severity, assess
from crc.members.models import Group
from sharing.models import ListedValue, Release, Report, Submission
from sharing.release import add_sightings, telltales, unsaid, withheld
from sharing.stix.markings import Tlp
from sharing.stix.port import AttackKind, Impact, PortSystem

_INDICATOR: Final = "value:"
_PATTERN: Final = "kind:"


def observe(submission: Submission) -> None:
    """Remember what this submission saw, as far as its source lets anybody learn of it.

    A match tells whoever guesses a value that somebody else has it. So what the reporter keeps to
    the desk (TLP:RED), keeps back, or would be known by is not there to be matched.
    """
    report = Report.objects.filter(submission=submission).first()
    if report and report.consent is Tlp.RED:
        return
    kept_back = withheld(report, telltales(submission.source)) if report else frozenset()
    hidden = {system.value for system in unsaid(report)} if report else set()
    listed = ListedValue.objects.filter(object__submission=submission)
    keys = {
        _indicator_key(kind, value)
        for kind, value in listed.values_list("kind", "value")
        if value not in kept_back
    }
    if report and report.attack != AttackKind.OTHER:
        keys |= {
            f"{_PATTERN}{report.attack}@{system}"
            for system, impact in report.systems.items()
            # "Something else" twice is not the same thing twice.
            if impact != Impact.NONE and system not in {*hidden, PortSystem.OTHER}
        }
    Observation.objects.bulk_create(
        Observation(
            submission=submission, source=submission.source, key=key, at=submission.received_at
        )
        for key in sorted(keys)
    )


def _indicator_key(kind: str, value: str) -> str:
    # A digest, so that the longest URL fits and the table shows nobody's indicators.
    return _INDICATOR + hashlib.sha256(f"{kind}:{value}".encode()).hexdigest()


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
        corroboration=story,
    )
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
        stix_id: len(sources.get(_indicator_key(kind, value), ()))
        for stix_id, kind, value in listed.values_list("object__stix_id", "kind", "value")
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
