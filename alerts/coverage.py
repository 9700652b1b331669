"""Who was sent a warning, whom it reached, who has answered, and the time it took."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from statistics import median
from typing import Final

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from alerts import audience
from alerts.channels import CHANNELS
from alerts.models import Alert, Answer, Delivery, Escalation
from crc.members.models import Organisation
from crc.members.roles import PortRole

# The hub's own inbox counts once somebody has looked.
# What was folded into another message has gone out by that one, unless it was left out of it.
_FOLDED: Final = Q(state=Delivery.State.FOLDED)
_SENT: Final = (
    Q(state=Delivery.State.SENT) | (_FOLDED & Q(folded_into__state=Delivery.State.SENT))
) & ~Q(channel="inbox")
_REACHED: Final = _SENT | Q(seen_at__isnull=False)
_WELL: Final = (Delivery.State.SENT, Delivery.State.SKIPPED)


@dataclass(frozen=True)
class Spread:
    """How long something took from the raising of the warning: first, median and last of many."""

    first: timedelta
    median: timedelta
    last: timedelta


def _spread(times: Sequence[timedelta]) -> Spread | None:
    if not times:
        return None
    middle = median(one.total_seconds() for one in times)
    return Spread(min(times), timedelta(seconds=middle), max(times))


@dataclass(frozen=True)
class Line:
    """One member's line: when the first of its people was reached, its newest answer and when the
    first came, its ladder, and its deliveries; among many lines only those that are in trouble."""

    organisation: Organisation
    raised_at: datetime
    reached_at: datetime | None
    deliveries: list[Delivery]
    answer: Answer | None
    answered_at: datetime | None
    escalation: Escalation | None

    @property
    def reached(self) -> bool:
        """Whether anything got through."""
        return self.reached_at is not None

    @property
    def affected(self) -> bool:
        """Whether the member says so now."""
        return self.answer is not None and self.answer.choice == Answer.Choice.AFFECTED

    @property
    def reached_after(self) -> timedelta | None:
        """From the raising of the warning."""
        return self.reached_at - self.raised_at if self.reached_at else None

    @property
    def answered_after(self) -> timedelta | None:
        """From the raising of the warning to the first answer."""
        return self.answered_at - self.raised_at if self.answered_at else None

    @property
    def calls(self) -> list[Delivery]:
        """The deliveries of the ladder, in order."""
        return [row for row in self.deliveries if row.step]

    @property
    def troubles(self) -> list[Delivery]:
        """What did not go out, or not yet."""
        return [row for row in self.deliveries if row.reason and row.state not in _WELL]

    @property
    def together(self) -> list[Delivery]:
        """What went out, or will, in one message with others."""
        return [
            row
            for row in self.deliveries
            if (row.bundle and row.state != Delivery.State.SKIPPED)
            or row.state == Delivery.State.FOLDED
        ]

    @property
    def urgency(self) -> int:
        """What the desk must see first: affected, then unanswered, the ended ladders before."""
        if self.affected:
            return 0
        if self.answer:
            return 3
        ended = self.escalation and self.escalation.state == Escalation.State.ENDED
        return 1 if ended else 2


@dataclass(frozen=True)
class Sums:
    """Some lines in figures. ``lines`` are in the order of their urgency."""

    title: str
    lines: list[Line]

    @property
    def warned(self) -> int:
        """How many members."""
        return len(self.lines)

    @property
    def reached(self) -> int:
        """How many members."""
        return sum(line.reached for line in self.lines)

    @property
    def answered(self) -> int:
        """How many members."""
        return sum(line.answer is not None for line in self.lines)

    @property
    def affected(self) -> int:
        """How many members say so now."""
        return sum(line.affected for line in self.lines)

    @cached_property
    def to_reach(self) -> Spread | None:
        """The time it took to reach those that were."""
        return _spread([line.reached_after for line in self.lines if line.reached_after])

    @cached_property
    def to_answer(self) -> Spread | None:
        """The time it took those that answered."""
        return _spread([line.answered_after for line in self.lines if line.answered_after])


@dataclass(frozen=True)
class Coverage(Sums):
    """One warning's whole coverage, and the same for each port role that was warned."""

    @cached_property
    def roles(self) -> list[Sums]:
        """In the order of their names."""
        by_role: dict[str, list[Line]] = defaultdict(list)
        for line in self.lines:
            by_role[line.organisation.port_role].append(line)
        return sorted(
            (Sums(str(PortRole(role).label), lines) for role, lines in by_role.items()),
            key=lambda sums: sums.title,
        )

    @property
    def ended(self) -> int:
        """How many ladders ended without an answer."""
        return self._ladders(Escalation.State.ENDED)

    @property
    def climbing(self) -> int:
        """How many members are being called."""
        return self._ladders(Escalation.State.CLIMBING)

    def _ladders(self, state: Escalation.State) -> int:
        return sum(
            line.escalation is not None and line.escalation.state == state for line in self.lines
        )

    @property
    def folded(self) -> int:
        """How many addresses hear of it in a message about another warning, or will."""
        return sum(len(line.together) for line in self.lines)


