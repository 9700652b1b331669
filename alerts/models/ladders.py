"""Who is called, one after the other, while a member does not answer."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.models.warnings import Alert
from crc.members.models import Organisation


class LadderStep(models.Model):
    """Whom to call next when nobody of a member's has answered a critical warning.

    ``minutes`` is the wait before the next step; 0 calls this and the next one together. A member
    without any has the standard ladder (alerts.ladder).
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="ladder")
    position = models.PositiveIntegerField()
    channel = models.CharField(max_length=20)
    address = models.CharField(max_length=500)
    minutes = models.PositiveSmallIntegerField(default=10)

    class Meta:
        ordering: ClassVar = ["position", "pk"]
        indexes: ClassVar = [
            # Read when the ladder is climbed or shown.
            models.Index(fields=["organisation", "position"], name="alerts_ladder"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.address}, {self.minutes} min"


class LadderPause(models.Model):
    """That a member is not to be called up its ladder until a time; the desk sees it."""

    organisation = models.OneToOneField(
        Organisation, models.CASCADE, primary_key=True, related_name="ladder_pause"
    )
    until = models.DateTimeField()
    by = models.CharField(max_length=160)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.organisation_id} until {self.until:%Y-%m-%d %H:%M}"


class Escalation(models.Model):
    """How far one member's ladder has been climbed for one warning.

    ``rung`` is how many calls were made; the next is due at ``next_at``. ``moved_at`` is when that
    was set, by which a clock that went back is noticed. ``speed`` divides the waits of a drill.
    """

    class State(models.TextChoices):
        """``ended``: everybody was called, nobody answered. ``stopped``: no answer is wanted."""

        CLIMBING = "climbing", _("Being called")
        PAUSED = "paused", _("Paused")
        ANSWERED = "answered", _("Answered")
        ENDED = "ended", _("Nobody answered")
        STOPPED = "stopped", _("Stopped")

    OPEN: ClassVar = (State.CLIMBING, State.PAUSED)

    alert = models.ForeignKey(Alert, models.CASCADE, related_name="escalations")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="escalations")
    state = models.CharField(max_length=10, choices=State, default=State.CLIMBING)
    rung = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField()
    moved_at = models.DateTimeField(default=timezone.now)
    speed = models.PositiveSmallIntegerField(default=1)
    # Who paused or stopped it, and whether the desk was told of its end.
    by = models.CharField(max_length=160, blank=True)
    told = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["alert", "organisation"], name="alerts_escalation_once"
            ),
        ]
        indexes: ClassVar = [
            # Read by the sweep: whose next call is due.
            models.Index(
                fields=["next_at"],
                name="alerts_escalation_open",
                condition=models.Q(state__in=["climbing", "paused"]),
            ),
            # Read by the desk's queue and by the word to the desk.
            models.Index(
                fields=["alert"],
                name="alerts_escalation_ended",
                condition=models.Q(state="ended"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organisation_id}: {self.state} at {self.rung}"
