"""A claimed delivery rendered for its address, or why it must not go out after all.

Raising decided who should know; this decides, at the moment of sending, who still may.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from django.conf import settings
from django.utils.translation import gettext

from alerts import answers, audience
from alerts.channels.base import Notice
from alerts.models import Alert, Answer, Delivery, Endpoint
from crc.members.models import Organisation
from sharing.stix.markings import Tlp

TOO_LATE: Final = {
    Alert.Kind.WITHDRAWAL: "withdrawn before it was sent",
    Alert.Kind.ALL_CLEAR: "all clear before it was sent",
}


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
    closed, firsts = _closed(alerts.values()), _firsts(deliveries, alerts)
    prepared: list[tuple[Delivery, Notice | str]] = []
    for row in deliveries:
        row.alert, row.organisation = alerts[row.alert_id], members[row.organisation_id]
        address = audience.Address(row.organisation_id, row.channel, row.address)
        row.endpoint = endpoints.get(address)
        row.first = firsts.get((row.alert.release_id, address))
        closing = closed.get(row.alert.release_id)
        if not row.organisation.is_active:
            prepared.append((row, "no longer a member"))
        elif row.organisation_id not in cleared[row.alert_id]:
            prepared.append((row, "no longer cleared for it"))
        elif address not in listed:
            prepared.append((row, "the address was removed"))
        elif closing and closing.raised_at > row.alert.raised_at:
            prepared.append((row, TOO_LATE[Alert.Kind(closing.kind)]))
        elif row.alert.about_id and row.first is None:
            prepared.append((row, "what it corrects was never sent"))
        else:
            prepared.append((row, notice(row)))
    return prepared


def _closed(alerts: Iterable[Alert]) -> dict[uuid.UUID | None, Alert]:
    """The last word about these alerts' releases, where it has been said."""
    releases = {alert.release_id for alert in alerts}
    closing = Alert.objects.filter(release__in=releases, kind__in=Alert.CLOSING)
    return {alert.release_id: alert for alert in closing.order_by("raised_at")}


def _firsts(
    deliveries: Sequence[Delivery], alerts: Mapping[uuid.UUID, Alert]
) -> dict[tuple[uuid.UUID | None, audience.Address], Delivery]:
    """By release and address the first message, where one of these corrects it."""
    corrections = [row for row in deliveries if alerts[row.alert_id].about_id]
    if not corrections:
        return {}
    rows = Delivery.objects.filter(
        alert__release__in={alerts[row.alert_id].release_id for row in corrections},
        alert__about=None,
        organisation__in={row.organisation_id for row in corrections},
        channel__in={row.channel for row in corrections},
    ).exclude(state__in=[Delivery.State.SKIPPED, Delivery.State.FAILED])
    return {
        (row.alert.release_id, audience.Address(row.organisation_id, row.channel, row.address)): row
        for row in rows.select_related("alert").order_by("-raised_at")
    }


def notice(delivery: Delivery) -> Notice:
    """The warning rendered for one address, cut down to what its marking lets out of the hub.

    AMBER and above leave no content behind in mail servers and receivers: only "log in".
    """
    alert = delivery.alert
    tlp = Tlp(alert.tlp)
    open_enough = tlp.rank <= Tlp.GREEN.rank
    return Notice(
        message_id=str(delivery.pk),
        alert_id=str(alert.pk),
        kind=alert.kind,
        hub_name=settings.HUB_NAME,
        address=delivery.address,
        secrets=tuple(delivery.endpoint.secrets_now()) if delivery.endpoint else (),
        tlp=tlp.label,
        severity=alert.severity,
        title=alert.title if open_enough else _veiled(alert, tlp),
        body=alert.body
        if open_enough
        else "Its marking keeps the content inside the hub. Log in to read it.",
        raised_at=alert.raised_at,
        link=f"{settings.BASE_URL}/warnings/{alert.pk}/",
        # A correction asks nothing; what it corrects has been asked.
        answers={}
        if alert.about_id
        else {choice.label: answers.link(delivery, choice.value) for choice in Answer.Choice},
        thread_id=str(delivery.first.pk) if delivery.first else "",
        about=str(delivery.first.alert_id) if delivery.first else "",
    )


def _veiled(alert: Alert, tlp: Tlp) -> str:
    """A title that says no more than that something waits."""
    told = {
        Alert.Kind.UPDATE: gettext("An update of a %(tlp)s warning waits for you"),
        Alert.Kind.ALL_CLEAR: gettext("All clear for a %(tlp)s warning"),
        Alert.Kind.WITHDRAWAL: gettext("A %(tlp)s warning was withdrawn"),
    }
    words = told.get(Alert.Kind(alert.kind), gettext("A %(tlp)s warning waits for you"))
    return words % {"tlp": tlp.label}
