"""Fewer mails for a person who asks for them. Critical warnings come all the same: the member named
the person to be woken for them, and only the member can name somebody else."""

from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.core import signing
from django.db import transaction

from alerts.models import Subscription
from alerts.severity import Severity
from crc.members import audit
from crc.members.models import Organisation

_SALT: Final = "alerts.mailing"
# What one can choose, the most mails first.
FLOORS: Final = (
    Severity.INFO,
    Severity.LOW,
    Severity.MEDIUM,
    Severity.HIGH,
    Severity.CRITICAL,
)


@dataclass(frozen=True)
class Reader:
    """Who gets mails for whom."""

    organisation: Organisation
    address: str


def link(organisation: Organisation, address: str) -> str:
    """The page on which this reader of mails asks for fewer. It does not expire: old mails are
    where people look for it."""
    token = signing.dumps([organisation.pk, address], salt=_SALT)
    return f"{settings.BASE_URL}/mails/{token}/"


def opened(token: str) -> Reader | None:
    """Whom a link stands for; None for one that is wrong."""
    try:
        pk, address = signing.loads(token, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    organisation = Organisation.objects.filter(pk=pk, is_active=True).first()
    return Reader(organisation, address) if organisation else None


def chosen(reader: Reader) -> Subscription | None:
    """What holds for this reader's mails now; None where nobody has chosen anything."""
    return Subscription.objects.filter(
        organisation=reader.organisation, channel="email", address=reader.address
    ).first()


@transaction.atomic
def choose(reader: Reader, severity: Severity) -> None:
    """From now on mails about this severity and above only, critical ones always."""
    Subscription.objects.update_or_create(
        organisation=reader.organisation,
        channel="email",
        address=reader.address,
        defaults={"floor": severity.value},
    )
    audit.record(
        "mail.floor_chosen",
        actor=f"link:{reader.address}"[:160],
        subject=reader.address[:160],
        organisation=reader.organisation.slug,
        severity=severity.value,
    )
