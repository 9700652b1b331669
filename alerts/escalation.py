"""Critical warnings that nobody answers climb the member's ladder; where it ends, the desk is told.

A call is an escalation's row moved on and the deliveries of that call, in one transaction: a worker
killed in it leaves all as it was, and killed after it leaves deliveries that the senders find.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from alerts import audience, fanout, ladder, live
from alerts.audience import Address
from alerts.ladder import NotPossible, Rung
from alerts.models import Alert, Escalation, LadderPause
from alerts.severity import Severity
from crc.members import audit
from crc.members.models import Organisation, User
from crc.members.retold import kept
from crc.members.roles import PortRole
from crc.ordering import take_the_pen
from sharing.stix.markings import Tlp

State = Escalation.State

_BATCH: Final = 500
# A clock that went back further than this is noticed; less only makes a call a little late.
_CLOCK_SLACK: Final = timedelta(minutes=1)
# Ladders that end within this time of each other are one word to the desk.
DESK_WINDOW: Final = timedelta(minutes=5)
# How many times faster than a real warning a drill may climb.
SPEEDS: Final = (1, 10)


class _Move(NamedTuple):
    """What becomes of an escalation; rows with the same are changed by one statement."""

    state: Escalation.State
    rung: int
    next_at: datetime
    by: str = ""


def climb() -> int:
    """Make every call that is due; how many ladders moved. Safe to run twice at once."""
    moved = 0
    while _due(timezone.now()).exists():
        some = _climb_some()
        if not some:
            break  # another sweep has them
        moved += some
    told = _tell_the_desk(timezone.now())
    if moved or told:
        live.tell_the_desk()
    return moved


def _due(now: datetime) -> QuerySet[Escalation]:
    in_time = Q(next_at__lte=now)
    out_of_time = Q(state=State.CLIMBING, moved_at__gt=now + _CLOCK_SLACK)
    return Escalation.objects.filter(in_time | out_of_time, state__in=Escalation.OPEN)


@transaction.atomic
def _climb_some() -> int:
    now = timezone.now()
    # Locked: two sweeps at once must not make the same call; SQLite has one writer anyway.
    rows = list(_due(now).select_for_update(skip_locked=True).order_by("next_at", "pk")[:_BATCH])
    if not rows:
        return 0
    members = {row.organisation_id for row in rows}
    alerts = Alert.objects.select_related("group").in_bulk({row.alert_id for row in rows})
    cleared = {
        pk: set(audience.cleared(alert).values_list("pk", flat=True))
        for pk, alert in alerts.items()
    }
    pauses = LadderPause.objects.filter(until__gt=now).in_bulk(members)
    rungs = ladder.rungs_of(members)
    moves: dict[_Move, list[int]] = defaultdict(list)
    calls: dict[tuple[Alert, int], list[Address]] = defaultdict(list)
    for row in rows:
        if row.organisation_id not in cleared[row.alert_id]:
            move = _Move(
                State.STOPPED, row.rung, now, kept("no longer a member, or cleared for it")
            )
        else:
            move = _next(row, pauses.get(row.organisation_id), rungs[row.organisation_id], now)
        moves[move].append(row.pk)
        if move.rung > row.rung:
            called = rungs[row.organisation_id][move.rung - 1].addresses
            calls[alerts[row.alert_id], move.rung] += called
    for move, pks in moves.items():
        still = Escalation.objects.filter(pk__in=pks, state__in=Escalation.OPEN)
        still.update(**move._asdict(), moved_at=now)
    for (alert, step), addresses in calls.items():
        fanout.deliver(alert, _to_call(alert, addresses), step=step, at_once=True)
    return len(rows)


def _to_call(alert: Alert, called: Sequence[Address]) -> Sequence[Address]:
    """These, but of those who reported it only the addresses that others have too."""
    knowing = {*audience.knowing(alert).values_list("pk", flat=True)}
    if knowing.isdisjoint(to.organisation_id for to in called):
        return called
    others = alert.deliveries.filter(~audience.OF_ONE_WHO_KNOWS, step=0).order_by()
    theirs = {*others.values_list("channel", "address")}
    return [
        to
        for to in called
        if to.organisation_id not in knowing or (to.channel, to.address) in theirs
    ]


def _next(row: Escalation, pause: LadderPause | None, rungs: list[Rung], now: datetime) -> _Move:
    """Where a ladder that is due goes from here: one call at most, however late it is."""
    if row.state == State.CLIMBING and row.moved_at > now + _CLOCK_SLACK:
        # The clock went back: the wait begins anew, instead of lasting as long as the jump.
        return _Move(State.CLIMBING, row.rung, now + (row.next_at - row.moved_at))
    if pause and row.speed == 1:
        return _Move(State.PAUSED, row.rung, pause.until, pause.by)
    for place in range(row.rung, len(rungs)):
        if rungs[place].addresses:
            return _Move(State.CLIMBING, place + 1, now + rungs[place].wait / row.speed)
    return _Move(State.ENDED, row.rung, now)


# --- where the ladder ends -----------------------------------------------------------------------


def _tell_the_desk(now: datetime) -> int:
    """A word to the desk for each warning whose ladders have ended; how many words."""
    untold = _unanswered().filter(told=False)
    ended = untold.exclude(alert__kind=Alert.Kind.DRILL).values_list("alert", flat=True)
    words = Alert.objects.filter(kind=Alert.Kind.SERVICE)  # corrections are about it, too
    lately = words.filter(raised_at__range=(now - DESK_WINDOW, now))
    told = 0
    for pk in list(ended.order_by().distinct()):
        if not lately.filter(about=pk).exists():
            told += _tell(pk)
    return told


@transaction.atomic
def _tell(about: UUID) -> int:
    untold = _unanswered().filter(alert=about, told=False)
    count = untold.update(told=True)
    if not count:
        return 0  # another sweep has told
    for desk in Organisation.objects.filter(port_role=PortRole.DESK, is_active=True):
        # Neither names nor the warning's own words: mails of any marking may carry this.
        alert = Alert.objects.create(
            only=desk,
            about_id=about,
            kind=Alert.Kind.SERVICE,
            severity=Severity.CRITICAL.value,
            tlp=Tlp.GREEN.value,
            title=_untold(count),
            body=kept(
                "Everybody on the ladder was called and nobody has answered. Open the coverage to "
                "see who it is, call them by phone, and record there what they say."
            ),
        )
        fanout.deliver(alert, audience.addresses_of(desk))
    audit.record("ladder.ended", actor="hub", subject=str(about), members=count)
    return 1


def _untold(count: int) -> str:
    if count == 1:
        return kept("One member has not answered a critical warning")
    return kept("%(count)s members have not answered a critical warning") % {"count": count}


def _unanswered() -> QuerySet[Escalation]:
    """Ladders that ended; of who reported it nobody wants an answer."""
    return Escalation.objects.filter(~audience.OF_ONE_WHO_KNOWS, state=State.ENDED)


def unanswered(limit: int) -> list[Escalation]:
    """Whose ladders ended without an answer, for the desk's queue; the newest first."""
    ended = _unanswered().exclude(alert__kind=Alert.Kind.DRILL)
    return list(ended.select_related("alert", "organisation").order_by("-moved_at", "pk")[:limit])


