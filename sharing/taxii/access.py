"""The caller, and the collections it may know of; visibility decides, scopes narrow it down.

A tool asks every few seconds and nearly always under the same key, so what was found out about a
key is remembered, by the key's digest, for as long as sharing.freshness says that it holds.
"""

import hashlib
import re
import uuid
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import Any, Final

import flask
from medallion import auth
from medallion.exceptions import ProcessingError

from crc.members.models import ApiKey
from crc.members.roles import Scope
from sharing import freshness, visibility
from sharing.freshness import State
from sharing.models import Collection
from sharing.taxii.negotiation import STIX

MAX_REMEMBERED: Final = 5_000
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass
class Access:
    """One collection, and what the caller may do with it."""

    collection: Collection
    can_read: bool = False
    can_write: bool = False

    @cached_property
    def described(self) -> dict[str, Any]:
        """The collection resource (5.2.1); what is empty is left out."""
        said = {
            "id": str(self.collection.id),
            "title": self.collection.title,
            "description": self.collection.description,
            "alias": self.collection.alias,
            "can_read": self.can_read,
            "can_write": self.can_write,
            "media_types": [STIX],
        }
        return {name: value for name, value in said.items() if value != ""}


@dataclass(frozen=True)
class _Caller:
    """A key, its collections by id and by alias in a stable order, and when this was so."""

    key: ApiKey
    known: list[Access]
    names: dict[str, Access]
    access: int


_remembered: OrderedDict[str, _Caller] = OrderedDict()
_guard: Final = Lock()


def sign_in(token: str) -> ApiKey | None:
    """The live key that this text is, or None. Sets the stage for the rest of the request."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    before = _remembered.get(digest)
    wanted = (flask.request.view_args or {}).get("collection_id", "")
    state = freshness.look(_id_of(wanted, before))
    if before is None or before.access != state.access or not before.key.is_live:
        before = _asked(token, digest, state.access)
        if before is None:
            return None
        if wanted and not state.newest:
            # What is known of the key is as old as it was: a change in between counts next time.
            state = replace(freshness.look(_id_of(wanted, before)), access=state.access)
    else:
        before.key.touch()
    flask.g.caller, flask.g.state = before, state
    return before.key


def _asked(token: str, digest: str, access: int) -> _Caller | None:
    """What the database knows of a key, remembered from now on."""
    key = ApiKey.authenticate(token)
    if key is None:
        with _guard:
            _remembered.pop(digest, None)
        return None
    known = _known(key)
    names = {name: one for one in known for name in (str(one.collection.pk), one.collection.alias)}
    found = _Caller(key, known, names, access)
    with _guard:
        _remembered[digest] = found
        _remembered.move_to_end(digest)
        while len(_remembered) > MAX_REMEMBERED:
            _remembered.popitem(last=False)
    return found


def _id_of(name: str, found: _Caller | None) -> uuid.UUID | None:
    if _UUID.fullmatch(name):
        return uuid.UUID(name)
    one = found.names.get(name) if found else None
    return one.collection.pk if one else None


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


def caller() -> ApiKey:
    """The key of this request (checked by medallion's login_required before any of this runs)."""
    key = auth.current_user()
    assert isinstance(key, ApiKey)  # noqa: S101 - None here would be an open door
    return key


def state() -> State:
    """How fresh the collection of this request is."""
    found: State = flask.g.state
    return found


def known() -> list[Access]:
    """The caller's collections in a stable order."""
    found: _Caller = flask.g.caller
    return found.known


def find(name: str) -> Access | None:
    """The caller's collection of this id or alias (5.2.1)."""
    found: _Caller = flask.g.caller
    one = found.names.get(name)
    if one is None and (pk := _id_of(name, None)):
        one = found.names.get(str(pk))
    return one


def collection(name: str) -> Collection:
    """The collection itself. Raises ProcessingError, 404."""
    access = find(name)
    if access is None:
        raise ProcessingError("Collection not found", 404)
    return access.collection
