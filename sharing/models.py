"""The rows around STIX: what came in, what is stored, where it is placed, what was released.

STIX JSON is the record and is stored whole (``StixObject.body``); every other column of that row is
derived by ``sharing.stix.reading.facts`` and can be rebuilt.
"""

import secrets
import uuid
from typing import ClassVar, Final

from django.db import models
from django.utils import timezone

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

    FORM = "form", "Web form"
    TAXII = "taxii", "TAXII"
    IMPORT = "import", "Import"
    SIGHTINGS = "sightings", "Sightings"


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

    ``lease_until`` is set by the worker that has it; a worker that died leaves it to run out.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    source = models.ForeignKey(Organisation, models.PROTECT, related_name="envelopes")
    collection = models.ForeignKey("Collection", models.PROTECT, related_name="envelopes")
    actor = models.CharField(max_length=160)
    received_at = models.DateTimeField(default=timezone.now)
    objects_sent = models.PositiveIntegerField()
    body = models.BinaryField()
    lease_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["received_at"]

    def __str__(self) -> str:
        return str(self.pk)


class Report(models.Model):
    """The private record of a submission made by people: what the form was told."""

    class State(models.TextChoices):
        """Where the report stands with the desk."""

        OPEN = "open", "With the desk"
        RELEASED = "released", "Released"
        DECLINED = "declined", "Not released"

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
    decided_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.attack} {self.submission.reference}"

    @property
    def consent(self) -> Tlp:
        """The loosest marking an anonymous release may carry: only the source may loosen it."""
        return Tlp.GREEN if self.warn_now else Tlp(self.tlp)

    def says_the_same_as(self, other: "Report") -> bool:
        """Whether both were told the same, whenever they were sent."""
        return all(getattr(self, name) == getattr(other, name) for name in self._TOLD)

    _TOLD: ClassVar = (
        "attack",
        "noticed_at",
        "systems",
        "narrative",
        "technical",
        "withheld",
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
    title = models.CharField(max_length=200)
    advice = models.TextField(blank=True)
    named = models.BooleanField(default=False)
    consent = models.CharField(max_length=12)
    decided_by = models.CharField(max_length=160)
    released_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-released_at"]

    def __str__(self) -> str:
        return self.title


class Collection(models.Model):
    """A TAXII collection: a group's shelf for one marking, a member's inbox, the desk's, or the one
    whose posts are counted."""

    class Kind(models.TextChoices):
        """What the collection is for; visibility decides who reads and writes it."""

        SHELF = "shelf", "Shared"
        INBOX = "inbox", "Inbox"
        DESK = "desk", "Desk"
        SIGHTINGS = "sightings", "Sightings"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    alias = models.SlugField(max_length=60, unique=True)
    title = models.CharField(max_length=160)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=10, choices=Kind)
    group = models.ForeignKey(Group, models.PROTECT, null=True, blank=True)
    tlp = models.CharField(max_length=12, blank=True)
    owner = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True)
    # Members who may post to this shelf directly, past the desk.
    writers = models.ManyToManyField(Organisation, related_name="writable_shelves", blank=True)

    class Meta:
        ordering: ClassVar = ["alias"]

    def __str__(self) -> str:
        return self.alias


class StixObject(models.Model):
    """One version of one STIX object, as it came. ``version`` is microseconds since the epoch.

    Objects without versions (SCOs, markings) have version 0 and may exist with several contents:
    their ids are derived from the value, so the private and the released copy share one.
    """

    stix_id = models.CharField(max_length=300)
    version = models.BigIntegerField()
    digest = models.CharField(max_length=64)
    type = models.CharField(max_length=250)
    spec_version = models.CharField(max_length=8)
    version_text = models.CharField(max_length=40, blank=True)
    created_by_ref = models.CharField(max_length=300, blank=True)
    revoked = models.BooleanField(default=False)
    tlp = models.CharField(max_length=12)
    body = models.TextField()
    # Observables may leave spec_version out; many clients then take them for STIX 2.0.
    lacks_spec_version = models.BooleanField(default=False)
    submission = models.ForeignKey(
        Submission, models.PROTECT, null=True, related_name="stix_objects"
    )
    release = models.ForeignKey(Release, models.PROTECT, null=True, related_name="stix_objects")

    class Meta:
        constraints: ClassVar = [
            # Read by put(): is this version here already, and is it the same?
            models.UniqueConstraint(
                fields=["stix_id", "version", "digest"], name="sharing_object_once"
            ),
        ]

    def __str__(self) -> str:
        return self.stix_id


