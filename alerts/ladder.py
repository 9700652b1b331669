"""A member's ladder: whom to call, and how long to wait, while it does not answer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from alerts import audience
from alerts.audience import Address
from alerts.channels import CHANNELS
from alerts.models import Alert, Endpoint, Escalation, LadderPause, LadderStep
from crc import hotsql
from crc.members import audit
from crc.members.models import Contact, Organisation, User
from crc.members.roles import UserRole
from crc.ordering import take_the_pen

MAX_STEPS: Final = 50
MAX_MINUTES: Final = 24 * 60
MAX_PAUSE: Final = timedelta(days=7)
# How Escalation.by tells the desk's pauses from the member's own.
BY_THE_DESK: Final = "desk:"
# The standard ladder: the officers' mails together, then the member admins'.
OFFICERS_MINUTES: Final = 10
ADMINS_MINUTES: Final = 15


class NotPossible(ValueError):
    """What was asked of a ladder cannot be done; the message says why."""


@dataclass(frozen=True)
class Rung:
    """One call: whom it goes to, all together, and the wait before the next."""

    addresses: tuple[Address, ...]
    wait: timedelta


@dataclass(frozen=True)
class Choice:
    """An address of a member's that can be a step. ``words`` hold no secret; ``key`` names it."""

    key: str
    channel: str
    address: str
    words: str


def steps_of(organisations: Collection[int]) -> dict[int, list[LadderStep]]:
    """Each member's steps, in order; unsaved ones where it has the standard ladder."""
    found: dict[int, list[LadderStep]] = {pk: [] for pk in organisations}
    for step in LadderStep.objects.filter(organisation__in=organisations):
        found[step.organisation_id].append(step)
    return found | _standard([pk for pk, steps in found.items() if not steps])


def _standard(organisations: Collection[int]) -> dict[int, list[LadderStep]]:
    officers: list[Contact | User] = [
        *Contact.objects.filter(organisation__in=organisations, is_active=True),
        *User.objects.filter(organisation__in=organisations, is_active=True).exclude(
            role=UserRole.MEMBER_ADMIN
        ),
    ]
    admins = User.objects.filter(
        organisation__in=organisations, is_active=True, role=UserRole.MEMBER_ADMIN
    )
    called: dict[int, dict[str, int]] = {pk: {} for pk in organisations}
    waits = [(one, OFFICERS_MINUTES) for one in officers] + [
        (one, ADMINS_MINUTES) for one in admins
    ]
    for person, minutes in waits:
        # Once each: an officer who is listed as a contact too is no second person.
        called[person.organisation_id].setdefault(person.email.lower(), minutes)
    return {pk: _together(pk, waits) for pk, waits in called.items()}


def _together(organisation: int, waits: dict[str, int]) -> list[LadderStep]:
    """A step for each address; the last of those with the same wait is the one that waits."""
    last = {minutes: address for address, minutes in waits.items()}
    return [
        LadderStep(
            organisation_id=organisation,
            position=position,
            channel="email",
            address=address,
            minutes=minutes if last[minutes] == address else 0,
        )
        for position, (address, minutes) in enumerate(waits.items(), 1)
    ]


def rungs_of(organisations: Collection[int]) -> dict[int, list[Rung]]:
    """Each member's calls, in order. An address that is no longer one of its own is left out, and
    its call stays, so that nobody who is being called skips one."""
    listed = set(audience.addresses(Organisation.objects.filter(pk__in=organisations)))
    return {pk: _rungs(steps, listed) for pk, steps in steps_of(organisations).items()}


def _rungs(steps: Sequence[LadderStep], listed: set[Address]) -> list[Rung]:
    rungs: list[Rung] = []
    called: dict[Address, None] = {}
    for step in steps:
        address = Address(step.organisation_id, step.channel, step.address)
        if address in listed:
            called[address] = None
        if step.minutes or step is steps[-1]:
            # Also who is called last is given a moment to answer.
            rungs.append(Rung(tuple(called), timedelta(minutes=step.minutes or 1)))
            called = {}
    return rungs


