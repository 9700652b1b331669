"""Who gets what, and when: what each address has chosen, applied where delivery rows are written.

The inbox has everything. What is critical, or touches a member's own confirmed assets, passes every
filter and waits for no digest and no quiet hours.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from alerts import assets, storms
from alerts.audience import Address
from alerts.models import Alert, Delivery, Subscription
from alerts.severity import Severity
from crc.members import audit
from crc.members.models import Organisation, User
from crc.members.templatetags.hub import listed
from sharing.stix.port import ATTACKS, SYSTEMS, AttackKind, PortSystem

DIGEST: Final = "digest"
QUIET: Final = "quiet"
# Filters choose among these; what corrects or follows a warning goes where the warning went.
FILTERED: Final = frozenset({Alert.Kind.WARNING, Alert.Kind.CORROBORATION})
# What a person chooses.
CHOICES: Final = (
    "floor attacks systems own_role_only own_assets_only quiet_from quiet_until digest "
    "digest_hour time_zone"
).split()


@dataclass(frozen=True)
class Planned:
    """A row to be written. ``until`` is None for one that is due now; see Delivery for the rest."""

    to: Address
    until: datetime | None = None
    bundle: str = ""
    touches: str = ""


def of(organisations: Collection[int]) -> dict[Address, Subscription]:
    """What these members' addresses have chosen; those that never did are not in it."""
    rows = Subscription.objects.filter(organisation__in=organisations)
    return {
        Address(row.organisation_id, row.channel, row.address): row
        for row in rows.select_related("organisation")
    }


def plan(alert: Alert, addresses: Iterable[Address]) -> Iterator[Planned]:
    """Which of these addresses get a row, and when it is due: a few questions for all of them."""
    addresses = list(addresses)
    if alert.release is None:  # a word from the hub to one member
        yield from map(Planned, addresses)
        return
    organisations = {to.organisation_id for to in addresses}
    chosen = of(organisations)
    touched = assets.touched(alert.release, organisations)
    windows = storms.windows(alert)
    for to in addresses:
        touches, wish = touched.get(to.organisation_id, ""), chosen.get(to)
        if touches or to.channel == "inbox":
            yield Planned(to, touches=touches)
        elif wish is None or wants(wish, alert):
            yield _timed(to, wish, alert, windows.get(to))


def _timed(
    to: Address, wish: Subscription | None, alert: Alert, window: storms.Window | None
) -> Planned:
    until, bundle = None, ""
    if wish and not _breaks_through(alert):
        until, bundle = held(wish, alert.raised_at)
    if until is None and window and not window.lets_through(alert):
        until, bundle = window.until, window.bundle
    return Planned(to, until, bundle)


def _breaks_through(alert: Alert) -> bool:
    return alert.severity == Severity.CRITICAL


def wants(wish: Subscription, alert: Alert, touches: str = "") -> bool:
    """Whether this address has chosen to hear of it at all. What the release does not say, such as
    the system of a member that it would name, excludes nobody."""
    if touches or alert.kind not in FILTERED or _breaks_through(alert):
        return True
    role = wish.organisation.port_role
    concern = not alert.systems or any(_run_by(role, system) for system in alert.systems)
    return (
        Severity(alert.severity).rank >= Severity(wish.floor).rank
        and (not wish.attacks or not alert.attack or alert.attack in wish.attacks)
        and (not wish.systems or not alert.systems or bool({*wish.systems} & {*alert.systems}))
        and (concern or not wish.own_role_only)
        and not wish.own_assets_only
    )


def _run_by(role: str, system: str) -> bool:
    run_by = SYSTEMS[PortSystem(system)].run_by
    return not run_by or role in run_by


def no_longer_wanted(wish: Subscription | None, delivery: Delivery) -> bool:
    """Whether the address has chosen otherwise since the row was written."""
    return (
        wish is not None
        and delivery.channel != "inbox"
        and wish.changed_at > delivery.raised_at
        and not wants(wish, delivery.alert, delivery.touches)
    )


def held(wish: Subscription, now: datetime) -> tuple[datetime | None, str]:
    """Until when what is not critical waits, and in which bundle; None for not at all."""
    zone = ZoneInfo(wish.time_zone)
    until, bundle = None, ""
    if wish.digest:
        until, bundle = _next_digest(wish, now.astimezone(zone)), DIGEST
    quiet = _quiet_end(wish, (until or now).astimezone(zone))
    return (quiet, bundle or QUIET) if quiet else (until, bundle)


