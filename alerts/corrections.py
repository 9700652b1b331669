"""A change of mind: update, all-clear and withdrawal, to those who got what they correct.

A correction waits for no digest and no quiet hours, and no filter keeps it back: who was alarmed
must hear that it is over. Only the update of a warning that itself still waits, waits with it.
"""

from collections.abc import Iterator
from typing import Final

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from alerts import audience, escalation, fanout, folding
from alerts.audience import Address
from alerts.models import Alert, Delivery
from alerts.models.deliveries import ALONE, GOT, LEFT, UNSENT
from alerts.notices import TOO_LATE
from alerts.severity import Severity
from alerts.subscriptions import Planned
from crc.members import audit
from crc.members.models import Group, Organisation, User
from crc.members.retold import kept
from crc.ordering import take_the_pen
from sharing import withdrawal
from sharing.models import Release
from sharing.release import NotReleasable, check_words

_TITLES: Final = {
    Alert.Kind.UPDATE: kept("Update: %(title)s"),
    Alert.Kind.ALL_CLEAR: kept("All clear: %(title)s"),
    Alert.Kind.WITHDRAWAL: kept("Withdrawn: %(title)s"),
}
# Why a ladder is climbed no further.
_CALLED_OFF: Final = {
    Alert.Kind.ALL_CLEAR: kept("all clear"),
    Alert.Kind.WITHDRAWAL: kept("withdrawn"),
}


def thread(made: Release) -> QuerySet[Alert]:
    """All that was said about a release, oldest first."""
    return Alert.objects.filter(release=made).select_related("group").order_by("raised_at")


def told(made: Release, kind: Alert.Kind) -> list[Address]:
    """The addresses that a correction goes to, each once: those that got the warning.

    What has not gone out yet will not, once the warning is closed; before an update it still will.
    """
    rows = _rows(made).filter(GOT if kind in Alert.CLOSING else GOT | UNSENT)
    listed = {*audience.addresses(Organisation.objects.filter(pk__in=rows.values("organisation")))}
    cleared = {*_cleared(made).values_list("pk", flat=True)}
    return [to for to in _addresses(rows) if to in listed and to.organisation_id in cleared]


def members_told(made: Release, kind: Alert.Kind) -> QuerySet[Organisation]:
    """The members behind those addresses."""
    return Organisation.objects.filter(pk__in={to.organisation_id for to in told(made, kind)})


def closed_by(made: Release) -> Alert | None:
    """The all-clear or the withdrawal, whichever came last."""
    return thread(made).filter(kind__in=Alert.CLOSING).last()


def update(made: Release, text: str, *, actor: User) -> Alert:
    """More about a warning. Raises NotReleasable."""
    return _correct(made, Alert.Kind.UPDATE, text, actor)


def all_clear(made: Release, text: str, *, actor: User) -> Alert:
    """It is over: the warning is closed, indicators and answers stay. Raises NotReleasable."""
    return _correct(made, Alert.Kind.ALL_CLEAR, text, actor)


@transaction.atomic
def withdraw(made: Release, reason: str, *, actor: User) -> Alert:
    """Take everything back, and say so. Raises NotReleasable."""
    withdrawal.withdraw(made, reason=reason, actor=actor)
    return _raise(made, Alert.Kind.WITHDRAWAL, withdrawal_words(reason), actor)


@transaction.atomic
def withdraw_value(made: Release, value: str, reason: str, *, actor: User) -> Alert:
    """Take one indicator value back, and say so in an update. Raises NotReleasable."""
    withdrawal.withdraw_value(made, value, reason=reason, actor=actor)
    return _raise(made, Alert.Kind.UPDATE, value_words(value, reason), actor)


def title(kind: Alert.Kind, first: Alert) -> str:
    """What a correction is called."""
    return _TITLES[kind] % {"title": first.title}


def loudness(made: Release, kind: Alert.Kind, first: Alert) -> Severity:
    """How grave a correction is called: what is over, or is said of it later, alarms nobody."""
    over = kind in Alert.CLOSING or closed_by(made) is not None
    return Severity.INFO if over else Severity(first.severity)


