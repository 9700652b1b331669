"""The one thread in from sharing."""

from django.dispatch import receiver

from alerts import tasks
from sharing.signals import accepted


@receiver(accepted, dispatch_uid="alerts.triage")
def triage_what_came_in(sender: object, *, submission_id: str, **kwargs: object) -> bool:
    """Ring for triage; False when the broker is down and the sweep has to."""
    return tasks.ring(tasks.triage_submission, submission_id)
