"""What came in and what was decided about it."""

import secrets
import uuid
from typing import ClassVar, Final

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from crc.members.models import Group, Organisation, User
from sharing.stix.markings import Tlp
from sharing.stix.port import ATTACKS, AttackKind, Impact, PortSystem

# Crockford's base 32: no letter that is read as a digit over the telephone.
_SPOKEN: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_reference() -> str:
    """A submission's name on pages and on the telephone, such as ``R-7K3M-2QXW`` (40 bits)."""
    drawn = "".join(secrets.choice(_SPOKEN) for _ in range(8))
    return f"R-{drawn[:4]}-{drawn[4:]}"


class Door(models.TextChoices):
    """How a submission came in."""

    FORM = "form", _("Web form")
    TAXII = "taxii", "TAXII"
    IMPORT = "import", _("Import")
    SIGHTINGS = "sightings", _("Sightings")


class Submission(models.Model):
    """What came in through one door at one time, with its receipt.

    ``receipt`` holds one ``[stix_id, version, outcome, reason]`` per object, in the order sent.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    reference = models.CharField(max_length=12, unique=True, default=new_reference)
    source = models.ForeignKey(Organisation, models.PROTECT, related_name="submissions")
    door = models.CharField(max_length=10, choices=Door)
    received_at = models.DateTimeField(default=timezone.now)
    receipt = models.JSONField(default=list)
    triaged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-received_at"]
        indexes: ClassVar = [
            # Read by the sweep: what triage has not seen yet.
            models.Index(
                fields=["received_at"],
                name="sharing_submission_untriaged",
                condition=models.Q(triaged_at=None),
            ),
            # Read by a member's own list and by the desk's queue.
            models.Index(fields=["source", "-received_at"], name="sharing_submission_by_source"),
        ]

    def __str__(self) -> str:
        return self.reference


class Envelope(models.Model):
    """A large post that waits for a worker; it becomes the submission of the same id and goes.

    ``lease_until`` is set by the worker that has it; a worker that died leaves it to run out,
    and one of the ``attempts`` is gone. After that ``reached`` is the place of the object that is
    being read; ``fatal`` are those at which a worker died.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    source = models.ForeignKey(Organisation, models.PROTECT, related_name="envelopes")
    collection = models.ForeignKey("Collection", models.PROTECT, related_name="envelopes")
    actor = models.CharField(max_length=160)
    received_at = models.DateTimeField(default=timezone.now)
    objects_sent = models.PositiveIntegerField()
    body = models.BinaryField()
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    reached = models.PositiveIntegerField(null=True, blank=True)
    fatal = models.JSONField(default=list)

    class Meta:
        ordering: ClassVar = ["received_at"]

    def __str__(self) -> str:
        return str(self.pk)


class Report(models.Model):
    """The private record of a submission made by people: what the form was told."""

    class State(models.TextChoices):
        """Where the report stands with the desk."""

        OPEN = "open", _("With the desk")
        RELEASED = "released", _("Released")
        DECLINED = "declined", _("Not released")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    submission = models.OneToOneField(Submission, models.CASCADE, primary_key=True)
    author = models.ForeignKey(User, models.PROTECT, related_name="reports")
    attack = models.CharField(max_length=20)
    noticed_at = models.DateTimeField()
    systems = models.JSONField(default=dict)
    narrative = models.TextField(blank=True)
    technical = models.TextField(blank=True)
    # Indicator values the reporter keeps back from every release.
    withheld = models.JSONField(default=list)
    tlp = models.CharField(max_length=12, default=Tlp.AMBER_STRICT.value)
    warn_now = models.BooleanField(default=False)
    may_name = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    decision_reason = models.TextField(blank=True)
    # Why an immediate release did not happen, for the desk.
    hold_reason = models.TextField(blank=True)
    # Whether the reporter may read why: not where that tells of other members' reports.
    hold_shown = models.BooleanField(default=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.attack} {self.submission.reference}"

    @property
    def consent(self) -> Tlp:
        """The loosest marking an anonymous release may carry: only the source may loosen it."""
        return Tlp.GREEN if self.warn_now else Tlp(self.tlp)

    def says_the_same_as(self, other: "Report") -> bool:
        """Whether both were told the same, whenever they were sent.

        A page that the browser brings back has lost its ticks, so keeping less back than before
        is no other report.
        """
        same = all(getattr(self, name) == getattr(other, name) for name in self._TOLD)
        return same and set(self.withheld) <= set(other.withheld)

    _TOLD: ClassVar = (
        "attack",
        "noticed_at",
        "systems",
        "narrative",
        "technical",
        "tlp",
        "warn_now",
        "may_name",
    )

    @property
    def attack_label(self) -> str:
        """The attack kind in words."""
        return ATTACKS[AttackKind(self.attack)].label

    @property
    def impact_by_system(self) -> dict[PortSystem, Impact]:
        """``systems`` with its types back."""
        return {PortSystem(name): Impact(impact) for name, impact in self.systems.items()}


class Release(models.Model):
    """The decision to share one report: its audience, its marking, and the title all will read."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    submission = models.OneToOneField(Submission, models.PROTECT, related_name="release")
    group = models.ForeignKey(Group, models.PROTECT)
    tlp = models.CharField(max_length=12)
    # Both are in two languages where the desk wrote them so (crc.members.retold).
    title = models.CharField(max_length=450)
    advice = models.TextField(blank=True)
    named = models.BooleanField(default=False)
    consent = models.CharField(max_length=12)
    decided_by = models.CharField(max_length=160)
    released_at = models.DateTimeField(default=timezone.now)
    # The source may ask; the desk decides.
    withdrawal_asked_at = models.DateTimeField(null=True, blank=True)
    withdrawal_asked_because = models.TextField(blank=True)
    withdrawal_declined_at = models.DateTimeField(null=True, blank=True)
    withdrawal_declined_because = models.TextField(blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.CharField(max_length=160, blank=True)
    withdrawal_reason = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["-released_at"]

    def __str__(self) -> str:
        return self.title
