"""When a second member sees the same thing, the whole community should know; never who saw it.

The same indicator, or the same kind of attack on the same kind of system, from two organisations
inside a window. A story is of one thing: all that tell of it share it. Call while holding the pen
(crc.ordering): of two reports at the same instant, the second to hold it sees the first.
"""

import hashlib
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from alerts import fanout
from alerts.models import Alert, Corroboration, Observation
from alerts.severity import Severity, assess
from crc.members.models import Group, Organisation
from crc.members.retold import kept
from sharing import visibility
from sharing.doubts import doubts, telltales, withheld
from sharing.models import Door, ListedValue, Release, Report, Submission
from sharing.release import add_sightings, unsaid
from sharing.stix.extract import IndicatorKind
from sharing.stix.markings import Tlp
from sharing.stix.port import AttackKind, Impact, PortSystem
from sharing.stix.wellknown import known_as
from sharing.withdrawal import standing

_INDICATOR: Final = "value:"
_PATTERN: Final = "kind:"
# What was taken back was not seen, as far as anybody can tell.
_STANDS: Final = Q(release__withdrawn_at=None)
# Keys asked for at once: SQLite takes so many parameters and no more.
BATCH: Final = 500


def observe(submission: Submission) -> None:
    """Remember what this submission saw, as far as its source lets anybody learn of it.

    A match tells whoever guesses a value that somebody else has it. So what the reporter keeps to
    the desk (TLP:RED), keeps back, or would be known by is not there to be matched; nor is what
    everybody sees every day.
    """
    report = Report.objects.filter(submission=submission).first()
    if report and report.consent is Tlp.RED:
        return
    keys = _values_seen(submission, report)
    if report and report.attack != AttackKind.OTHER:
        hidden = set(unsaid(report))
        keys |= {
            f"{_PATTERN}{report.attack}@{system}"
            for system, impact in report.impact_by_system.items()
            # "Something else" twice is not the same thing twice.
            if impact is not Impact.NONE and system not in {*hidden, PortSystem.OTHER}
        }
    Observation.objects.bulk_create(
        Observation(
            submission=submission, source=submission.source, key=key, at=submission.received_at
        )
        for key in sorted(keys)
    )


def _values_seen(submission: Submission, report: Report | None) -> set[str]:
    """The keys of the indicator values that count as seen by the source itself."""
    listed = ListedValue.objects.filter(object__submission=submission)
    listed = listed.exclude(object__tlp=Tlp.RED.value)
    kept_back: set[str] = set()
    if report:
        kept_back = {*withheld(report, telltales(submission.source)), *doubts(report)}
    keys = {
        indicator_key(kind, value)
        for kind, value in listed.values_list("kind", "value")
        if value not in kept_back and not known_as(IndicatorKind(kind), value)
    }
    # What a person reports was seen. A tool also sends back what the hub told it.
    return keys if submission.door == Door.FORM else keys - _told_to(submission, keys)


def _told_to(submission: Submission, keys: set[str]) -> set[str]:
    """Those of the keys that the hub had told the source before: its copy is no second sighting."""
    ordered = sorted(keys)
    told: set[Release] = set()
    for start in range(0, len(ordered), BATCH):
        told |= set(
            Release.objects.filter(
                submission__observations__key__in=ordered[start : start + BATCH],
                released_at__lte=submission.received_at,
            ).select_related("group")
        )
    source = submission.source
    seen = [made for made in told if visibility.may_see(source, made.group, Tlp(made.tlp))]
    listed = ListedValue.objects.filter(object__release__in=seen)
    return {indicator_key(kind, value) for kind, value in listed.values_list("kind", "value")}


def indicator_key(kind: str, value: str) -> str:
    # A digest, so that the longest URL fits and the table shows nobody's indicators.
    return _INDICATOR + hashlib.sha256(f"{kind}:{value}".encode()).hexdigest()


def corroborate(submission: Submission) -> list[Corroboration]:
    """Tie this submission to others: one story for each thing that another member saw too."""
    return [_story_of(alike, submission) for alike in _alike(submission)]


def fellows(submission: Submission) -> list[Organisation]:
    """Who else tells of what this submission tells of."""
    others = Organisation.objects.exclude(pk=submission.source_id)
    return list(others.filter(submissions__corroborations__submissions=submission).distinct())


def _alike(submission: Submission) -> list[set[UUID]]:
    """Submissions that share one thing with this one inside its window, this one among them.

    What is shared by some of those who share another thing too is part of that story.
    """
    holders: dict[str, set[UUID]] = {}
    foreign: set[str] = set()
    seen = _matching(submission).values_list("key", "submission_id", "source_id")
    for key, pk, source_id in seen:
        holders.setdefault(key, set()).add(pk)
        if source_id != submission.source_id:
            foreign.add(key)
    found: list[set[UUID]] = []
    for alike in sorted((holders[key] for key in foreign), key=len, reverse=True):
        if not any(alike <= larger for larger in found):
            found.append(alike)
    return found


