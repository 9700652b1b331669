"""Whether members' endpoints take what is sent to them; one that does not is switched off, and its
owner is told on the channels that work."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from alerts import audience, confirming, fanout
from alerts.channels import CHANNELS
from alerts.models import Alert, Delivery, Endpoint
from alerts.outbox import Outcome
from alerts.severity import Severity
from crc.members import audit
from crc.members.retold import kept
from sharing.stix.markings import Tlp

# Refused for good so often in a row, or without any success for so long: it is switched off.
REFUSALS: Final = 10
FAILING_FOR: Final = timedelta(days=3)


def note(outcomes: Iterable[Outcome]) -> None:
    """Remember what sends tell of their endpoints."""
    for done in outcomes:
        endpoint = done.delivery.endpoint
        if endpoint is None or not done.counts:
            continue
        if done.state is Delivery.State.SENT:
            _works(endpoint)
        else:
            _fails(endpoint, done)


def _works(endpoint: Endpoint) -> None:
    """Only a test goes to an address that is not verified. Where it takes a person's word, that a
    send was taken proves nothing."""
    if endpoint.failing_since:
        endpoint.failing_since, endpoint.failures = None, 0
        _remember(endpoint)
    if endpoint.verified_at is None and not CHANNELS[endpoint.channel].needs_tap:
        confirming.verify(endpoint, actor="hub")


def _fails(endpoint: Endpoint, done: Outcome) -> None:
    now = timezone.now()
    endpoint.failing_since = endpoint.failing_since or now
    endpoint.failures += done.state is Delivery.State.FAILED
    _remember(endpoint)
    tired = endpoint.failures >= REFUSALS or now - endpoint.failing_since > FAILING_FOR
    # One that never worked has nobody who counts on it: who tries it sees why it fails.
    if endpoint.verified_at and (done.gone or tired):
        switch_off(endpoint, done.reason)


def _remember(endpoint: Endpoint) -> None:
    # Not save(): its owner may have removed it meanwhile.
    Endpoint.objects.filter(pk=endpoint.pk).update(
        failing_since=endpoint.failing_since, failures=endpoint.failures
    )


def switch_off(endpoint: Endpoint, reason: str) -> None:
    """Send it nothing more until its owner switches it on again, and tell the owner."""
    with transaction.atomic():
        on = Endpoint.objects.filter(pk=endpoint.pk, is_active=True)
        if not on.update(is_active=False, switched_off_because=reason[:300]):
            return
        audit.record(
            "endpoint.switched_off",
            actor="hub",
            subject=str(endpoint.pk),
            organisation=endpoint.organisation.slug,
            channel=endpoint.channel,
        )
        name = endpoint.label or CHANNELS[endpoint.channel].describe(endpoint.address)
        alert = Alert.objects.create(
            only=endpoint.organisation,
            kind=Alert.Kind.SERVICE,
            severity=Severity.HIGH.value,
            tlp=Tlp.GREEN.value,
            title=kept("Your %(channel)s “%(name)s” was switched off")
            % {"channel": CHANNELS[endpoint.channel].title, "name": name},
            body=(
                kept(
                    "Warnings sent to it fail, so the hub has stopped sending there. The "
                    "last answer was: %(reason)s. Mend it and switch it on again; meanwhile "
                    "warnings reach you by your other channels only."
                )
                % {"reason": reason}
            ),
        )
        fanout.deliver(alert, audience.addresses_of(endpoint.organisation))
