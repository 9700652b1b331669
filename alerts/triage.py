"""From arrival to decision: what the rules may decide is decided now; the rest waits."""

import logging
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from alerts import corroboration, fanout
from alerts.models import Alert
from alerts.severity import Severity, assess
from crc.members.models import Group, User
from crc.members.retold import kept
from crc.ordering import take_the_pen
from sharing.models import Door, Release, Report, Submission
from sharing.release import SOURCE, Draft, NotReleasable, Terms, draft, release
from sharing.stix.markings import Tlp
from sharing.stix.port import AttackKind

log = logging.getLogger(__name__)

# How long what cannot be assessed is tried again: an update of the hub may mend it.
PATIENCE: Final = timedelta(minutes=10)


def triage(submission_id: str) -> list[Alert]:
    """Assess one submission, once; returns the warnings raised. All in one transaction, so that a
    worker killed in the middle leaves it untriaged and the sweep starts over."""
    ready = _wished(submission_id)
    with transaction.atomic():
        take_the_pen()
        fresh = Submission.objects.filter(pk=submission_id, triaged_at=None)
        if not fresh.update(triaged_at=timezone.now()):
            return []
        submission = Submission.objects.select_related("source").get(pk=submission_id)
        if not submission.observations.exists():
            corroboration.observe(submission)
        raised = []
        report = Report.objects.filter(submission=submission, state=Report.State.OPEN).first()
        if report and report.warn_now:
            raised += _release_at_once(report, ready)
        return raised + _corroborate(submission)


def leave_to_the_desk(submission_id: str) -> None:
    """What has failed for PATIENCE will fail again; it must not take the sweep's time for ever."""
    before = timezone.now() - PATIENCE
    stuck = Submission.objects.filter(pk=submission_id, triaged_at=None, received_at__lt=before)
    if not stuck.update(triaged_at=timezone.now()):
        return
    submission = Submission.objects.get(pk=submission_id)
    log.error("submission %s is left to the desk", submission.reference)
    _hold(submission, kept("The hub could not assess this by itself; the desk decides."))


def waiting(*, people: bool, limit: int = 100) -> list[str]:
    """Submissions that nobody has triaged, of ``people`` or of tools: the doorbell did not ring.

    Each member's oldest first, then each one's second: who sends many waits for itself.
    """
    door = Q(door=Door.FORM) if people else ~Q(door=Door.FORM)
    turn = Window(RowNumber(), partition_by="source", order_by=["received_at", "pk"])
    rows = Submission.objects.filter(door, triaged_at=None).annotate(turn=turn)
    rows = rows.order_by("turn", "received_at")
    return [str(pk) for pk in rows.values_list("pk", flat=True)[:limit]]


def _wished(submission_id: str) -> Draft | None:
    """What a reporter who asked to warn the port now would release, made before the pen is taken;
    None when nobody asks, or when it cannot go out, which is found again with the pen."""
    report = (
        Report.objects.select_related("submission__source")
        .filter(submission__pk=submission_id, submission__triaged_at=None)
        .filter(state=Report.State.OPEN, warn_now=True)
        .first()
    )
    try:
        return draft(report, _at_once()) if report else None
    except NotReleasable:
        return None


def _at_once() -> Terms:
    # Without its name, as the form says; whether a member that may be named is, the desk decides.
    return Terms(group=Group.objects.get(slug="community"), tlp=Tlp.GREEN)


def _release_at_once(report: Report, ready: Draft | None) -> list[Alert]:
    """The reporter asked to warn the port now. What cannot go out as it is waits for the desk."""
    try:
        with transaction.atomic():
            made = release(ready or draft(report, _at_once()), actor=SOURCE)
            return [_warn(made, report)]
    except NotReleasable as obstacle:
        log.warning("report %s waits for the desk", report.submission.reference)
        Report.objects.filter(pk=report.pk).update(hold_reason=str(obstacle), hold_shown=True)
        return []


def _corroborate(submission: Submission) -> list[Alert]:
    """The warnings that others saw it too, as many as one member may set off in an hour."""
    raised: list[Alert] = []
    stories = corroboration.corroborate(submission)
    most = settings.AUTOMATIC_WARNINGS_PER_HOUR
    left = most - corroboration.set_off_by(submission.source) if stories else 0
    for story in stories:
        if not corroboration.to_be_told(story):
            continue
        if len(raised) >= left:
            log.warning("%s: its corroboration waits for the desk", submission.reference)
            _hold(
                submission,
                kept(
                    "Other members saw it too, but the hub sends %(most)s such warnings an "
                    "hour of one member by itself; the desk decides about this one."
                )
                % {"most": most},
                shown=False,  # it would tell who only guesses that somebody else saw it
            )
            break
        warned = corroboration.warn(story)
        raised += [warned] if warned else []
    return raised


def _hold(submission: Submission, reason: str, *, shown: bool = True) -> None:
    """Say why a report that is still open waits, unless that is said already; to the reporter only
    if it is to be ``shown``."""
    waiting = Report.objects.filter(submission=submission, state=Report.State.OPEN, hold_reason="")
    waiting.update(hold_reason=reason, hold_shown=shown)


def release_from_desk(report: Report, terms: Terms, *, actor: User) -> list[Alert]:
    """The desk's decision to share: release, warning and, where others saw it too, corroboration.

    Raises NotReleasable.
    """
    ready = draft(report, terms)
    with transaction.atomic():
        take_the_pen()
        raised = [_warn(release(ready, actor=actor), report)]
        for story in report.submission.corroborations.all():
            echoed = corroboration.warn(story)
            if echoed:
                raised.append(echoed)
        return raised


def _warn(made: Release, report: Report) -> Alert:
    return fanout.raise_alert(
        made,
        kind=Alert.Kind.WARNING,
        severity=severity_of(report),
        group=made.group,
        title=made.title,
        body=made.advice or standard_advice(report),
        silent=report.submission.source,
    )


def severity_of(report: Report) -> Severity:
    """How bad one report is by itself."""
    return assess(AttackKind(report.attack), report.impact_by_system)


def standard_advice(report: Report) -> str:
    """What a warning says unless the desk finds better words."""
    return kept(
        "A member of the port reports: %(attack)s. Check your own systems for the indicators "
        "in the hub's lists and collections, tell your duty officer, and answer below whether "
        "you are affected."
    ) % {"attack": report.attack_label.lower()}
