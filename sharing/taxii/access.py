"""The caller, and the collections it may know of; visibility decides, scopes narrow it down."""

from dataclasses import dataclass

import flask
from medallion import auth
from medallion.exceptions import ProcessingError

from crc.members.models import ApiKey
from crc.members.roles import Scope
from sharing import visibility
from sharing.models import Collection


@dataclass
class Access:
    """One collection, and what the caller may do with it."""

    collection: Collection
    can_read: bool = False
    can_write: bool = False


def caller() -> ApiKey:
    """The key of this request (checked by medallion's login_required before any of this runs)."""
    key = auth.current_user()
    assert isinstance(key, ApiKey)  # noqa: S101 - None here would be an open door
    return key


def known() -> list[Access]:
    """The caller's collections in a stable order, asked of the database once a request."""
    if "collections" not in flask.g:
        flask.g.collections = _known(caller())
    found: list[Access] = flask.g.collections
    return found


def _known(key: ApiKey) -> list[Access]:
    found: dict[str, Access] = {}
    if key.allows(Scope.TAXII_READ):
        for collection in visibility.collections_for(key.organisation):
            found[collection.alias] = Access(collection, can_read=True)
    if key.allows(Scope.TAXII_WRITE):
        for collection in visibility.writable_for(key.organisation):
            found.setdefault(collection.alias, Access(collection)).can_write = True
    if key.allows(Scope.SIGHTINGS_WRITE):
        for collection in visibility.counted_for(key.organisation):
            found[collection.alias] = Access(collection, can_write=True)
    return [found[alias] for alias in sorted(found)]


def find(name: str) -> Access | None:
    """The caller's collection of this id or alias (5.2.1)."""
    lowered = name.lower()
    for access in known():
        if lowered == str(access.collection.pk) or name == access.collection.alias:
            return access
    return None


def collection(name: str) -> Collection:
    """The collection itself. Raises ProcessingError, 404."""
    access = find(name)
    if access is None:
        raise ProcessingError("Collection not found", 404)
    return access.collection