def _story_of(alike: set[UUID], submission: Submission) -> Corroboration:
    """The story that these submissions are or go on with, up to date.

    One goes on only where all of it is alike: a story that a third tells for another reason, or
    that began before the window, is another.
    """
    others = alike - {submission.pk}
    for story in Corroboration.objects.filter(submissions__in=others).distinct().order_by("pk"):
        if set(story.submissions.values_list("pk", flat=True)) <= alike:
            break
    else:
        story = Corroboration.objects.create()
    story.submissions.add(*Submission.objects.filter(pk__in=alike))
    story.members = story.submissions.filter(_STANDS).values("source").distinct().count()
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
    return Observation.objects.filter(match, submission__in=Submission.objects.filter(_STANDS))


def warn(story: Corroboration) -> Alert | None:
    """Warn when more members than last told have seen it, and something of it may be shared.

    None when there is nothing new, or when no source has released anything yet: the next release
    of any of these reports asks again.
    """
    released = to_be_told(story)
    if released is None:
        return None
    severity = _severity(story, released).raised()
    alert = fanout.raise_alert(
        released,
        kind=Alert.Kind.CORROBORATION,
        severity=severity,
        group=_audience(released),
        title=kept("Seen by %(members)s members: %(title)s")
        % {"members": story.members, "title": released.title},
        body=f"{_campaign(story)}\n\n{released.advice}".strip(),
        corroboration=story,
    )
    add_sightings(released, _seen_by(story, released))
    story.told = story.members
    story.save(update_fields=["told"])
    return alert


def to_be_told(story: Corroboration) -> Release | None:
    """The release by which to warn of a story; None while there is nothing to say."""
    return _loosest_release(story) if story.members > max(1, story.told) else None


def _campaign(story: Corroboration) -> str:
    return kept(
        "%(members)s members of the port have now reported the same indicator, or the same kind of "
        "attack on the same kind of system. Treat it as a campaign against the port: check your "
        "own systems now."
    ) % {"members": story.members}


def _seen_by(story: Corroboration, released: Release) -> dict[str, int]:
    """How many members of the story saw each indicator of a release, where more than one did."""
    sources: dict[str, set[int]] = {}
    stands = story.submissions.filter(_STANDS)
    seen = Observation.objects.filter(submission__in=stands)
    for key, source in seen.values_list("key", "source_id"):
        sources.setdefault(key, set()).add(source)
    listed = ListedValue.objects.filter(object__in=standing(released))
    counts = {
        stix_id: len(sources.get(indicator_key(kind, value), ()))
        for stix_id, kind, value in listed.values_list("object__stix_id", "kind", "value")
    }
    return {stix_id: count for stix_id, count in counts.items() if count > 1}


def _loosest_release(story: Corroboration) -> Release | None:
    found = Release.objects.filter(submission__corroborations=story, withdrawn_at=None)
    return min(found, key=lambda made: (Tlp(made.tlp).rank, made.released_at), default=None)


def _audience(released: Release) -> Group:
    """The whole community, unless the source allowed less than that."""
    if Tlp(released.tlp).rank <= Tlp.GREEN.rank:
        return Group.objects.get(slug="community")
    return released.group


def _severity(story: Corroboration, released: Release) -> Severity:
    """How bad it is by what the audience is told anyway: a report that is private, or released to
    fewer, does not show in the loudness of a warning."""
    made = Release.objects.filter(submission__corroborations=story, withdrawn_at=None)
    made = made.select_related("group")
    told = [
        one.pk
        for one in made
        if Tlp(one.tlp).rank <= Tlp(released.tlp).rank and _audience(one) == _audience(released)
    ]
    return max(
        (
            assess(AttackKind(report.attack), report.impact_by_system)
            for report in Report.objects.filter(submission__release__in=told)
        ),
        key=lambda severity: severity.rank,
        default=Severity.MEDIUM,
    )


def set_off_by(source: Organisation) -> int:
    """How many warnings of the last hour a submission of this member set off: it was triaged last
    of those in the story, which the pen keeps apart from all others."""
    raised = Alert.objects.filter(
        kind=Alert.Kind.CORROBORATION,
        raised_at__gt=timezone.now() - timedelta(hours=1),
        corroboration__submissions__source=source,
    ).distinct()
    last = (
        Submission.objects.filter(
            corroborations=alert.corroboration_id, triaged_at__lte=alert.raised_at
        )
        .order_by("triaged_at")
        .last()
        for alert in raised
    )
    return sum(submission is not None and submission.source_id == source.pk for submission in last)
