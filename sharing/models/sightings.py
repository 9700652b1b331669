"""Sightings, which are counted and not stored: the receipts and the counts."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from crc.members.models import Organisation


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
