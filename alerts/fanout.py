"""From one warning to a row for every address, in the transaction that raises it."""

import uuid
from collections.abc import Collection, Iterable
from typing import Final

from django.db import transaction
from django.utils import timezone

from alerts import audience, ladder, subscriptions
from alerts.channels import CHANNELS
from alerts.models import Alert, Corroboration, Delivery
from alerts.severity import Severity
from crc import hotsql
from crc.members import audit
from crc.members.models import Group, Organisation
from sharing.models import Release
from sharing.release import topics
from sharing.stix.markings import Tlp

_COLUMNS: Final = (
    "id alert_id organisation_id channel address step host rank raised_at state attempts "
    "next_try_at reason bundle touches"
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
    corroboration: Corroboration | None = None,
) -> Alert:
    """A warning and one delivery row per address, inside the caller's transaction."""
    attack, systems = topics(release)
    alert = Alert.objects.create(
        release=release,
        kind=kind,
        severity=severity.value,
        tlp=release.tlp,
        group=group,
        title=title,
        body=body,
        corroboration=corroboration,
        attack=attack,
        systems=systems,
    )
    to = audience.addresses(audience.members(group, Tlp(release.tlp), silent=silent))
    deliver(alert, [*to, *audience.shared(silent, to)] if silent else to)
    if severity is Severity.CRITICAL:
        _begin_ladders(alert, to)
    audit.record(
        "alert.raised",
        actor="hub",
        subject=str(alert.pk),
        kind=kind.value,
        severity=severity.value,
        release=str(release.pk),
    )
    return alert


def _begin_ladders(alert: Alert, to: Collection[audience.Address]) -> None:
    """Of all who are told. Who reported it knows; its ladder is climbed as far as others read
    along at the same address, to whom its silence would tell who reported."""
    sources = list(audience.knowing(alert))
    knowing = {source.pk for source in sources}
    others = [address for address in to if address.organisation_id not in knowing]
    read_along = {source.pk for source in sources if audience.shared(source, others)}
    ladder.begin(alert, {address.organisation_id for address in others} | read_along)


def deliver(
    alert: Alert,
    addresses: Iterable[audience.Address],
    *,
    step: int = 0,
    at_once: bool = False,
) -> None:
    """The rows by which a warning goes out to these addresses, inside the caller's transaction.

    As each address has chosen, unless it has to be told ``at_once``. ``step`` is the call of the
    ladder that this is; the warning itself is 0.
    """
    planned = (
        map(subscriptions.Planned, addresses) if at_once else subscriptions.plan(alert, addresses)
    )
    write(alert, planned, step=step)


def write(alert: Alert, planned: Iterable[subscriptions.Planned], *, step: int = 0) -> None:
    """The rows as they are planned."""
    # That it is over goes out as early as the alarm did.
    corrected = alert.about if alert.kind in Alert.CORRECTIONS else None
    rank = Severity((corrected or alert).severity).rank
    hotsql.insert(
        Delivery,
        _COLUMNS,
        [
            (
                uuid.uuid4(),
                alert.pk,
                row.to.organisation_id,
                row.to.channel,
                row.to.address,
                step,
                CHANNELS[row.to.channel].host(row.to.address),
                rank,
                alert.raised_at,
                (Delivery.State.WAITING if row.until else Delivery.State.DUE).value,
                0,
                row.until or alert.raised_at,
                "",
                row.bundle,
                row.touches,
            )
            for row in planned
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
