"""From one warning to a row for every address, in the transaction that raises it."""

import uuid
from collections.abc import Iterable
from typing import Final

from django.db import transaction
from django.utils import timezone

from alerts import audience, ladder
from alerts.channels import CHANNELS
from alerts.models import Alert, Delivery
from alerts.severity import Severity
from crc import hotsql
from crc.members import audit
from crc.members.models import Group, Organisation
from sharing.models import Release
from sharing.stix.markings import Tlp

_COLUMNS: Final = (
    "id alert_id organisation_id channel address step host rank raised_at state attempts "
    "next_try_at reason"
).split()


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
    to = audience.addresses(audience.members(group, Tlp(release.tlp), silent=silent))
    deliver(alert, to)
    if severity is Severity.CRITICAL:
        ladder.begin(alert, {address.organisation_id for address in to})
    audit.record(
        "alert.raised",
        actor="hub",
        subject=str(alert.pk),
        kind=kind.value,
        severity=severity.value,
        release=str(release.pk),
    )
    return alert


def deliver(alert: Alert, addresses: Iterable[audience.Address], *, step: int = 0) -> None:
    """The rows by which a warning goes out to these addresses, inside the caller's transaction.

    ``step`` is the call of the ladder that this is; the warning itself is 0.
    """
    rank = Severity(alert.severity).rank
    hotsql.insert(
        Delivery,
        _COLUMNS,
        [
            (
                uuid.uuid4(),
                alert.pk,
                to.organisation_id,
                to.channel,
                to.address,
                step,
                CHANNELS[to.channel].host(to.address),
                rank,
                alert.raised_at,
                Delivery.State.DUE.value,
                0,
                alert.raised_at,
                "",
            )
            for to in addresses
        ],
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