class Placement(models.Model):
    """One object version in one collection since ``date_added`` (microseconds, the store's clock).

    ``latest`` marks the newest version of its object in its collection, which is what TAXII serves
    when no version is asked for (3.4.1).
    """

    collection = models.ForeignKey(Collection, models.PROTECT, related_name="placements")
    object = models.ForeignKey(StixObject, models.PROTECT, related_name="placements")
    date_added = models.BigIntegerField(unique=True)
    stix_id = models.CharField(max_length=300)
    version = models.BigIntegerField()
    latest = models.BooleanField(default=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["collection", "stix_id", "version"], name="sharing_placement_once"
            ),
        ]
        indexes: ClassVar = [
            # Read by every poll: one collection's newest versions after a cursor.
            models.Index(
                fields=["collection", "date_added"],
                name="sharing_placement_delta",
                condition=models.Q(latest=True),
            ),
            # Read by polls with match[version]=all.
            models.Index(fields=["collection", "date_added"], name="sharing_placement_all"),
        ]

    def __str__(self) -> str:
        return f"{self.stix_id} in {self.collection_id}"


class ListedValue(models.Model):
    """One plain value of one indicator version, derived from its pattern, for the lists."""

    object = models.ForeignKey(StixObject, models.CASCADE, related_name="listed_values")
    kind = models.CharField(max_length=10)
    value = models.CharField(max_length=2048)
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(null=True)
    # sharing.stix.values.key_of(kind, value): the value itself can be too long for an index.
    key = models.CharField(max_length=64)

    class Meta:
        indexes: ClassVar = [
            # Read by feeds: everything of one kind.
            models.Index(fields=["kind", "valid_until"], name="sharing_listed_by_kind"),
            # Read by the count of observed data: whose value is this?
            models.Index(fields=["key"], name="sharing_listed_by_key"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


class SightingPost(models.Model):
    """One post of sightings: its receipt, and by ``digest`` the memory that it came.

    ``refused`` holds one ``[stix_id, version, reason]`` per object that was not counted. Kept for
    the retry window.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    source = models.ForeignKey(Organisation, models.CASCADE, related_name="sighting_posts")
    digest = models.CharField(max_length=32)
    actor = models.CharField(max_length=160)
    received_at = models.DateTimeField(default=timezone.now)
    taken = models.PositiveIntegerField(default=0)
    repeated = models.PositiveIntegerField(default=0)
    refused = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [
            # Read by every post: the same bytes sent again are not counted again.
            models.UniqueConstraint(fields=["source", "digest"], name="sharing_sighting_post_once"),
        ]
        indexes: ClassVar = [
            # Read by the sweep: what is past the retry window.
            models.Index(fields=["received_at"], name="sharing_sighting_post_age"),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class SightingCount(models.Model):
    """How often one member saw one thing in one stretch of time; see sharing.tally, its writer.

    ``what`` is the id that was sighted, or for a value that no indicator lists ``value:`` and its
    key. ``hours`` is how long the stretch is: an hour, or the day it was rolled up into.
    """

    what = models.CharField(max_length=300)
    source = models.ForeignKey(Organisation, models.CASCADE, related_name="sighting_counts")
    hour = models.DateTimeField()
    hours = models.PositiveSmallIntegerField(default=1)
    count = models.BigIntegerField(default=0)
    # Looked for and not seen (a count of 0): says that somebody is watching.
    not_seen = models.BigIntegerField(default=0)
    # How many were stored whole, as evidence.
    kept = models.PositiveIntegerField(default=0)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            # Read by the upsert of every post, and by who asks what is known of one thing.
            models.UniqueConstraint(
                fields=["what", "hour", "source", "hours"], name="sharing_sighting_count_once"
            ),
        ]
        indexes: ClassVar = [
            # Read by the sweep: this hour for the jump rule, old ones to be rolled up or dropped.
            models.Index(fields=["hours", "hour"], name="sharing_sighting_count_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.what} {self.hour:%Y-%m-%d %H}: {self.count}"


class StoreClock(models.Model):
    """The one row that hands out ``date_added``; see sharing.store."""

    last = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.last)
