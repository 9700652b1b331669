"""Warnings and answers, and what makes two reports one story."""

import uuid
from collections.abc import Sequence
from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

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

        WARNING = "warning", _("Warning")
        CORROBORATION = "corroboration", _("Seen by several")
        UPDATE = "update", _("Update")
        ALL_CLEAR = "all-clear", _("All clear")
        WITHDRAWAL = "withdrawal", _("Withdrawn")
        SERVICE = "service", _("From the hub")
        TEST = "test", _("Test")
        DRILL = "drill", _("Exercise")

    # What is said later about a warning, to those who got it and whatever they have muted.
    CORRECTIONS: ClassVar = (Kind.UPDATE, Kind.ALL_CLEAR, Kind.WITHDRAWAL)
    # After these an earlier message is not sent any more.
    CLOSING: ClassVar = (Kind.ALL_CLEAR, Kind.WITHDRAWAL)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    release = models.ForeignKey(
        Release, models.PROTECT, related_name="alerts", null=True, blank=True
    )
    only = models.ForeignKey(Organisation, models.CASCADE, null=True, blank=True)
    corroboration = models.ForeignKey(
        Corroboration, models.PROTECT, null=True, blank=True, related_name="alerts"
    )
    # The warning that a word to the desk is about, or the release's first that this one corrects.
    about = models.ForeignKey(
        "self", models.CASCADE, null=True, blank=True, related_name="words_about_it"
    )
    kind = models.CharField(max_length=20, choices=Kind)
    severity = models.CharField(max_length=10)
    tlp = models.CharField(max_length=12)
    group = models.ForeignKey(Group, models.PROTECT, null=True, blank=True)
    title = models.CharField(max_length=500)
    body = models.TextField()
    # What it is about, as far as the release says: words of sharing.stix.port.
    attack = models.CharField(max_length=20, blank=True)
    systems = models.JSONField(default=list, blank=True)
    raised_at = models.DateTimeField(default=timezone.now)
    # Found for a page: what was said about this warning since, newest first.
    said: "Sequence[Alert]" = ()

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

    @property
    def correction(self) -> "Alert | None":
        """Where it stands: what called it off, whatever was said after that, or else the last."""
        closing = [one for one in self.said if one.kind in self.CLOSING]
        return next(iter([*closing, *self.said]), None)

    @property
    def closed(self) -> bool:
        """Whether it has been called off since."""
        return self.correction is not None and self.correction.kind in self.CLOSING

    @property
    def asks(self) -> bool:
        """Whether it wants an answer; what a correction corrects has been asked already."""
        silent = (self.Kind.SERVICE, *self.CORRECTIONS)
        return self.kind not in silent and not self.closed


class Answer(models.Model):
    """What a member says to a warning. Rows are kept; the newest is the member's answer."""

    class Choice(models.TextChoices):
        """The four answers."""

        SEEN = "seen", _("Seen")
        NOT_AFFECTED = "not-affected", _("Not affected")
        AFFECTED = "affected", _("Affected")
        CONTAINED = "contained", _("Contained")

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
