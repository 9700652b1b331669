"""Where members are reached, and what each address wants to hear of."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from crc.members.models import Organisation


class Endpoint(models.Model):
    """An address of a member's that machines or phones answer at: a webhook, a chat room, a log.

    Warnings go there from ``verified_at`` on: since then a test has been taken, or its reader has
    said by a link that it is the right place.
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
    verified_at = models.DateTimeField(null=True, blank=True)
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


class Subscription(models.Model):
    """What one address of a member's is told, and when. No row: everything, at once.

    Empty ``attacks`` and ``systems`` are all of them. Quiet hours, digests and ``digest_hour`` are
    in ``time_zone``; what is critical, or touches a confirmed asset, waits for none of them.
    """

    class Digest(models.TextChoices):
        """How often what waits becomes one message."""

        NONE = "", _("At once")
        HOURLY = "hourly", _("Every hour, in one message")
        DAILY = "daily", _("Once a day, in one message")

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="subscriptions")
    channel = models.CharField(max_length=20)
    address = models.CharField(max_length=500)
    floor = models.CharField(max_length=10, default="info")
    attacks = models.JSONField(default=list, blank=True)
    systems = models.JSONField(default=list, blank=True)
    own_role_only = models.BooleanField(default=False)
    own_assets_only = models.BooleanField(default=False)
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    digest = models.CharField(max_length=6, choices=Digest, default=Digest.NONE, blank=True)
    digest_hour = models.PositiveSmallIntegerField(default=8)
    time_zone = models.CharField(max_length=40, default="UTC")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organisation", "channel", "address"], name="alerts_subscription_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} of {self.organisation_id}"


class Asset(models.Model):
    """A network or a domain that a member says is its own. It counts once the desk has confirmed.

    Nobody but the member and the desk learns of it.
    """

    class Kind(models.TextChoices):
        """What ``value`` is: a network as 203.0.113.0/24, or a domain with all below it."""

        NETWORK = "network", _("Addresses")
        DOMAIN = "domain", _("Domain")

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="assets")
    kind = models.CharField(max_length=10, choices=Kind)
    value = models.CharField(max_length=253)
    claimed_at = models.DateTimeField(default=timezone.now)
    claimed_by = models.CharField(max_length=160)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    confirmed_by = models.CharField(max_length=160, blank=True)
    refused_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["kind", "value"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organisation", "value"], name="alerts_asset_once"),
        ]

    def __str__(self) -> str:
        return self.value
