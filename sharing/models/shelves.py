"""What is stored, and where it is placed.

STIX JSON is the record and is stored whole (``StixObject.body``); every other column of that row is
derived by ``sharing.stix.reading.facts`` and can be rebuilt.
"""

import uuid
from typing import ClassVar

from django.db import models

from crc.members.models import Group, Organisation
from sharing.models.submissions import Release, Submission


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
    # By the store's clock: the last change of what is on it, and its newest placement ever. Whoever
    # remembers a page of it can tell from these, without looking further, that it still holds.
    changed = models.BigIntegerField(default=0)
    newest = models.BigIntegerField(default=0)

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
        Submission, models.PROTECT, null=True, related_name="stix_objects", db_constraint=False
    )
    release = models.ForeignKey(Release, models.PROTECT, null=True, related_name="stix_objects")

    class Meta:
        indexes: ClassVar = [
            # Read by put() for every object that comes in: what is held of this id? That no version
            # is held twice is put()'s to see to: an index over all three columns is too large.
            models.Index(fields=["stix_id"], name="sharing_object_by_stix_id"),
        ]

    def __str__(self) -> str:
        return self.stix_id


class Placement(models.Model):
    """One object version in one collection since ``date_added`` (microseconds, the store's clock).

    ``latest`` marks the newest version of its object in its collection, which is what TAXII serves
    when no version is asked for (3.4.1). ``version`` repeats the object's.
    """

    # Sharing.store alone writes here, holding the pen; the database checking every row again would
    # take as long as storing it.
    collection = models.ForeignKey(
        Collection,
        models.PROTECT,
        related_name="placements",
        db_constraint=False,
        db_index=False,
    )
    object = models.ForeignKey(
        StixObject,
        models.PROTECT,
        related_name="placements",
        db_constraint=False,
        db_index=False,
    )
    date_added = models.BigIntegerField(unique=True)
    version = models.BigIntegerField()
    latest = models.BooleanField(default=True)

    class Meta:
        constraints: ClassVar = [
            # Read by put(): where an object is placed already.
            models.UniqueConstraint(fields=["object", "collection"], name="sharing_placement_once"),
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
        return f"{self.object_id} in {self.collection_id}"


class Segment(models.Model):
    """A run of newest placements of one collection, joined and compressed, ready to be served.

    It holds all whose ``date_added`` is above ``lower`` and not above ``upper``. Derived and kept
    by sharing.segments; ``stale`` ones are not served and are made anew.
    """

    collection = models.ForeignKey(Collection, models.CASCADE, related_name="segments")
    lower = models.BigIntegerField()
    upper = models.BigIntegerField()
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    count = models.PositiveIntegerField()
    body = models.BinaryField()
    marks = models.BinaryField()
    stale = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [
            # Read by every page: the segment that a cursor falls into.
            models.UniqueConstraint(fields=["collection", "upper"], name="sharing_segment_place"),
        ]
        indexes: ClassVar = [
            # Read by the sealer: what is to be made anew.
            models.Index(
                fields=["collection"],
                name="sharing_segment_stale",
                condition=models.Q(stale=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.count} in {self.collection_id} up to {self.upper}"


class ListedValue(models.Model):
    """One plain value of one indicator version, derived from its pattern, for the lists."""

    object = models.ForeignKey(
        StixObject, models.CASCADE, related_name="listed_values", db_constraint=False
    )
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


class StoreClock(models.Model):
    """The one row that hands out ``date_added``; see sharing.store."""

    last = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.last)
