"""The threads in: sharing's signal, and the trail that every change of state is written to."""

from typing import Final

from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver

from alerts import assets, corroboration, live, tasks
from crc.members.models import AuditEntry, Organisation
from sharing.models import Submission
from sharing.signals import accepted, corroborated, owned

# What the desk's queue and cases show.
_SEEN_AT_THE_DESK: Final = frozenset(
    {
        "submission.accepted",
        "report.released",
        "report.declined",
        "report.consent",
        "release.withdrawal_asked",
        "release.withdrawal_declined",
        "release.withdrawn",
        "alert.raised",
        "alert.answered",
        "ladder.paused",
        "ladder.resumed",
        "escalation.paused",
        "escalation.resumed",
    }
)


@receiver(accepted, dispatch_uid="alerts.triage")
def triage_what_came_in(
    sender: object, *, submission_id: str, by_person: bool, **kwargs: object
) -> bool:
    """Ring for triage; False when the broker is down and the sweep has to."""
    task = tasks.triage_report if by_person else tasks.triage_post
    return tasks.ring(task, submission_id)


@receiver(owned, dispatch_uid="alerts.assets")
def tell_what_is_owned(
    sender: object, *, organisation: Organisation | None, **kwargs: object
) -> list[str]:
    """What the desk has confirmed is nobody's to block, and gives its owner away."""
    return assets.confirmed(organisation)


@receiver(corroborated, dispatch_uid="alerts.corroboration")
def tell_who_saw_it_too(
    sender: object, *, submission: Submission, **kwargs: object
) -> list[Organisation]:
    """They are no more to be named than the reporter."""
    return corroboration.fellows(submission)


@receiver(post_save, sender=AuditEntry, dispatch_uid="alerts.desk")
def show_the_desk(sender: object, *, instance: AuditEntry, **kwargs: object) -> None:
    """Once it is committed: before, an open page would look and see the old state."""
    if instance.action in _SEEN_AT_THE_DESK:
        transaction.on_commit(live.tell_the_desk, robust=True)