def coverage(alert: Alert, *, of: Organisation | None = None) -> Coverage:
    """The coverage of one warning, ``of`` one member or all that were to learn of it: those whose
    reports it tells of are in no sum. Five questions however many members there are.
    """
    rows, answered, ladders = alert.deliveries.all(), alert.answers.all(), alert.escalations.all()
    if of:
        rows, answered = rows.filter(organisation=of), answered.filter(organisation=of)
        ladders = ladders.filter(organisation=of)
    else:
        rows = rows.exclude(audience.OF_A_SOURCE)
    reached = _reached(rows)
    if not of:
        together = (~Q(bundle="") & ~Q(state=Delivery.State.SKIPPED)) | _FOLDED
        rows = rows.filter(together | (~Q(reason="") & ~Q(state__in=_WELL)))
    by_member: dict[int, list[Delivery]] = defaultdict(list)
    for row in rows.select_related("folded_into__alert").order_by("step", "channel", "address"):
        # What the desk may read of it: whoever knows a chat channel's address can write there.
        row.address = CHANNELS[row.channel].describe(row.address)
        by_member[row.organisation_id].append(row)
    newest: dict[int, Answer] = {}
    first: dict[int, datetime] = {}
    for answer in answered.select_related("user").order_by("at", "pk"):
        newest[answer.organisation_id] = answer
        first.setdefault(answer.organisation_id, answer.at)
    escalations = {row.organisation_id: row for row in ladders}
    lines = [
        Line(
            member,
            alert.raised_at,
            reached[member.pk],
            by_member[member.pk],
            newest.get(member.pk),
            first.get(member.pk),
            escalations.get(member.pk),
        )
        for member in Organisation.objects.filter(pk__in=reached).order_by("name")
    ]
    return Coverage("", sorted(lines, key=lambda line: line.urgency))


def _reached(rows: QuerySet[Delivery]) -> dict[int, datetime | None]:
    """When the first of each member's people was reached; None for who was warned in vain."""
    times = rows.order_by().values("organisation")
    times = times.annotate(
        sent=Min(Coalesce("sent_at", "folded_into__sent_at"), filter=_SENT), seen=Min("seen_at")
    )
    return {
        row["organisation"]: min(filter(None, (row["sent"], row["seen"])), default=None)
        for row in times
    }


@dataclass(frozen=True)
class Summary:
    """One warning in figures, for lists of many."""

    alert: Alert
    warned: int
    reached: int
    answered: int
    affected: int


def summaries(alerts: QuerySet[Alert]) -> list[Summary]:
    """Many warnings in figures, from three questions."""
    found = list(alerts)
    pks = [alert.pk for alert in found]
    sent = Delivery.objects.filter(~audience.OF_A_SOURCE, alert__in=pks).order_by().values("alert")
    members = Count("organisation", distinct=True)
    counts = {
        row["alert"]: row
        for row in sent.annotate(
            warned=members, reached=Count("organisation", filter=_REACHED, distinct=True)
        )
    }
    newer = Answer.objects.filter(
        alert=OuterRef("alert"), organisation=OuterRef("organisation")
    ).filter(Q(at__gt=OuterRef("at")) | Q(at=OuterRef("at"), pk__gt=OuterRef("pk")))
    answers = Answer.objects.filter(~audience.OF_A_SOURCE, ~Exists(newer), alert__in=pks)
    newest = answers.order_by().values("alert")
    said = {
        row["alert"]: row
        for row in newest.annotate(
            answered=Count("pk"), affected=Count("pk", filter=Q(choice=Answer.Choice.AFFECTED))
        )
    }
    nothing: dict[str, int] = {}
    return [
        Summary(
            alert,
            warned=counts.get(alert.pk, nothing).get("warned", 0),
            reached=counts.get(alert.pk, nothing).get("reached", 0),
            answered=said.get(alert.pk, nothing).get("answered", 0),
            affected=said.get(alert.pk, nothing).get("affected", 0),
        )
        for alert in found
    ]