def withdrawal_words(reason: str) -> str:
    """What a withdrawal says."""
    words = kept(
        "The hub takes this warning back. Its indicators have left the lists and are revoked in "
        "the collections: remove them where your tools do not do so by themselves.\n\n%(reason)s"
    )
    return words % {"reason": reason}


def value_words(value: str, reason: str) -> str:
    """What taking back one value says."""
    words = kept(
        "This indicator is taken back; do not block or look for it any more: %(value)s\n\n"
        "%(reason)s"
    )
    return words % {"value": value, "reason": reason}


@transaction.atomic
def _correct(made: Release, kind: Alert.Kind, text: str, actor: User) -> Alert:
    take_the_pen()
    made.refresh_from_db()
    if closed_by(made):
        raise NotReleasable(_("This warning is closed already."))
    check_words(made, text)
    return _raise(made, kind, text, actor)


def _raise(made: Release, kind: Alert.Kind, body: str, actor: User) -> Alert:
    """The correction's rows; what it makes pointless and is not out yet, is not sent."""
    first = thread(made).first()
    if first is None:
        raise NotReleasable(_("Nobody has been warned of this."))
    if kind in Alert.CLOSING:
        _call_off(made, kind)
    # Asked after that: what a sender took in the meantime is told.
    planned = list(_planned(made, kind))
    severity = loudness(made, kind, first).value
    alert = Alert.objects.create(
        release=made,
        about=first,
        kind=kind,
        severity=severity,
        tlp=made.tlp,
        group=_widest(made),
        title=title(kind, first),
        body=body,
    )
    fanout.write(alert, planned)
    audit.record(
        "alert.raised",
        actor=actor,
        subject=str(alert.pk),
        kind=kind.value,
        severity=severity,
        release=str(made.pk),
    )
    return alert


def _call_off(made: Release, kind: Alert.Kind) -> None:
    """What has not gone out does not any more, and nobody is called for it."""
    for alert in thread(made):
        escalation.stop(alert, by=_CALLED_OFF[kind])
    rows, skipped = _rows(made), {"state": Delivery.State.SKIPPED, "reason": TOO_LATE[kind]}
    rows.filter(ALONE).update(**skipped)
    # Locked: a message must not take with it what is about to be taken out of it.
    carriers = Delivery.objects.filter(ALONE, pk__in=rows.values("folded_into"))
    list(carriers.select_for_update().order_by("pk").values_list("pk", flat=True))
    rows.filter(UNSENT | LEFT).update(**skipped)
    folding.let_go(rows.filter(state=Delivery.State.SKIPPED))


def _planned(made: Release, kind: Alert.Kind) -> Iterator[Planned]:
    waiting: dict[Address, Planned] = {}
    if kind not in Alert.CLOSING:
        waiting = _waiting(made)
    for to in told(made, kind):
        yield waiting.get(to) or Planned(to)


def _waiting(made: Release) -> dict[Address, Planned]:
    """Where nothing has been got yet: until when the warning waits, and in which bundle."""
    got = {*_addresses(_rows(made).filter(GOT))}
    held = _rows(made).filter(state=Delivery.State.WAITING).exclude(bundle="")
    planned = (
        Planned(Address(row.organisation_id, row.channel, row.address), row.next_try_at, row.bundle)
        for row in held.order_by("next_try_at")
    )
    return {plan.to: plan for plan in planned if plan.to not in got}


def _rows(made: Release) -> QuerySet[Delivery]:
    alerts = list(thread(made).values_list("pk", flat=True))
    return Delivery.objects.filter(alert__in=alerts).order_by()


def _addresses(rows: QuerySet[Delivery]) -> list[Address]:
    found = rows.values_list("organisation_id", "channel", "address").distinct()
    return [Address(*row) for row in found]


def _widest(made: Release) -> Group:
    """A corroboration may have gone to everybody, the first warning to a group."""
    groups = [alert.group or made.group for alert in thread(made)]
    return next((group for group in groups if group.everyone), made.group)


def _cleared(made: Release) -> QuerySet[Organisation]:
    return audience.cleared(Alert(group=_widest(made), tlp=made.tlp))
