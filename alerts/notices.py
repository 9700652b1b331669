"""A claimed delivery rendered for its address, or why it must not go out after all.

Raising decided who should know; this decides, at the moment of sending, who still may.
"""

import uuid
from collections.abc import Sequence

from django.conf import settings
from django.utils.translation import gettext as _

from alerts import answers, audience
from alerts.channels.base import Notice
from alerts.models import Alert, Answer, Delivery, Endpoint, Escalation
from crc.members.models import Organisation
from sharing.stix.markings import Tlp


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
    calls = [row for row in deliveries if row.step]
    over = _over(calls) if calls else {}
    prepared: list[tuple[Delivery, Notice | str]] = []
    for row in deliveries:
        row.alert, row.organisation = alerts[row.alert_id], members[row.organisation_id]
        address = audience.Address(row.organisation_id, row.channel, row.address)
        row.endpoint = endpoints.get(address)
        if not row.organisation.is_active:
            prepared.append((row, "no longer a member"))
        elif row.organisation_id not in cleared[row.alert_id]:
            prepared.append((row, "no longer cleared for it"))
        elif address not in listed:
            prepared.append((row, "the address was removed"))
        elif row.step and (row.alert_id, row.organisation_id) in over:
            prepared.append((row, over[row.alert_id, row.organisation_id]))
        else:
            prepared.append((row, notice(row)))
    return prepared


def _over(calls: Sequence[Delivery]) -> dict[tuple[uuid.UUID, int], str]:
    """Why calls of a ladder are not wanted any more, by warning and member."""
    reasons = {
        Escalation.State.ANSWERED.value: "already answered",
        Escalation.State.STOPPED.value: "the call was stopped",
    }
    ended = Escalation.objects.filter(
        alert__in={row.alert_id for row in calls},
        organisation__in={row.organisation_id for row in calls},
        state__in=reasons,
    )
    return {
        (alert, organisation): reasons[state]
        for alert, organisation, state in ended.values_list("alert_id", "organisation_id", "state")
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
        title=_headed(
            delivery, alert.title if open_enough else f"A {tlp.label} warning waits for you"
        ),
        body=_opened(
            delivery,
            alert.body
            if open_enough
            else "Its marking keeps the content inside the hub. Log in to read it.",
        ),
        raised_at=alert.raised_at,
        link=f"{settings.BASE_URL}/warnings/{alert.pk}/",
        answers={}
        if alert.kind == Alert.Kind.SERVICE
        else {choice.label: answers.link(delivery, choice.value) for choice in Answer.Choice},
    )


def _headed(delivery: Delivery, title: str) -> str:
    """The title, which every channel shows, with which call it is."""
    return f"{call(delivery.step)}: {title}" if delivery.step else title


def _opened(delivery: Delivery, body: str) -> str:
    """The body, with why it comes again."""
    if not delivery.step:
        return body
    again = _("%(call)s: nobody has answered yet.") % {"call": call(delivery.step)}
    return f"{again}\n\n{body}"


def call(step: int) -> str:
    """Which call a step of the ladder is: the warning itself was the first."""
    first = {1: _("2nd call"), 2: _("3rd call")}
    return first.get(step) or _("Call %(number)d") % {"number": step + 1}