# --- the desk, and the end by other means --------------------------------------------------------


@transaction.atomic
def pause(escalation: Escalation, until: datetime, *, actor: User) -> None:
    """Make no call for this warning to this member until then. Raises NotPossible."""
    now = timezone.now()
    if not now < until <= now + ladder.MAX_PAUSE:
        raise NotPossible(_("Pause until a time within the next 7 days."))
    running = Escalation.objects.filter(pk=escalation.pk, state__in=Escalation.OPEN)
    if not running.update(
        state=State.PAUSED, next_at=until, moved_at=now, by=f"{ladder.BY_THE_DESK}{actor.email}"
    ):
        raise NotPossible(_("Nobody is being called any more."))
    _record("escalation.paused", escalation, actor)


@transaction.atomic
def resume(escalation: Escalation, *, actor: User) -> None:
    """Call at once. Raises NotPossible when it was not paused, or the member wants no calls."""
    if ladder.pause_now(escalation.organisation):
        raise NotPossible(_("The member itself has paused its ladder. Call it by phone."))
    now = timezone.now()
    paused = Escalation.objects.filter(pk=escalation.pk, state=State.PAUSED)
    if not paused.update(state=State.CLIMBING, next_at=now, moved_at=now, by=""):
        raise NotPossible(_("It is not paused any more."))
    _record("escalation.resumed", escalation, actor)


def _record(action: str, escalation: Escalation, actor: User) -> None:
    audit.record(
        action,
        actor=actor,
        subject=str(escalation.alert_id),
        organisation=escalation.organisation.slug,
    )


def stop(alert: Alert, *, by: str) -> int:
    """No answer is wanted any more (withdrawn, a drill ended by hand); how many ladders stood.

    A call that is due but not sent is held back by alerts.notices.
    """
    standing = alert.escalations.filter(state__in=[*Escalation.OPEN, State.ENDED])
    return standing.update(state=State.STOPPED, moved_at=timezone.now(), by=by[:160])


# --- drills --------------------------------------------------------------------------------------


@transaction.atomic
def drill(organisation: Organisation, *, speed: int, actor: User) -> Alert:
    """Climb the member's ladder for a test that says so. Raises NotPossible while one runs, or
    while the ladder is paused."""
    take_the_pen()
    if running_drill(organisation):
        raise NotPossible(_("A test is running already."))
    if ladder.pause_now(organisation):
        raise NotPossible(_("Your ladder is paused. Resume it, then test it."))
    alert = Alert.objects.create(
        only=organisation,
        kind=Alert.Kind.DRILL,
        severity=Severity.CRITICAL.value,
        tlp=Tlp.GREEN.value,
        title=kept("EXERCISE, only a TEST: would you have seen a critical warning?"),
        body=kept(
            "This is an exercise, there is no attack: %(name)s is testing who is called when "
            "nobody answers a critical warning. Answer “Seen”, and the test ends."
        )
        % {"name": actor},
    )
    fanout.deliver(alert, [Address(organisation.pk, "inbox", organisation.slug)])
    ladder.begin(alert, [organisation.pk], wait=timedelta(0), speed=speed)
    audit.record(
        "ladder.tested", actor=actor, subject=str(alert.pk), organisation=organisation.slug
    )
    return alert


def running_drill(organisation: Organisation) -> Escalation | None:
    """The test that runs now, if any."""
    drills = organisation.escalations.filter(alert__kind=Alert.Kind.DRILL)
    return drills.filter(state__in=Escalation.OPEN).select_related("alert").first()
