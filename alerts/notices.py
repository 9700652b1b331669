"""A claimed delivery rendered for its address, or why it must not go out after all.

Raising decided who should know; this decides, at the moment of sending, who still may.
"""

import base64
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from alerts import answers, audience, confirming, folding, mailing, subscriptions
from alerts.channels import CHANNELS
from alerts.channels.base import Line, Notice
from alerts.models import Alert, Answer, Delivery, Endpoint, Escalation
from alerts.models.deliveries import GOT, UNSENT
from alerts.severity import Severity
from crc.members.language import spoken
from crc.members.models import Organisation
from crc.members.retold import kept, retold
from crc.members.templatetags.hub import severity_words
from sharing.stix.markings import Tlp

# Nobody waits any more for a test that did not get through by then.
TEST_LASTS: Final = timedelta(minutes=10)
_ON_ITS_WAY: Final = (Delivery.State.DUE, Delivery.State.WAITING, Delivery.State.SENDING)
# How long a first message that is due takes, or a little more.
SOON: Final = timedelta(seconds=5)
# Why what is closed is not sent any more.
TOO_LATE: Final = {
    Alert.Kind.WITHDRAWAL: kept("withdrawn before it was sent"),
    Alert.Kind.ALL_CLEAR: kept("all clear before it was sent"),
}


@dataclass(frozen=True)
class NotYet:
    """Not before ``at``: something else has to come first."""

    at: datetime
    reason: str = kept("waits for the warning that it is about")


Prepared = tuple[Delivery, Notice | NotYet | str]


def prepare(deliveries: Sequence[Delivery]) -> list[Prepared]:
    """Each delivery's notice, or what keeps it back for good, or for now, from a few questions for
    all.

    What is folded into a delivery is asked about in the same way; what may not be told is left out.
    """
    folded = folding.parts(deliveries)
    obstacles = _Obstacles([*deliveries, *(part for parts in folded.values() for part in parts)])
    prepared: list[Prepared] = []
    left_out: dict[str, list[Delivery]] = defaultdict(list)
    for row in deliveries:
        obstacle = obstacles.to(row) or _not_yet(row)
        if obstacle:
            prepared.append((row, obstacle))
            continue
        more: list[Delivery] = []
        for part in folded.get(row.pk, ()):
            found = obstacles.to(part, tried=row.attempts > 0)
            (left_out[found] if found else more).append(part)
        with override(spoken(row.language)):
            prepared.append((row, notice(row, more)))
    folding.leave_out(left_out)
    return prepared


def _not_yet(row: Delivery) -> NotYet | None:
    """A correction never comes before what it corrects. (What is closed waits no more.)"""
    if row.first is None or row.first.state not in _ON_ITS_WAY:
        return None
    now = timezone.now()
    waits = row.first.state == Delivery.State.WAITING
    return NotYet(max(now, row.first.next_try_at if waits else now) + SOON)


class _Obstacles:
    """What may keep these deliveries back, asked for all of them at once."""

    def __init__(self, rows: Sequence[Delivery]) -> None:
        members = Organisation.objects.in_bulk({row.organisation_id for row in rows})
        alerts = Alert.objects.select_related("group").in_bulk({row.alert_id for row in rows})
        channels = {row.channel for row in rows}
        endpoints = {
            audience.Address(made.organisation_id, made.channel, made.address): made
            for made in Endpoint.objects.filter(organisation__in=members, channel__in=channels)
        }
        self._listed = {to for to, made in endpoints.items() if made.is_active and made.verified_at}
        if given := channels & audience.GIVEN:
            whose = Organisation.objects.filter(pk__in=members)
            self._listed |= {*audience.addresses(whose, given)}
        self._chosen = subscriptions.of(members)
        self._cleared = _cleared(alerts.values())
        self._spoken = audience.languages(members) if "email" in channels else {}
        self._over = _over(rows)
        self._closed = _closed(alerts.values())
        firsts = _firsts(rows, alerts, closed=self._closed)
        for row in rows:
            row.alert, row.organisation = alerts[row.alert_id], members[row.organisation_id]
            row.endpoint = endpoints.get(_address(row))
            if row.alert.kind in Alert.CORRECTIONS:
                row.first = firsts.get((row.alert.release_id, _address(row)))
            mailbox = self._spoken.get(_address(row), "en")
            row.language = row.endpoint.language if row.endpoint else mailbox

    def to(self, row: Delivery, *, tried: bool = False) -> str:
        """Why this one must not go out; empty when nothing is in its way.

        A message that was ``tried`` once stays what it was, whatever is chosen now.
        """
        if not row.organisation.is_active:
            return kept("no longer a member")
        if row.organisation_id not in self._cleared[row.alert_id]:
            return kept("no longer cleared for it")
        if row.alert.kind == Alert.Kind.TEST and _stale(row.alert):
            return kept("the test is over")
        # A test is how an address comes to be listed.
        tested = row.alert.kind == Alert.Kind.TEST and row.endpoint
        if not tested and _address(row) not in self._listed:
            return kept("the address was removed")
        closing = self._closed.get(row.alert.release_id)
        if closing and closing.raised_at > row.alert.raised_at:
            return TOO_LATE[Alert.Kind(closing.kind)]
        if row.alert.kind in Alert.CORRECTIONS and row.first is None:
            return kept("what it corrects was never sent")
        if row.step:
            return self._over.get((row.alert_id, row.organisation_id), "")
        if not tried and subscriptions.no_longer_wanted(self._chosen.get(_address(row)), row):
            return kept("no longer subscribed")
        return ""