def begin(
    alert: Alert,
    organisations: Collection[int],
    *,
    wait: timedelta | None = None,
    speed: int = 1,
) -> None:
    """Climb these members' ladders until they answer, inside the caller's transaction.

    ``wait``: until the first call; else what the settings say.
    """
    if wait is None:
        wait = timedelta(minutes=settings.ESCALATE_AFTER_MINUTES)
    at = alert.raised_at
    hotsql.insert(
        Escalation,
        "alert_id organisation_id state rung next_at moved_at speed by told".split(),
        [(alert.pk, pk, "climbing", 0, at + wait, at, speed, "", False) for pk in organisations],
    )


# --- what a member decides -----------------------------------------------------------------------


def choices(organisation: Organisation) -> list[Choice]:
    """What its steps can be: every verified address but the inbox, which calls nobody."""
    endpoints = {
        (endpoint.channel, endpoint.address): endpoint
        for endpoint in Endpoint.objects.filter(
            organisation=organisation, is_active=True, verified_at__isnull=False
        )
    }
    found = []
    for to in audience.addresses_of(organisation):
        if to.channel == "inbox":
            continue
        endpoint = endpoints.get((to.channel, to.address))
        key = f"endpoint:{endpoint.pk}" if endpoint else f"{to.channel}:{to.address}"
        name = (endpoint and endpoint.label) or CHANNELS[to.channel].describe(to.address)
        words = _("%(channel)s: %(name)s") % {
            "channel": _(CHANNELS[to.channel].title),
            "name": name,
        }
        found.append(Choice(key, to.channel, to.address, words))
    return found


def described(organisation: Organisation, steps: Sequence[LadderStep]) -> list[tuple[str, bool]]:
    """Each step in words that hold no secret, and whether it can still be called."""
    known = {(choice.channel, choice.address): choice.words for choice in choices(organisation)}
    return [
        (words or CHANNELS[step.channel].describe(step.address), words is not None)
        for step in steps
        for words in [known.get((step.channel, step.address))]
    ]


def replace(
    organisation: Organisation,
    steps: Sequence[tuple[str, str, int]],
    *,
    actor: User | str,
) -> None:
    """The whole ladder anew, as (channel, address, minutes); none means the standard one.

    Raises NotPossible for an address that is not the member's, or limits passed.
    """
    known = {(choice.channel, choice.address) for choice in choices(organisation)}
    if len(steps) > MAX_STEPS:
        raise NotPossible(_("A ladder has %(limit)d steps at most.") % {"limit": MAX_STEPS})
    for channel, address, minutes in steps:
        if (channel, address) not in known:
            raise NotPossible(
                _("%(address)s is no address of %(member)s.")
                % {"address": f"{channel}:{address}", "member": organisation}
            )
        _check(minutes)
    with transaction.atomic():
        take_the_pen()
        organisation.ladder.all().delete()
        LadderStep.objects.bulk_create(
            LadderStep(
                organisation=organisation,
                position=position,
                channel=channel,
                address=address,
                minutes=minutes,
            )
            for position, (channel, address, minutes) in enumerate(steps, 1)
        )
        _changed(organisation, actor)


def _check(minutes: int) -> None:
    if not 0 <= minutes <= MAX_MINUTES:
        raise NotPossible(
            _("A step waits 0 to %(limit)d minutes; 0 calls it together with the next.")
            % {"limit": MAX_MINUTES}
        )


def _changed(organisation: Organisation, actor: User | str) -> None:
    audit.record(
        "ladder.changed",
        actor=actor,
        subject=organisation.slug,
        steps=organisation.ladder.count(),
    )


def make_own(organisation: Organisation, *, actor: User | str) -> None:
    """The standard ladder as steps that the member can change; nothing when it has its own."""
    with transaction.atomic():
        take_the_pen()
        if not organisation.ladder.exists():
            steps = steps_of([organisation.pk])[organisation.pk]
            LadderStep.objects.bulk_create(steps)
            _changed(organisation, actor)


