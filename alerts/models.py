"""Warnings, their deliveries and answers, and what makes two reports one story.

A delivery row is the outbox: work to be done is a row, claiming it is a conditional UPDATE.
"""

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from crc.members.models import Group, Organisation, User
from sharing.models import Release, Submission


class Corroboration(models.Model):
    """Reports of several members that tell of the same thing. ``told`` is the count last warned."""

    opened_at = models.DateTimeField(default=timezone.now)
    submissions = models.ManyToManyField(Submission, related_name="corroborations")
    members = models.PositiveIntegerField(default=0)
    told = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.members} members since {self.opened_at:%Y-%m-%d %H:%M}"


class Observation(models.Model):
    """That a member saw something at a time: the memory of the corroboration rule."""

    submission = models.ForeignKey(Submission, models.CASCADE, related_name="observations")
    source = models.ForeignKey(Organisation, models.CASCADE)
    key = models.CharField(max_length=100)
    at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [
            # Read at triage: who else saw this, and when.
            models.Index(fields=["key", "at"], name="alerts_observation_key"),
        ]

    def __str__(self) -> str:
        return self.key


class DeskEntry(models.Model):
    """A jump in sightings of one thing, for the desk to look at, with the rule that found it.

    ``hour`` is where it began, ``until`` the last hour in which the rate held; ``count`` is the
    highest hour's.
    """

    what = models.CharField(max_length=300)
    title = models.CharField(max_length=200, blank=True)
    hour = models.DateTimeField()
    until = models.DateTimeField()
    count = models.BigIntegerField()
    # The mean of the 24 hours before it began.
    usual = models.FloatField()
    factor = models.PositiveIntegerField()
    floor = models.PositiveIntegerField()
    members = models.ManyToManyField(Organisation, related_name="+")
    looked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-hour", "-pk"]
        constraints: ClassVar = [
            # Two sweeps at once raise one entry. Read by the sweep, too: does a jump go on?
            models.UniqueConstraint(fields=["what", "hour"], name="alerts_desk_entry_once"),
        ]
        indexes: ClassVar = [
            # Read by the desk's page.
            models.Index(
                fields=["hour"],
                name="alerts_desk_entry_open",
                condition=models.Q(looked_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title or self.what}: {self.count} an hour"


class Alert(models.Model):
    """A warning to an audience about a release; it asks for an answer.

    What is not about a release (a test, a word from the hub to one member) goes to ``only``.
    """

    class Kind(models.TextChoices):
        """What the warning says."""

        WARNING = "warning", "Warning"
        CORROBORATION = "corroboration", "Seen by several"
        UPDATE = "update", "Update"
        ALL_CLEAR = "all-clear", "All clear"
        WITHDRAWAL = "withdrawal", "Withdrawn"
        SERVICE = "service", "From the hub"
        TEST = "test", "Test"

    # What is said later about a warning, to those who got it and whatever they have muted.
    CORRECTIONS: ClassVar = (Kind.UPDATE, Kind.ALL_CLEAR, Kind.WITHDRAWAL)
    # After these an earlier message is not sent any more.
    CLOSING: ClassVar = (Kind.ALL_CLEAR, Kind.WITHDRAWAL)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    release = models.ForeignKey(
        Release, models.PROTECT, related_name="alerts", null=True, blank=True
    )
    # A correction's: the release's first warning.
    about = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="corrections"
    )
    only = models.ForeignKey(Organisation, models.CASCADE, null=True, blank=True)
    corroboration = models.ForeignKey(
        Corroboration, models.PROTECT, null=True, blank=True, related_name="alerts"
    )
    kind = models.CharField(max_length=20, choices=Kind)
    severity = models.CharField(max_length=10)
    tlp = models.CharField(max_length=12)
    group = models.ForeignKey(Group, models.PROTECT, null=True, blank=True)
    title = models.CharField(max_length=240)
    body = models.TextField()
    raised_at = models.DateTimeField(default=timezone.now)
    # Found for a page: the last that its reader was told about this warning.
    correction: "Alert | None" = None

    class Meta:
        ordering: ClassVar = ["-raised_at"]
        constraints: ClassVar = [
            # One first warning for one release, however often triage runs.
            models.UniqueConstraint(
                fields=["release"],
                condition=models.Q(kind="warning"),
                name="alerts_one_first_warning",
            ),
            # A second click is no second correction.
            models.UniqueConstraint(
                fields=["release", "kind"],
                condition=models.Q(kind__in=["all-clear", "withdrawal"]),
                name="alerts_closed_once",
            ),
            models.CheckConstraint(
                condition=models.Q(only=None, release__isnull=False, group__isnull=False)
                | models.Q(only__isnull=False, release=None, group=None),
                name="alerts_release_or_one_member",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Endpoint(models.Model):
    """An address of a member's that machines or phones answer at: a webhook, a chat room, a log.

    ``secret`` is kept readable because every send signs or authorises with it; it is shown once.
    ``old_secret`` signs beside it until ``old_secret_until``, so that a receiver can change over.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="endpoints")
    channel = models.CharField(max_length=20, default="webhook")
    address = models.CharField(max_length=500)
    label = models.CharField(max_length=80, blank=True)
    language = models.CharField(max_length=5, default="en")
    secret = models.CharField(max_length=200, blank=True)
    old_secret = models.CharField(max_length=200, blank=True)
    old_secret_until = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)
    # Health: what the last sends say, and why the hub itself switched it off.
    failing_since = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    switched_off_because = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organisation", "channel", "address"], name="alerts_endpoint_once"
            ),
        ]

    def __str__(self) -> str:
        return self.label or f"{self.channel} {self.pk}"

    def secrets_now(self) -> list[str]:
        """The secrets to sign with: the new one first."""
        old = self.old_secret_until and self.old_secret_until > timezone.now()
        return [self.secret, self.old_secret] if old else [self.secret]


class Delivery(models.Model):
    """One warning to one recipient address. ``id`` is also the webhook id, the same each time.

    ``rank`` and ``raised_at`` are the warning's, copied so that one index orders what is due.
    ``host`` is what the sends of a channel have in common: one that hangs must not hold the others.
    """

    class State(models.TextChoices):
        """Where the delivery stands. ``due`` is for now; ``waiting`` until ``next_try_at``."""

        DUE = "due", "Due"
        WAITING = "waiting", "Waiting"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        SKIPPED = "skipped", "Not sent"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    alert = models.ForeignKey(Alert, models.CASCADE, related_name="deliveries")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=20)
    address = models.CharField(max_length=500)
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
    # Found at the moment of sending, for the health that the sends tell of.
    endpoint: Endpoint | None = None
    # Found then, too: a correction's first message to this address.
    first: "Delivery | None" = None

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["alert", "organisation", "channel", "address"], name="alerts_delivery_once"
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
            # Read by a member's inbox.
            models.Index(fields=["organisation", "channel"], name="alerts_delivery_inbox"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} to {self.organisation_id}: {self.state}"


class Answer(models.Model):
    """What a member says to a warning. Rows are kept; the newest is the member's answer."""

    class Choice(models.TextChoices):
        """The four answers."""

        SEEN = "seen", "Seen"
        NOT_AFFECTED = "not-affected", "Not affected"
        AFFECTED = "affected", "Affected"
        CONTAINED = "contained", "Contained"

    alert = models.ForeignKey(Alert, models.CASCADE, related_name="answers")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="answers")
    user = models.ForeignKey(User, models.SET_NULL, null=True, blank=True)
    choice = models.CharField(max_length=20, choices=Choice)
    note = models.CharField(max_length=500, blank=True)
    by = models.CharField(max_length=160)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.organisation_id}: {self.choice}"
