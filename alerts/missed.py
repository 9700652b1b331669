"""What an address did not get while it was switched off, sent when it is switched on again."""

from datetime import timedelta
from typing import Final

from django.db.models import QuerySet
from django.utils import timezone

from alerts import fanout, subscriptions
from alerts.audience import Address
from alerts.models import Alert, Delivery, Endpoint
from alerts.severity import Severity

# Nobody is helped by older ones, or by more at one time; all are in the inbox.
SINCE: Final = timedelta(days=7)
MOST: Final = 20
_NOT_GOT: Final = (Delivery.State.SKIPPED, Delivery.State.FAILED)


def catch_up(endpoint: Endpoint) -> int:
    """Send the warnings that the address has missed and that still hold, the gravest and newest
    first; how many. Call inside a transaction.
    """
    to = Address(endpoint.organisation_id, endpoint.channel, endpoint.address)
    owed = _owed(to)
    for alert in owed:
        again = _rows(to).filter(alert=alert, step=0)
        if not again.update(
            state=Delivery.State.DUE, attempts=0, next_try_at=timezone.now(), reason="", bundle=""
        ):
            fanout.deliver(alert, [to])
    return len(owed)


def _rows(to: Address) -> QuerySet[Delivery]:
    return Delivery.objects.filter(
        organisation_id=to.organisation_id, channel=to.channel, address=to.address
    )


def _owed(to: Address) -> list[Alert]:
    told = Delivery.objects.filter(organisation_id=to.organisation_id)
    got = _rows(to).exclude(state__in=_NOT_GOT)
    closed = Alert.objects.filter(kind__in=Alert.CLOSING).values("release")
    alerts = Alert.objects.filter(
        pk__in=told.values("alert"),
        kind__in=subscriptions.FILTERED,
        raised_at__gt=timezone.now() - SINCE,
    )
    open_still = alerts.exclude(pk__in=got.values("alert")).exclude(release__in=closed)
    gravest = sorted(
        open_still.select_related("group"),
        key=lambda alert: (Severity(alert.severity).rank, alert.raised_at),
    )
    return gravest[::-1][:MOST]
