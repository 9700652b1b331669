"""A claimed delivery rendered for its address, or why it must not go out after all.

Raising decided who should know; this decides, at the moment of sending, who still may.
"""

import base64
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from alerts import answers, audience, confirming, mailing
from alerts.channels import CHANNELS
from alerts.channels.base import Notice
from alerts.models import Alert, Answer, Delivery, Endpoint, MailFloor
from crc.members.models import Organisation
from sharing.stix.markings import Tlp

# Nobody waits any more for a test that did not get through by then.
TEST_LASTS: Final = timedelta(minutes=10)


def prepare(deliveries: Sequence[Delivery]) -> list[tuple[Delivery, Notice | str]]:
    """Each delivery's notice, or the obstacle that keeps it back, from a few questions for all."""
    alerts = Alert.objects.select_related("group").in_bulk({row.alert_id for row in deliveries})
    members = Organisation.objects.in_bulk({row.organisation_id for row in deliveries})
    listed = set(audience.addresses(Organisation.objects.filter(pk__in=members)))
    endpoints = {
        audience.Address(made.organisation_id, made.channel, made.address): made
        for made in Endpoint.objects.filter(
            organisation__in=members, channel__in={row.channel for row in deliveries}
        )
    }
    cleared = {
        pk: set(audience.cleared(alert).values_list("pk", flat=True))
        for pk, alert in alerts.items()
    }
    floors = _mail_floors(deliveries)
    prepared: list[tuple[Delivery, Notice | str]] = []
    for row in deliveries:
        row.alert, row.organisation = alerts[row.alert_id], members[row.organisation_id]
        address = audience.Address(row.organisation_id, row.channel, row.address)
        row.endpoint = endpoints.get(address)
        if not row.organisation.is_active:
            prepared.append((row, "no longer a member"))
        elif row.organisation_id not in cleared[row.alert_id]:
            prepared.append((row, "no longer cleared for it"))
        elif row.alert.kind == Alert.Kind.TEST and _stale(row.alert):
            prepared.append((row, "the test is over"))
        # A test is how an address comes to be listed.
        elif address not in listed and not (row.alert.kind == Alert.Kind.TEST and row.endpoint):
            prepared.append((row, "the address was removed"))
        elif mailing.unwanted(row.alert, floors.get(address)):
            prepared.append((row, "asked for graver warnings only"))
        else:
            prepared.append((row, notice(row)))
    return prepared


def _stale(alert: Alert) -> bool:
    return timezone.now() - alert.raised_at > TEST_LASTS


def _mail_floors(deliveries: Sequence[Delivery]) -> dict[audience.Address, str]:
    """The least severity that each reader of mails wants, where one chose."""
    mailed = {row.organisation_id for row in deliveries if row.channel == "email"}
    chosen = MailFloor.objects.filter(organisation__in=mailed) if mailed else ()
    return {
        audience.Address(one.organisation_id, "email", one.address): one.severity for one in chosen
    }


def notice(delivery: Delivery) -> Notice:
    """The warning rendered for one address, cut down to what its marking lets out of the hub.

    AMBER and above leave no content behind in mail servers and receivers: only "log in".
    """
    alert = delivery.alert
    tlp = Tlp(alert.tlp)
    open_enough = tlp.rank <= Tlp.GREEN.rank
    page, short = links(delivery)
    return Notice(
        message_id=str(delivery.pk),
        alert_id=str(alert.pk),
        kind=alert.kind,
        hub_name=settings.HUB_NAME,
        address=delivery.address,
        secrets=tuple(delivery.endpoint.secrets_now()) if delivery.endpoint else (),
        tlp=tlp.label,
        severity=alert.severity,
        title=alert.title if open_enough else f"A {tlp.label} warning waits for you",
        body=alert.body
        if open_enough
        else "Its marking keeps the content inside the hub. Log in to read it.",
        raised_at=alert.raised_at,
        link=page,
        answers={choice.label: answers.link(delivery, choice.value) for choice in Answer.Choice},
        short_link=short,
        thread_id=str(alert.pk),
        unsubscribe=mailing.link(delivery.organisation, delivery.address)
        if delivery.channel == "email"
        else "",
    )


def links(delivery: Delivery) -> tuple[str, str]:
    """Where the reader goes on, whole and in few letters: to the warning, or, when this is the
    test of an address that takes a person's word, to where that word is given."""
    endpoint = delivery.endpoint
    unsure = endpoint and not endpoint.verified_at and CHANNELS[endpoint.channel].needs_tap
    if endpoint and unsure and delivery.alert.kind == Alert.Kind.TEST:
        confirm = confirming.link(delivery, endpoint)
        return confirm, confirm
    page = f"{settings.BASE_URL}/warnings/{delivery.alert_id}/"
    return page, f"{settings.BASE_URL}/w/{shortened(delivery.alert_id)}/"


def shortened(pk: uuid.UUID) -> str:
    """An alert's id in 22 letters."""
    return base64.urlsafe_b64encode(pk.bytes).rstrip(b"=").decode()


def lengthened(text: str) -> uuid.UUID:
    """The id that was shortened. Raises ValueError."""
    return uuid.UUID(bytes=base64.b64decode(f"{text}==", altchars=b"-_", validate=True))