@transaction.atomic
def add(organisation: Organisation, key: str, minutes: int, *, actor: User | str) -> None:
    """One more step at the end. Raises NotPossible."""
    take_the_pen()
    chosen = next((one for one in choices(organisation) if one.key == key), None)
    if chosen is None:
        raise NotPossible(_("That address is not among yours any more."))
    _check(minutes)
    if organisation.ladder.count() >= MAX_STEPS:
        raise NotPossible(_("A ladder has %(limit)d steps at most.") % {"limit": MAX_STEPS})
    last = organisation.ladder.aggregate(last=Max("position"))["last"] or 0
    LadderStep.objects.create(
        organisation=organisation,
        position=last + 1,
        channel=chosen.channel,
        address=chosen.address,
        minutes=minutes,
    )
    _changed(organisation, actor)


@transaction.atomic
def change(
    organisation: Organisation,
    step: int,
    what: str,
    *,
    minutes: int = 0,
    actor: User | str,
) -> None:
    """``what`` becomes of one step: up, down, remove, wait. Raises NotPossible when somebody else
    has removed it."""
    take_the_pen()
    steps = list(organisation.ladder.all())
    place = next((place for place, one in enumerate(steps) if one.pk == step), None)
    if place is None:
        raise NotPossible(_("That step was removed meanwhile. This is the ladder as it is now."))
    if what == "remove":
        steps.pop(place).delete()
    elif what == "wait":
        _check(minutes)
        steps[place].minutes = minutes
    else:
        other = max(0, place - 1) if what == "up" else min(len(steps) - 1, place + 1)
        steps[place], steps[other] = steps[other], steps[place]
    for position, one in enumerate(steps, 1):
        one.position = position
    LadderStep.objects.bulk_update(steps, ["position", "minutes"])
    _changed(organisation, actor)


@transaction.atomic
def pause(organisation: Organisation, until: datetime, *, actor: User) -> None:
    """Call nobody of the member's until then. Raises NotPossible for a time out of bounds."""
    now = timezone.now()
    if not now < until <= now + MAX_PAUSE:
        raise NotPossible(
            _("Pause until a time within the next %(days)d days.") % {"days": MAX_PAUSE.days}
        )
    LadderPause.objects.update_or_create(
        organisation=organisation, defaults={"until": until, "by": actor.email, "at": now}
    )
    _called(organisation).exclude(alert__kind=Alert.Kind.DRILL).update(
        state=Escalation.State.PAUSED, next_at=until, moved_at=now, by=actor.email
    )
    audit.record("ladder.paused", actor=actor, subject=organisation.slug, until=until.isoformat())


@transaction.atomic
def resume(organisation: Organisation, *, actor: User) -> None:
    """Call them again, at once where a call is overdue. What the desk paused stays so."""
    paused = LadderPause.objects.filter(organisation=organisation).first()
    if paused is None:
        return
    now = timezone.now()
    _called(organisation).filter(state=Escalation.State.PAUSED).update(
        state=Escalation.State.CLIMBING, next_at=now, moved_at=now, by=""
    )
    paused.delete()
    audit.record("ladder.resumed", actor=actor, subject=organisation.slug)


def _called(organisation: Organisation) -> QuerySet[Escalation]:
    """Its escalations that are open, but for those that the desk has paused."""
    standing = Escalation.objects.filter(organisation=organisation, state__in=Escalation.OPEN)
    return standing.exclude(by__startswith=BY_THE_DESK)


def pause_now(organisation: Organisation) -> LadderPause | None:
    """The pause the member is in, if any."""
    return LadderPause.objects.filter(organisation=organisation, until__gt=timezone.now()).first()


def pauses_now() -> list[LadderPause]:
    """Every member's, for the desk; the next to end first."""
    running = LadderPause.objects.filter(until__gt=timezone.now())
    return list(running.select_related("organisation").order_by("until"))
