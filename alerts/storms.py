"""One case, many warnings: what an address has just heard of it, so that the rest waits together.

A case is a report and all that corroborate it. The first warning goes at once and opens a window;
what follows within it becomes one message at its end, which opens the next.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q, QuerySet

from alerts.audience import Address
from alerts.models import Alert, Delivery
from alerts.severity import Severity
from sharing.models import Submission

# How the bundles of windows begin.
BUNDLE: Final = "case:"
_UNHEARD = (Delivery.State.SKIPPED, Delivery.State.FAILED)


@dataclass
class Window:
    """Until when an address has heard enough of a case, and the bundle that waits for that.

    ``loudest`` is the rank of the gravest warning that it has been given.
    """

    until: datetime
    bundle: str
    loudest: int = 0
    joined: bool = field(default=False, repr=False)

    def lets_through(self, alert: Alert) -> bool:
        """Over, or graver than all before; what is critical and no echo of another, always.

        That a second member sees it too turns an incident into a campaign, and waits for nothing;
        that a third does may wait. Where something waits already the window is not over, even if
        its time has just come.
        """
        critical = alert.severity == Severity.CRITICAL and alert.kind == Alert.Kind.WARNING
        graver = Severity(alert.severity).rank > self.loudest
        second = alert.corroboration is not None and not alert.corroboration.told
        over = not self.joined and self.until <= alert.raised_at
        return over or second or graver or critical


def case(alert: Alert) -> QuerySet[Submission]:
    """The submissions that tell of what this warning tells of, its own among them."""
    assert alert.release  # noqa: S101 - for the type checker
    own = alert.release.submission_id
    return Submission.objects.filter(Q(pk=own) | Q(corroborations__submissions=own)).distinct()


def windows(alert: Alert) -> dict[Address, Window]:
    """The open windows for a warning that is being raised, of all addresses, by two questions."""
    length = timedelta(minutes=settings.STORM_MINUTES)
    if not length or alert.release is None:
        return {}
    # A message that ended one window and opened another was raised up to two windows ago.
    lately = Alert.objects.filter(
        release__submission__in=case(alert), raised_at__gt=alert.raised_at - 2 * length
    )
    warned = lately.exclude(pk=alert.pk).exclude(kind__in=Alert.CORRECTIONS)
    earlier = list(warned.values_list("pk", flat=True))
    if not earlier:
        return {}
    # The calls of a ladder, as corrections, are no news and hold none back.
    rows = Delivery.objects.filter(alert__in=earlier, step=0).exclude(state__in=_UNHEARD)
    found: dict[Address, Window] = {}
    for row in rows.exclude(channel="inbox").order_by("raised_at"):
        to = Address(row.organisation_id, row.channel, row.address)
        window = found.setdefault(
            to, Window(alert.raised_at, f"{BUNDLE}{alert.release.submission_id}")
        )
        _take(window, row, alert.raised_at, length)
    return found


def _take(window: Window, row: Delivery, now: datetime, length: timedelta) -> None:
    """What one earlier row says: one that waits is joined, one that went opened the window."""
    if row.state == Delivery.State.WAITING and row.bundle:
        if row.bundle.startswith(BUNDLE):
            window.until, window.bundle, window.joined = row.next_try_at, row.bundle, True
        return
    window.loudest = max(window.loudest, row.rank)
    if row.state != Delivery.State.FOLDED and not window.joined:
        # Not later than a whole window from now, though the clock was set back since.
        ends = min(row.sent_at or row.raised_at, now) + length
        window.until = max(window.until, ends)
