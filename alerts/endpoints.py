"""Members' addresses from their first day to their last: added, tried, switched, changed, removed.

The pages and the operator's commands come here. Each change leaves a line in the audit trail,
without the address: whoever knows some of them can write to the place.
"""

from datetime import timedelta
from typing import Final

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from alerts import audience, confirming, fanout, missed
from alerts.channels import CHANNELS, signing
from alerts.models import Alert, Delivery, Endpoint
from alerts.severity import Severity
from crc.members import audit
from crc.members.models import Organisation, User
from crc.members.roles import UserRole
from sharing.stix.markings import Tlp

MOST: Final = 50
# A test reaches a place that nobody has verified: it must not be a way to pester strangers.
TESTS_AN_HOUR: Final = 20
TESTS_AN_HOUR_EACH: Final = 5
# For so long a receiver can change over to a new secret.
OLD_SECRET_LASTS: Final = timedelta(hours=24)

_HEALTHY: Final = {
    "is_active": True,
    "failing_since": None,
    "failures": 0,
    "switched_off_because": "",
}


class Refused(ValueError):
    """What cannot be done; the message says why, and what can."""


def manages(user: User) -> bool:
    """Whether the user may change its organisation's addresses."""
    return user.role in {UserRole.MEMBER_ADMIN, UserRole.DESK_ADMIN}


def add(
    organisation: Organisation,
    channel: str,
    address: str,
    *,
    actor: User | str,
    label: str = "",
    language: str = "en",
    verified: bool = False,
) -> Endpoint:
    """A new address; its secret, where the channel has one, is in ``secret``. Raises Refused."""
    way = CHANNELS.get(channel)
    if way is None or not way.offered:
        known = ", ".join(name for name, one in CHANNELS.items() if one.offered)
        raise Refused(_("There is no such way; choose from %(known)s.") % {"known": known})
    try:
        address = way.check(address)
    except ValueError as problem:
        raise Refused(str(problem)) from None
    mailboxes = audience.languages([organisation.pk])
    if audience.Address(organisation.pk, channel, address) in mailboxes:
        raise Refused(_("One of your people has this mailbox, and gets warnings there already."))
    if organisation.endpoints.count() >= MOST:
        raise Refused(_("%(most)s addresses are the most; remove one first.") % {"most": MOST})
    try:
        with transaction.atomic():
            endpoint = Endpoint.objects.create(
                organisation=organisation,
                channel=channel,
                address=address,
                label=label,
                language=language,
                secret=signing.new_secret() if way.needs_secret else "",
                verified_at=timezone.now() if verified else None,
            )
            _trail("added", endpoint, actor)
    except IntegrityError:
        raise Refused(_("This address is on your list already.")) from None
    return endpoint


def replace_secret(endpoint: Endpoint, *, actor: User | str) -> str:
    """A new secret; the old one signs beside it for a day. Raises Refused.

    Asked twice at once, the second is refused: else the secret that the receiver knows would drop
    out before the day is over.
    """
    if not CHANNELS[endpoint.channel].needs_secret:
        raise Refused(_("This kind of address has no secret."))
    secret = signing.new_secret()
    with transaction.atomic():
        changed = Endpoint.objects.filter(pk=endpoint.pk, secret=endpoint.secret).update(
            secret=secret,
            old_secret=endpoint.secret,
            old_secret_until=timezone.now() + OLD_SECRET_LASTS,
        )
        if not changed:
            raise Refused(_("The secret was replaced a moment ago."))
        _trail("secret_replaced", endpoint, actor)
    return secret


def switch_on(endpoint: Endpoint, *, actor: User | str) -> int:
    """Send warnings there again, its failures forgiven; how many that it has missed it gets now."""
    with transaction.atomic():
        was_off = Endpoint.objects.filter(pk=endpoint.pk, is_active=False).update(**_HEALTHY)
        _trail("switched_on", endpoint, actor)
        return missed.catch_up(endpoint) if was_off and endpoint.verified_at else 0


def switch_off(endpoint: Endpoint, *, actor: User | str) -> None:
    """Send nothing there until it is switched on again."""
    with transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(is_active=False, switched_off_because="")
        _trail("switched_off", endpoint, actor)


def change(endpoint: Endpoint, *, label: str, language: str, actor: User | str) -> None:
    """Call it something else, or write to it in the other language."""
    with transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(label=label, language=language)
        _trail("changed", endpoint, actor)


def remove(endpoint: Endpoint, *, actor: User | str) -> None:
    """For good. What still waits for it is not sent (alerts.notices looks again)."""
    with transaction.atomic():
        _trail("removed", endpoint, actor)
        endpoint.delete()


def test(endpoint: Endpoint, *, actor: User | str) -> Delivery:
    """A test to this address alone, by the way that warnings take. Raises Refused."""
    tests = Delivery.objects.filter(
        alert__kind=Alert.Kind.TEST,
        organisation=endpoint.organisation,
        raised_at__gt=timezone.now() - timedelta(hours=1),
    )
    here = tests.filter(channel=endpoint.channel, address=endpoint.address)
    if tests.count() >= TESTS_AN_HOUR or here.count() >= TESTS_AN_HOUR_EACH:
        raise Refused(_("Enough tests for this hour; try again later."))
    with transaction.atomic(), override(endpoint.language):
        alert = Alert.objects.create(
            only=endpoint.organisation,
            kind=Alert.Kind.TEST,
            severity=Severity.LOW.value,
            tlp=Tlp.GREEN.value,
            title=_("Test: warnings for %(member)s will come here")
            % {"member": endpoint.organisation.name},
            body=_(
                "This is a test; nobody is under attack. %(member)s wants early warnings of "
                "cyber attacks in the port to come to this place."
            )
            % {"member": endpoint.organisation.name}
            + (
                " " + _("Follow the link to confirm that this is right.")
                if CHANNELS[endpoint.channel].needs_tap and not endpoint.verified_at
                else ""
            ),
        )
        to = audience.Address(endpoint.organisation_id, endpoint.channel, endpoint.address)
        fanout.deliver(alert, [to])
        _trail("tested", endpoint, actor)
    return alert.deliveries.get()


def last_test(endpoint: Endpoint) -> Delivery | None:
    """The newest test of this address."""
    return (
        Delivery.objects.filter(
            alert__kind=Alert.Kind.TEST,
            organisation=endpoint.organisation,
            channel=endpoint.channel,
            address=endpoint.address,
        )
        .order_by("-raised_at")
        .first()
    )


def confirm(endpoint: Endpoint) -> None:
    """Its reader said by the link that it is the right place."""
    confirming.verify(
        endpoint, actor=f"link:{CHANNELS[endpoint.channel].describe(endpoint.address)}"[:160]
    )


def _trail(what: str, endpoint: Endpoint, actor: User | str) -> None:
    audit.record(
        f"endpoint.{what}",
        actor=actor,
        subject=str(endpoint.pk),
        organisation=endpoint.organisation.slug,
        channel=endpoint.channel,
    )