def _cleared(alerts: Iterable[Alert]) -> dict[uuid.UUID, set[int]]:
    """Who may see each: one question for all warnings with the same audience."""
    asked: dict[tuple[int | None, str, int | None], set[int]] = {}
    found = {}
    for alert in alerts:
        key = (alert.group_id, alert.tlp, alert.only_id)
        if key not in asked:
            asked[key] = set(audience.cleared(alert).values_list("pk", flat=True))
        found[alert.pk] = asked[key]
    return found


def _over(rows: Iterable[Delivery]) -> dict[tuple[uuid.UUID, int], str]:
    """Why calls of a ladder are not wanted any more, by warning and member."""
    calls = [row for row in rows if row.step]
    if not calls:
        return {}
    reasons = {
        Escalation.State.ANSWERED.value: kept("already answered"),
        Escalation.State.STOPPED.value: kept("the call was stopped"),
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


def _closed(alerts: Iterable[Alert]) -> dict[uuid.UUID | None, Alert]:
    """The last word about these alerts' releases, where it has been said."""
    releases = {alert.release_id for alert in alerts} - {None}
    closing = Alert.objects.filter(release__in=releases, kind__in=Alert.CLOSING)
    return {alert.release_id: alert for alert in closing.order_by("raised_at")}


def _firsts(
    deliveries: Iterable[Delivery],
    alerts: Mapping[uuid.UUID, Alert],
    closed: Collection[uuid.UUID | None],
) -> dict[tuple[uuid.UUID | None, audience.Address], Delivery]:
    """By release and address what was got first, or still will be, where one of these corrects it.

    Of what is closed, nothing will be.
    """
    corrections = [row for row in deliveries if alerts[row.alert_id].kind in Alert.CORRECTIONS]
    if not corrections:
        return {}
    rows = Delivery.objects.filter(
        GOT | (UNSENT & ~Q(alert__release__in=closed)),
        alert__release__in={alerts[row.alert_id].release_id for row in corrections},
        organisation__in={row.organisation_id for row in corrections},
        channel__in={row.channel for row in corrections},
    ).exclude(alert__kind__in=Alert.CORRECTIONS)
    return {
        (row.alert.release_id, _address(row)): row
        for row in rows.select_related("alert", "folded_into").order_by("-raised_at")
    }


def _stale(alert: Alert) -> bool:
    return timezone.now() - alert.raised_at > TEST_LASTS


def _address(row: Delivery) -> audience.Address:
    return audience.Address(row.organisation_id, row.channel, row.address)


def notice(delivery: Delivery, more: Sequence[Delivery] = ()) -> Notice:
    """The warning rendered for one address, and ``more`` that are folded into it, cut down to what
    their markings let out of the hub.

    AMBER and above leave no content behind in mail servers and receivers: only "log in".
    """
    alert = delivery.alert
    lines = tuple(_line(part) for part in more)
    told = [alert, *(part.alert for part in more)]
    opening = _opening(delivery)
    page, short = links(delivery)
    return Notice(
        message_id=str(delivery.pk),
        alert_id=str(alert.pk),
        kind=alert.kind,
        hub_name=settings.HUB_NAME,
        address=delivery.address,
        secrets=tuple(delivery.endpoint.secrets_now()) if delivery.endpoint else (),
        tlp=max((Tlp(one.tlp) for one in told), key=lambda tlp: tlp.rank).label,
        severity=max((Severity(one.severity) for one in told), key=lambda one: one.rank).value,
        title=_headed(delivery),
        body="\n\n".join([opening, *_as_text(lines)]),
        raised_at=alert.raised_at,
        link=page,
        answers=_answers(delivery),
        opening=opening,
        more=lines,
        short_link=short,
        thread_id=str(_thread(delivery)),
        about=str(delivery.first.alert_id) if delivery.first else "",
        language=spoken(delivery.language),
        unsubscribe=mailing.link(delivery.organisation, delivery.address)
        if delivery.channel == "email"
        else "",
    )


def _answers(delivery: Delivery) -> dict[str, str]:
    if not (delivery.alert.asks and CHANNELS[delivery.channel].asks):
        return {}
    return {str(choice.label): answers.link(delivery, choice.value) for choice in Answer.Choice}


def _thread(delivery: Delivery) -> uuid.UUID:
    """The alert whose message began the thread: for what was folded, that of the message."""
    begun = delivery.first or delivery
    return begun.folded_into.alert_id if begun.folded_into else begun.alert_id


def _may_leave(alert: Alert) -> bool:
    return Tlp(alert.tlp).rank <= Tlp.GREEN.rank


def _title(alert: Alert) -> str:
    if _may_leave(alert):
        return retold(alert.title)
    words = {
        Alert.Kind.UPDATE: _("An update of a %(tlp)s warning waits for you"),
        Alert.Kind.ALL_CLEAR: _("All clear for a %(tlp)s warning"),
        Alert.Kind.WITHDRAWAL: _("A %(tlp)s warning was withdrawn"),
    }.get(Alert.Kind(alert.kind)) or _("A %(tlp)s warning waits for you")
    return words % {"tlp": Tlp(alert.tlp).label}


def _headed(delivery: Delivery) -> str:
    """The title, which every channel shows, with which call it is."""
    title = _title(delivery.alert)
    return f"{call(delivery.step)}: {title}" if delivery.step else title


def _opening(delivery: Delivery) -> str:
    """The warning's own words, after why it comes again and what of the member's it touches."""
    said = [retold(delivery.alert.body)]
    if not _may_leave(delivery.alert):
        said = [_("Its marking keeps the content inside the hub. Log in to read it.")]
    elif delivery.touches:
        said.insert(0, _("This touches %(assets)s, which is yours.") % {"assets": delivery.touches})
    if delivery.step:
        again = _("%(call)s: nobody has answered yet.") % {"call": call(delivery.step)}
        said.insert(0, again)
    return "\n\n".join(said)


def _link(alert: Alert) -> str:
    return f"{settings.BASE_URL}/warnings/{alert.pk}/"


def _line(part: Delivery) -> Line:
    alert = part.alert
    return Line(
        alert_id=str(alert.pk),
        kind=alert.kind,
        tlp=Tlp(alert.tlp).label,
        severity=alert.severity,
        title=_title(alert),
        raised_at=alert.raised_at,
        link=_link(alert),
        answer=answers.link(part, Answer.Choice.SEEN.value) if alert.asks else "",
    )


def _as_text(lines: Sequence[Line]) -> list[str]:
    """A paragraph for each further warning, for what has no other form than text."""
    if not lines:
        return []
    told = [
        f"{severity_words(line.severity).upper()}: {line.title} ({line.tlp})\n{line.link}"
        for line in lines
    ]
    return [_("Also, since the last message:"), *told]


def links(delivery: Delivery) -> tuple[str, str]:
    """Where the reader goes on, whole and in few letters: to the warning, or, when this is the
    test of an address that takes a person's word, to where that word is given."""
    endpoint = delivery.endpoint
    unsure = endpoint and not endpoint.verified_at and CHANNELS[endpoint.channel].needs_tap
    if endpoint and unsure and delivery.alert.kind == Alert.Kind.TEST:
        confirm = confirming.link(delivery, endpoint)
        return confirm, confirm
    return _link(delivery.alert), f"{settings.BASE_URL}/w/{shortened(delivery.alert_id)}/"


def shortened(pk: uuid.UUID) -> str:
    """An alert's id in 22 letters."""
    return base64.urlsafe_b64encode(pk.bytes).rstrip(b"=").decode()


def lengthened(text: str) -> uuid.UUID:
    """The id that was shortened. Raises ValueError."""
    return uuid.UUID(bytes=base64.b64decode(f"{text}==", altchars=b"-_", validate=True))


def call(step: int) -> str:
    """Which call a step of the ladder is: the warning itself was the first."""
    first = {0: _("1st call"), 1: _("2nd call"), 2: _("3rd call")}
    return first.get(step) or _("Call %(number)d") % {"number": step + 1}
