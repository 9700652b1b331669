"""Who is warned, and at which addresses."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from alerts.models import Alert, Endpoint
from crc.members.models import Contact, Group, Organisation, User
from crc.members.roles import PortRole
from sharing import visibility
from sharing.models import Door, Submission
from sharing.stix.markings import Tlp

# What members have without adding it.
GIVEN: Final = frozenset({"inbox", "email"})


@dataclass(frozen=True)
class Address:
    """One place to deliver to."""

    organisation_id: int
    channel: str
    address: str


def members(
    group: Group, tlp: Tlp, *, silent: Organisation | None = None
) -> QuerySet[Organisation]:
    """Who may see it and should know: not the desk, which raised it, and not ``silent``."""
    warned = visibility.organisations_for(group, tlp).exclude(port_role=PortRole.DESK)
    return warned.exclude(pk=silent.pk) if silent else warned


def shared(organisation: Organisation, others: Collection[Address]) -> list[Address]:
    """Those of a member's addresses that are others' too, such as the mailbox of a SOC they share.

    Where others are told and this member is not, its silence would tell whoever reads there.
    """
    theirs = {(to.channel, to.address) for to in others}
    own = addresses(Organisation.objects.filter(pk=organisation.pk))
    return [to for to in own if (to.channel, to.address) in theirs]


def _told_of(alert: Alert | OuterRef, **echoes: object) -> QuerySet[Submission]:
    """The report that a warning is made from, and those of its echoes that are so."""
    return Submission.objects.filter(
        Q(release__alerts=alert) | Q(corroborations__alerts=alert, **echoes)
    )


def sources(alert: Alert) -> QuerySet[Organisation]:
    """The members whose reports a warning tells of: they know, and have nothing to answer."""
    return Organisation.objects.filter(pk__in=_told_of(alert).values("source"))


def knowing(alert: Alert) -> QuerySet[Organisation]:
    """Those of them where a person knows: what a tool has sent or counted, nobody there may have
    read, and somebody has to be called."""
    return Organisation.objects.filter(pk__in=_told_of(alert, door=Door.FORM).values("source"))


# Of a delivery, an answer or a ladder: whether it is one of theirs.
OF_A_SOURCE: Final = Exists(_told_of(OuterRef("alert")).filter(source=OuterRef("organisation")))
OF_ONE_WHO_KNOWS: Final = Exists(
    _told_of(OuterRef("alert"), door=Door.FORM).filter(source=OuterRef("organisation"))
)


def cleared(alert: Alert) -> QuerySet[Organisation]:
    """Who may see this warning today."""
    if alert.group is None:
        return Organisation.objects.filter(pk=alert.only_id or 0, is_active=True)
    return visibility.organisations_for(alert.group, Tlp(alert.tlp))


def addresses(
    organisations: QuerySet[Organisation], channels: Collection[str] | None = None
) -> list[Address]:
    """Every address of these members, each once: inbox, verified endpoints, one mail per person.

    Of these ``channels`` only, when they are given.
    """
    return [*dict.fromkeys(_addresses(organisations, channels))]


def _addresses(
    organisations: QuerySet[Organisation], channels: Collection[str] | None
) -> Iterator[Address]:
    if channels is None or "inbox" in channels:
        for pk, slug in organisations.values_list("pk", "slug"):
            yield Address(pk, "inbox", slug)
    added = None if channels is None else {*channels} - GIVEN
    if added is None or added:
        endpoints = Endpoint.objects.filter(
            organisation__in=organisations, is_active=True, verified_at__isnull=False
        )
        if added:
            endpoints = endpoints.filter(channel__in=added)
        for row in endpoints.values_list("organisation_id", "channel", "address"):
            yield Address(*row)
    if channels is None or "email" in channels:
        yield from _mailboxes(organisations)


def _mailboxes(organisations: QuerySet[Organisation]) -> Iterator[Address]:
    people = [
        *Contact.objects.filter(organisation__in=organisations, is_active=True).values_list(
            "organisation_id", "email"
        ),
        *User.objects.filter(organisation__in=organisations, is_active=True).values_list(
            "organisation_id", "email"
        ),
    ]
    for pk, email in people:
        yield Address(pk, "email", email.lower())


def languages(organisations: Collection[int]) -> dict[Address, str]:
    """In which language each mailbox of these members is written to; a user's own choice counts."""
    found: dict[Address, str] = {}
    for people in (Contact.objects, User.objects):
        rows = people.filter(organisation__in=organisations, is_active=True)
        for pk, email, language in rows.values_list("organisation_id", "email", "language"):
            found[Address(pk, "email", email.lower())] = language
    return found


def addresses_of(organisation: Organisation) -> list[Address]:
    """One member's."""
    return addresses(Organisation.objects.filter(pk=organisation.pk))


def still_listed(organisation: Organisation, channel: str, address: str) -> bool:
    """Whether the address is one of the member's today."""
    return Address(organisation.pk, channel, address) in addresses_of(organisation)
