"""From one warning to every address: rows in the same transaction, claimed, sent, recorded.

At least once: a worker that dies between claim and record leaves a lease behind, and the sweep
gives the row out again with the same id, by which receivers know a repeat.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from alerts import answers, audience
from alerts.channels import CHANNELS
from alerts.channels.base import DeliveryError, Notice
from alerts.models import Alert, Answer, Delivery, Endpoint
from alerts.severity import Severity
from crc.members import audit
from crc.members.models import Group, Organisation
from sharing import visibility
from sharing.models import Release
from sharing.stix.markings import Tlp

log = logging.getLogger(__name__)

# Longer than the longest send (15 s outbound, 10 s per SMTP step): no live send is repeated.
LEASE: Final = timedelta(seconds=60)
# Seconds to wait after each failed try: quick at first, then for two days.
BACK_OFF: Final = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400)
BATCH: Final = 200


def raise_alert(
    release: Release,
    *,
    kind: Alert.Kind,
    severity: Severity,
    group: Group,
    title: str,
    body: str,
    silent: Organisation | None = None,
) -> Alert:
    """A warning and one delivery row per address, inside the caller's transaction."""
    alert = Alert.objects.create(
        release=release,
        kind=kind,
        severity=severity.value,
        tlp=release.tlp,
        group=group,
        title=title,
        body=body,
    )
    warned = audience.members(group, Tlp(release.tlp), silent=silent)
    Delivery.objects.bulk_create(
        [
            Delivery(
                alert=alert,
                organisation_id=to.organisation_id,
                channel=to.channel,
                address=to.address,
            )
            for to in audience.addresses(warned)
        ],
        batch_size=500,
    )
    audit.record(
        "alert.raised",
        actor="hub",
        subject=str(alert.pk),
        kind=kind.value,
        severity=severity.value,
        release=str(release.pk),
    )
    return alert


def due(limit: int = BATCH) -> list[str]:
    """Ids of deliveries to send now: leases that ran out are given back first."""
    now = timezone.now()
    Delivery.objects.filter(state=Delivery.State.SENDING, lease_until__lt=now).update(
        state=Delivery.State.DUE, lease_until=None, next_try_at=now
    )
    rows = Delivery.objects.filter(state=Delivery.State.DUE, next_try_at__lte=now)
    ordered = rows.order_by("next_try_at").values_list("pk", flat=True)[:limit]
    return [str(pk) for pk in ordered]


def due_for(alert: Alert) -> list[str]:
    """Ids of one warning's deliveries: pages and machines before mail, which takes longer."""
    rows = alert.deliveries.filter(state=Delivery.State.DUE)
    fast = {name: place for place, name in enumerate(CHANNELS)}
    return [str(row.pk) for row in sorted(rows, key=lambda row: fast.get(row.channel, len(fast)))]


def send_all(ids: Iterable[str]) -> int:
    """Send these, each if it is still there to be sent; returns how many were claimed."""
    return sum(send(pk) for pk in ids)


def send(pk: str) -> bool:
    """Claim one delivery, send it, record it. False when somebody else has it, or it is done."""
    if not claim(pk):
        return False
    delivery = Delivery.objects.select_related("alert__group", "organisation").get(pk=pk)
    obstacle = _obstacle(delivery)
    if obstacle:
        _record(delivery, Delivery.State.SKIPPED, obstacle)
        return True
    try:
        CHANNELS[delivery.channel].send(notice(delivery))
    except DeliveryError as error:
        _failed(delivery, error)
    except Exception as error:  # the outermost loop: one bad row must not stop the others
        log.exception("delivery %s crashed", delivery.pk)
        _failed(
            delivery, DeliveryError(f"fault in the hub: {type(error).__name__}", permanent=False)
        )
    else:
        _record(delivery, Delivery.State.SENT, "")
    return True


def claim(pk: str) -> bool:
    """Whether this call, and no other, now holds the delivery."""
    now = timezone.now()
    free = Delivery.objects.filter(pk=pk, state=Delivery.State.DUE, next_try_at__lte=now)
    return (
        free.update(
            state=Delivery.State.SENDING, lease_until=now + LEASE, attempts=F("attempts") + 1
        )
        == 1
    )


def _obstacle(delivery: Delivery) -> str:
    """Why it must not go out after all. Raising decided intent; this moment decides fact."""
    alert, member = delivery.alert, delivery.organisation
    if not member.is_active:
        return "no longer a member"
    if not visibility.may_see(member, alert.group, Tlp(alert.tlp)):
        return "no longer cleared for it"
    if not audience.still_listed(member, delivery.channel, delivery.address):
        return "the address was removed"
    return ""


def _failed(delivery: Delivery, error: DeliveryError) -> None:
    if error.permanent or delivery.attempts > len(BACK_OFF):
        _record(delivery, Delivery.State.FAILED, error.reason)
        return
    wait = timedelta(seconds=BACK_OFF[delivery.attempts - 1])
    Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.SENDING).update(
        state=Delivery.State.DUE,
        lease_until=None,
        next_try_at=timezone.now() + wait,
        reason=error.reason[:300],
    )


def _record(delivery: Delivery, state: Delivery.State, reason: str) -> None:
    now = timezone.now()
    Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.SENDING).update(
        state=state,
        lease_until=None,
        reason=reason[:300],
        sent_at=now if state is Delivery.State.SENT else None,
    )


def notice(delivery: Delivery) -> Notice:
    """The warning rendered for one address, cut down to what its marking lets out of the hub.

    AMBER and above leave no content behind in mail servers and receivers: only "log in".
    """
    alert = delivery.alert
    tlp = Tlp(alert.tlp)
    open_enough = tlp.rank <= Tlp.GREEN.rank
    secret = ""
    if delivery.channel == "webhook":
        secret = Endpoint.objects.get(
            organisation=delivery.organisation_id, url=delivery.address
        ).secret
    return Notice(
        message_id=str(delivery.pk),
        alert_id=str(alert.pk),
        kind=alert.kind,
        hub_name=settings.HUB_NAME,
        address=delivery.address,
        secret=secret,
        tlp=tlp.label,
        severity=alert.severity,
        title=alert.title if open_enough else f"A {tlp.label} warning waits for you",
        body=alert.body
        if open_enough
        else "Its marking keeps the content inside the hub. Log in to read it.",
        raised_at=alert.raised_at,
        link=f"{settings.BASE_URL}/warnings/{alert.pk}/",
        answers={choice.label: answers.link(delivery, choice.value) for choice in Answer.Choice},
    )


@transaction.atomic
def mark_seen(alert: Alert, organisation: Organisation) -> None:
    """The member has opened the warning in the hub."""
    Delivery.objects.filter(
        alert=alert,
        organisation=organisation,
        channel="inbox",
        seen_at=None,
    ).update(seen_at=timezone.now())
