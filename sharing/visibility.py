"""Who may see what: the one answer.

Everything starts from :func:`levels`, the markings an organisation is cleared for. TAXII, lists,
pages and counters ask "what may this organisation see?"; warnings ask "who may see this?"; both
questions expand the same function, so they cannot disagree. Unknown and forbidden look the same.
"""

from typing import Final

from django.db.models import Q, QuerySet

from crc.members.models import Group, Organisation
from crc.members.roles import PortRole
from sharing.models import Collection, Placement, StixObject, Submission
from sharing.stix.markings import Tlp

_WRITE_ONLY: Final = (Collection.Kind.INBOX, Collection.Kind.SIGHTINGS)


def levels(*, port_role: str, ceiling: str) -> list[Tlp]:
    """The markings an organisation of this role and ceiling may see, laxest first.

    TLP:RED is for the people in the room: no ceiling opens it. AMBER+STRICT stops at the
    recipient's own organisation, so a service provider, who would act for others, is not one.
    """
    cleared: list[Tlp] = [tlp for tlp in Tlp(ceiling).up_to() if tlp is not Tlp.RED]
    if port_role == PortRole.SERVICE_PROVIDER:
        cleared = [tlp for tlp in cleared if tlp is not Tlp.AMBER_STRICT]
    return cleared


def collections_for(organisation: Organisation) -> QuerySet[Collection]:
    """The collections this organisation may read."""
    if not organisation.is_active:
        return Collection.objects.none()
    if organisation.is_desk:
        return Collection.objects.exclude(kind__in=_WRITE_ONLY)
    cleared = levels(port_role=organisation.port_role, ceiling=organisation.ceiling)
    groups = Group.objects.filter(Q(everyone=True) | Q(members=organisation))
    return Collection.objects.filter(
        kind=Collection.Kind.SHELF, tlp__in=[tlp.value for tlp in cleared], group__in=groups
    )


def writable_for(organisation: Organisation) -> QuerySet[Collection]:
    """The collections this organisation may write: its own inbox, and shelves opened to it."""
    if not organisation.is_active:
        return Collection.objects.none()
    inbox = Q(kind=Collection.Kind.INBOX, owner=organisation)
    shelves = Collection.writers.through.objects.filter(organisation=organisation)
    opened = Q(kind=Collection.Kind.SHELF, pk__in=shelves.values("collection"))
    return Collection.objects.filter(inbox | opened)


def counted_for(organisation: Organisation) -> QuerySet[Collection]:
    """Where this organisation may post sightings: the one collection for all."""
    if not organisation.is_active:
        return Collection.objects.none()
    return Collection.objects.filter(kind=Collection.Kind.SIGHTINGS)


def organisations_for(group: Group, tlp: Tlp) -> QuerySet[Organisation]:
    """The members who may see what is released to this group under this marking."""
    cleared = Q(pk__in=[])
    for role in PortRole.values:
        ceilings = [c.value for c in Tlp if tlp in levels(port_role=role, ceiling=c.value)]
        cleared |= Q(port_role=role, ceiling__in=ceilings)
    members = Organisation.objects.filter(cleared, is_active=True)
    return members if group.everyone else members.filter(audience_groups=group)


def may_see(organisation: Organisation, group: Group, tlp: Tlp) -> bool:
    """Whether this one organisation is among organisations_for(group, tlp)."""
    return organisations_for(group, tlp).filter(pk=organisation.pk).exists()


def placements_for(organisation: Organisation) -> QuerySet[Placement]:
    """What is on the shelves this organisation may read."""
    return Placement.objects.filter(collection__in=collections_for(organisation))


def objects_for(organisation: Organisation) -> QuerySet[StixObject]:
    """The object versions this organisation may see: on its shelves, or sent in by itself."""
    on_shelves = placements_for(organisation).values("object")
    return StixObject.objects.filter(Q(pk__in=on_shelves) | Q(submission__source=organisation))


def submissions_for(organisation: Organisation) -> QuerySet[Submission]:
    """The submissions whose private side this organisation may open: its own; the desk, all."""
    if organisation.is_desk:
        return Submission.objects.all()
    return Submission.objects.filter(source=organisation)
