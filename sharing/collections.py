"""The shelves: which collections exist, and what travels with everything on them."""

from typing import Final

from crc.members.models import Group, Organisation
from crc.members.roles import PortRole
from sharing.models import Collection
from sharing.release import hub
from sharing.stix import compose, reading
from sharing.stix.markings import Tlp, definition
from sharing.store import Item, put

_SUFFIX: Final = {
    Tlp.CLEAR: "clear",
    Tlp.GREEN: "green",
    Tlp.AMBER: "amber",
    Tlp.AMBER_STRICT: "strict",
}
PUBLIC: Final = "public"
COMMUNITY: Final = "community"
DESK: Final = "desk"
SIGHTINGS: Final = "sightings"


def shelves(group: Group) -> list[Collection]:
    """The group's collections, made when missing: one for each marking it can hold."""
    levels = [Tlp.CLEAR] if group.slug == PUBLIC else [Tlp.GREEN, Tlp.AMBER, Tlp.AMBER_STRICT]
    return [
        _ensure(
            f"{group.slug}-{_SUFFIX[tlp]}",
            title=f"{group.title}: {tlp.label}",
            kind=Collection.Kind.SHELF,
            group=group,
            tlp=tlp.value,
        )
        for tlp in levels
    ]


def inbox(organisation: Organisation) -> Collection:
    """The member's write-only collection, made when missing."""
    return _ensure(
        f"inbox-{organisation.slug}",
        title=f"Inbox of {organisation.name}",
        kind=Collection.Kind.INBOX,
        owner=organisation,
    )


def sightings() -> Collection:
    """Where every member's tools post what they see; its posts are counted. Made when missing."""
    return _ensure(
        SIGHTINGS,
        title="Sightings",
        description="Post sighting and observed-data objects here; they are counted by the hour.",
        kind=Collection.Kind.SIGHTINGS,
    )


def desk() -> Collection:
    """The desk's collection of everything, made when missing."""
    return _ensure(DESK, title="Everything that came in", kind=Collection.Kind.DESK)


def _ensure(alias: str, **fields: object) -> Collection:
    collection, made = Collection.objects.get_or_create(alias=alias, defaults=fields)
    if made and collection.kind in (Collection.Kind.SHELF, Collection.Kind.DESK):
        _furnish(collection)
    return collection


def _furnish(collection: Collection) -> None:
    """TLP 2.0 markings are an extension, and the hub signs: both must be there before the rest."""
    first = [*(definition(tlp) for tlp in Tlp), compose.hub_identity(hub())]
    put([Item(obj, reading.facts(obj, default_tlp=Tlp.CLEAR)) for obj in first], into=[collection])


def ensure_desk_organisation(name: str) -> Organisation:
    """The hub's own organisation."""
    made, _ = Organisation.objects.get_or_create(
        slug=DESK, defaults={"name": name, "port_role": PortRole.DESK}
    )
    return made