def _next_digest(wish: Subscription, local: datetime) -> datetime:
    if wish.digest == Subscription.Digest.HOURLY:
        # Counted in elapsed time: an hour that the clocks repeat or leave out is still an hour.
        begun = timedelta(
            minutes=local.minute, seconds=local.second, microseconds=local.microsecond
        )
        return local.astimezone(UTC) - begun + timedelta(hours=1)
    return _next(time(wish.digest_hour), local)


def _quiet_end(wish: Subscription, local: datetime) -> datetime | None:
    """When the quiet hours that hold at a local time end; None when none hold."""
    since, until = wish.quiet_from, wish.quiet_until
    if since is None or until is None:
        return None
    at = local.time()
    quiet = since <= at < until if since < until else at >= since or at < until
    return _next(until, local) if quiet else None


def _next(at: time, local: datetime) -> datetime:
    """The next instant at which clocks where ``local`` is show ``at``."""
    for days in (0, 1):
        day = (local + timedelta(days=days)).date()
        found = datetime.combine(day, at, local.tzinfo).astimezone(UTC)
        if found > local.astimezone(UTC):
            return found
    raise AssertionError("a day has passed")  # pragma: no cover


def save(
    to: Address, chosen: dict[str, Any] | None, *, actor: User, place: str
) -> dict[str, Any] | None:
    """Choose anew for one address, None for the defaults; what was chosen before comes back.

    ``place`` names the address in the trail: an endpoint's own may be a secret. What waits for a
    digest or the end of quiet hours waits from now on as was chosen now.
    """
    key: dict[str, Any] = {
        "organisation_id": to.organisation_id,
        "channel": to.channel,
        "address": to.address,
    }
    with transaction.atomic():
        before = Subscription.objects.select_for_update().filter(**key).first()
        previous = {name: getattr(before, name) for name in CHOICES} if before else None
        if chosen is None:
            Subscription.objects.filter(**key).delete()
            wish = Subscription(**key)
        else:
            wish, _made = Subscription.objects.update_or_create(**key, defaults=chosen)
        waiting = Delivery.objects.filter(
            **key, state=Delivery.State.WAITING, bundle__in=[DIGEST, QUIET]
        )
        now = timezone.now()
        waiting.update(next_try_at=held(wish, now)[0] or now)
        audit.record(
            "subscription.changed",
            actor=actor,
            subject=place,
            organisation=Organisation.objects.get(pk=to.organisation_id).slug,
            floor=wish.floor,
            digest=wish.digest,
        )
    return previous


def in_words(wish: Subscription) -> list[str]:
    """What was chosen, a sentence each."""
    said = [_timing(wish)]
    if wish.own_assets_only:
        said.append(_("Only what touches your own confirmed addresses and domains."))
    if wish.own_role_only:
        said.append(_("Only what concerns systems that members like you run."))
    if wish.attacks:
        kinds = listed(_(ATTACKS[AttackKind(kind)].label) for kind in wish.attacks)
        said.append(_("Only these attacks: %(kinds)s.") % {"kinds": kinds})
    if wish.systems:
        kinds = listed(_(SYSTEMS[PortSystem(system)].label) for system in wish.systems)
        said.append(_("Only on these systems: %(kinds)s.") % {"kinds": kinds})
    if len(said) > 1 and wish.floor != Severity.CRITICAL:
        said.append(_("What is critical, or touches what is yours, comes all the same."))
    return said


def _timing(wish: Subscription) -> str:
    if wish.floor == Severity.CRITICAL:
        return _("You get only what is critical or touches what is yours, at once.")
    words = {
        "what": _what(wish),
        "when": _when(wish),
        "from": f"{wish.quiet_from:%H:%M}" if wish.quiet_from else "",
        "until": f"{wish.quiet_until:%H:%M}" if wish.quiet_until else "",
    }
    if wish.quiet_from is None:
        return _("You get %(what)s, %(when)s.") % words
    said = _(
        "You get %(what)s, %(when)s; between %(from)s and %(until)s only critical, and the rest "
        "afterwards in one message."
    )
    return said % words


def _what(wish: Subscription) -> str:
    return {
        Severity.INFO: _("everything"),
        Severity.LOW: _("everything from low up"),
        Severity.MEDIUM: _("everything from medium up"),
        Severity.HIGH: _("everything from high up"),
    }[Severity(wish.floor)]


def _when(wish: Subscription) -> str:
    if wish.digest == Subscription.Digest.HOURLY:
        return _("in one message every hour, critical at once")
    if wish.digest == Subscription.Digest.DAILY:
        return _("in one message a day at %(hour)02d:00, critical at once") % {
            "hour": wish.digest_hour
        }
    return _("at once")
