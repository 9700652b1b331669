"""A change of mind: update, all-clear and withdrawal, to those who got what they correct."""

from typing import Final

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext

from alerts import audience, fanout
from alerts.models import Alert, Delivery
from alerts.notices import TOO_LATE
from crc.members import audit
from crc.members.models import Group, Organisation, User
from crc.ordering import take_the_pen
from sharing import withdrawal
from sharing.models import Release
from sharing.release import NotReleasable, check_words

_State = Delivery.State
# A message that a sender has in its hands may be out already.
_TOLD: Final = (_State.SENT, _State.SENDING)
_UNSENT: Final = (_State.DUE, _State.WAITING)


def thread(made: Release) -> QuerySet[Alert]:
    """All that was said about a release, oldest first."""
    return Alert.objects.filter(release=made).select_related("group").order_by("raised_at")


def told(made: Release, kind: Alert.Kind) -> list[audience.Address]:
    """The addresses that a correction goes to, each once: those that got the warning.

    What has not gone out yet will not, once the warning is closed; before an update it still will.
    """
    states = _TOLD if kind in Alert.CLOSING else (*_TOLD, *_UNSENT)
    rows = Delivery.objects.filter(alert__release=made, state__in=states).order_by()
    found = rows.values_list("organisation_id", "channel", "address").distinct()
    listed = {*audience.addresses(Organisation.objects.filter(pk__in={row[0] for row in found}))}
    cleared = {*_cleared(made).values_list("pk", flat=True)}
    addresses = [audience.Address(*row) for row in found]
    return [one for one in addresses if one in listed and one.organisation_id in cleared]


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


def withdrawal_words(reason: str) -> str:
    """What a withdrawal says."""
    return (
        gettext(
            "The hub takes this warning back. Its indicators have left the lists and are revoked "
            "in the collections: remove them where your tools do not do so by themselves."
        )
        + f"\n\n{reason}"
    )


def value_words(value: str, reason: str) -> str:
    """What taking back one value says."""
    told = gettext("This indicator is taken back; do not block or look for it any more: %(value)s")
    return told % {"value": value} + f"\n\n{reason}"


@transaction.atomic
def _correct(made: Release, kind: Alert.Kind, text: str, actor: User) -> Alert:
    take_the_pen()
    made.refresh_from_db()
    if closed_by(made):
        raise NotReleasable(gettext("This warning is closed already."))
    check_words(made, text)
    return _raise(made, kind, text, actor)


def _raise(made: Release, kind: Alert.Kind, body: str, actor: User) -> Alert:
    """The correction's rows; what it makes pointless and is not out yet, is not sent."""
    first = thread(made).first()
    if first is None:
        raise NotReleasable(gettext("Nobody has been warned of this."))
    to = told(made, kind)
    if kind in Alert.CLOSING:
        Delivery.objects.filter(alert__release=made, state__in=_UNSENT).update(
            state=_State.SKIPPED, reason=TOO_LATE[kind]
        )
    alert = Alert.objects.create(
        release=made,
        about=first,
        kind=kind,
        severity=first.severity,
        tlp=made.tlp,
        group=_widest(made),
        title=f"{kind.label}: {first.title}"[:240],
        body=body,
    )
    fanout.deliver(alert, to)
    audit.record(
        "alert.raised",
        actor=actor,
        subject=str(alert.pk),
        kind=kind.value,
        severity=first.severity,
        release=str(made.pk),
    )
    return alert


def _widest(made: Release) -> Group:
    """A corroboration may have gone to everybody, the first warning to a group."""
    groups = [alert.group or made.group for alert in thread(made)]
    return next((group for group in groups if group.everyone), made.group)


def _cleared(made: Release) -> QuerySet[Organisation]:
    return audience.cleared(Alert(group=_widest(made), tlp=made.tlp))
