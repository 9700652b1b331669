"""What members' tools ask, as sharing.tooluse notes it."""

from typing import ClassVar

from django.db import models

from crc.members.models import ApiKey


class ToolUse(models.Model):
    """What the hub has seen of one key; see sharing.tooluse, its only writer.

    ``failed_in_row`` counts the requests that failed since the last that did not. Until
    ``watch_until`` every request is kept one by one, for the connection test.
    """

    key = models.OneToOneField(ApiKey, models.CASCADE, primary_key=True, related_name="use")
    last_at = models.DateTimeField(null=True, blank=True)
    last_ok_at = models.DateTimeField(null=True, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    requests = models.BigIntegerField(default=0)
    served = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    failed_in_row = models.PositiveIntegerField(default=0)
    watch_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"use of {self.key_id}"


class ToolPlace(models.Model):
    """One collection or list that a key has polled with success, and how far it has got.

    ``cursor`` is the newest ``date_added`` it was served, as TAXII writes it. ``gaps`` holds the
    last few seconds between polls; the pages of one poll count as one.
    """

    use = models.ForeignKey(ToolUse, models.CASCADE, related_name="places")
    place = models.CharField(max_length=80)
    last_ok_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    cursor = models.CharField(max_length=27, blank=True)
    served = models.BigIntegerField(default=0)
    gaps = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [
            # Read by every flush of the poll log.
            models.UniqueConstraint(fields=["use", "place"], name="sharing_toolplace_once"),
        ]

    def __str__(self) -> str:
        return self.place


class ToolHour(models.Model):
    """One hour of one key's requests; kept for a day. ``hour`` counts hours since the epoch."""

    use = models.ForeignKey(ToolUse, models.CASCADE, related_name="hours")
    hour = models.PositiveIntegerField()
    requests = models.PositiveIntegerField(default=0)
    served = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            # Read by every flush of the poll log.
            models.UniqueConstraint(fields=["use", "hour"], name="sharing_toolhour_once"),
        ]

    def __str__(self) -> str:
        return str(self.hour)


class ToolRequest(models.Model):
    """One request of a tool: the last few that failed, and all while its owner watches."""

    use = models.ForeignKey(ToolUse, models.CASCADE, related_name="seen")
    at = models.DateTimeField()
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=300)
    status = models.PositiveSmallIntegerField()
    reason = models.CharField(max_length=300, blank=True)
    accept = models.CharField(max_length=200, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    served = models.PositiveIntegerField(default=0)
    watched = models.BooleanField(default=False)

    class Meta:
        ordering: ClassVar = ["-at", "-pk"]
        indexes: ClassVar = [
            # Read by a key's page, and by the flush that lets the oldest go.
            models.Index(fields=["use", "-at"], name="sharing_toolrequest_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"
