"""The outbox: work to be done is a row, claiming it is a conditional UPDATE."""

import uuid
from datetime import timedelta
from typing import ClassVar, Final

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from alerts.models.addresses import Endpoint
from alerts.models.warnings import Alert
from crc.members.models import Organisation


class Delivery(models.Model):
    """One warning to one recipient address. ``id`` is also the webhook id, the same each time.

    Rows of one address that wait under the same ``bundle`` become one message (alerts.folding): the
    newest is sent and tells of the others, which are ``folded`` into it. ``touches`` are the
    member's own confirmed addresses and domains that the warning is about.

    ``rank`` and ``raised_at`` are the warning's, copied so that one index orders what is due.
    ``host`` is what the sends of a channel have in common: one that hangs must not hold the others.
    ``step`` is 0 for the warning itself, and counts the calls of the ladder from there.
    """

    class State(models.TextChoices):
        """Where the delivery stands. ``due`` is for now; ``waiting`` until ``next_try_at``."""

        DUE = "due", _("Due")
        WAITING = "waiting", _("Waiting")
        SENDING = "sending", _("Being sent")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")
        SKIPPED = "skipped", _("Not sent")
        FOLDED = "folded", _("In another message")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    alert = models.ForeignKey(Alert, models.CASCADE, related_name="deliveries")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=20)
    address = models.CharField(max_length=500)
    step = models.PositiveSmallIntegerField(default=0)
    host = models.CharField(max_length=260, blank=True)
    rank = models.PositiveSmallIntegerField(default=0)
    raised_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=State, default=State.DUE)
    attempts = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)
    lease_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    took_ms = models.PositiveIntegerField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    bundle = models.CharField(max_length=50, blank=True)
    # Indexed below, where it is not empty.
    folded_into = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="parts", db_index=False
    )
    touches = models.CharField(max_length=200, blank=True)
    # Found at the moment of sending: for the health that the sends tell of, and for the words.
    endpoint: Endpoint | None = None
    language = "en"
    # Found then, too: what this address got first of that which a correction corrects.
    first: "Delivery | None" = None

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["alert", "organisation", "channel", "address", "step"],
                name="alerts_delivery_once",
            ),
        ]
        indexes: ClassVar = [
            # Read by a claim: the gravest and newest of one channel.
            models.Index(
                fields=["channel", "-rank", "-raised_at"],
                name="alerts_delivery_due",
                condition=models.Q(state="due"),
            ),
            # Read by the sweep: whose time has come.
            models.Index(
                fields=["next_try_at"],
                name="alerts_delivery_waiting",
                condition=models.Q(state="waiting"),
            ),
            # Read by the sweep: claimed by a worker that is gone.
            models.Index(
                fields=["lease_until"],
                name="alerts_delivery_leased",
                condition=models.Q(state="sending"),
            ),
            # Read when a folded message is rendered: what it tells of.
            models.Index(
                fields=["folded_into"],
                name="alerts_delivery_parts",
                condition=models.Q(folded_into__isnull=False),
            ),
            # Read by a member's inbox.
            models.Index(fields=["organisation", "channel"], name="alerts_delivery_inbox"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} to {self.organisation_id}: {self.state}"

    @property
    def sent_after(self) -> timedelta | None:
        """From the raising of the warning."""
        return self.sent_at - self.raised_at if self.sent_at else None


class Pulse(models.Model):
    """When the sweep last looked at the clock; one row."""

    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}"


_IN_HAND: Final = (Delivery.State.SENT, Delivery.State.SENDING)
_UNSENT: Final = (Delivery.State.DUE, Delivery.State.WAITING)
_FOLDED: Final = models.Q(state=Delivery.State.FOLDED)
_TRIED: Final = (*_UNSENT, Delivery.State.SKIPPED)
# A message in a sender's hands may be out already, and one that was tried may have arrived although
# no answer came back; what was folded went with its message.
GOT: Final = (
    models.Q(state__in=_IN_HAND)
    | models.Q(state__in=_TRIED, attempts__gt=0)
    | (_FOLDED & models.Q(folded_into__state__in=_IN_HAND))
    | (_FOLDED & models.Q(folded_into__state__in=_TRIED, folded_into__attempts__gt=0))
    | models.Q(seen_at__isnull=False)
)
# Not out yet, by itself or in a message that is not; and what was left by one that never will be.
ALONE: Final = models.Q(state__in=_UNSENT)
UNSENT: Final = ALONE | (_FOLDED & models.Q(folded_into__state__in=_UNSENT))
LEFT: Final = _FOLDED & models.Q(folded_into__state=Delivery.State.SKIPPED)
