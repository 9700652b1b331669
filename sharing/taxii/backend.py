"""medallion's storage port, over our store. What a caller may see comes from visibility alone.

Methods keep medallion 3.0.0's signatures: they take the raw query and return plain dictionaries,
with headers where the clause asks for them. Clause numbers are those of TAXII 2.1.
"""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import flask
import orjson
from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from medallion import auth
from medallion.backends.base import Backend
from medallion.exceptions import ProcessingError

from crc.members.models import ApiKey
from crc.members.roles import Scope
from sharing import visibility
from sharing.intake import accept, shelves_for
from sharing.models import Collection, Door, Placement, Submission
from sharing.store import Outcome
from sharing.taxii.paging import micros, moment, page, sealed

API_ROOT: Final = "crc"
MEDIA_TYPE: Final = "application/stix+json;version=2.1"
TAXII: Final = "application/taxii+json;version=2.1"
MAX_CONTENT_LENGTH: Final = 10 * 1024 * 1024
MAX_OBJECTS: Final = 10_000

Answer = dict[str, Any]
Headers = dict[str, str]
Query = dict[str, str]


def _key() -> ApiKey:
    """The caller (checked by medallion's login_required before any of this runs)."""
    key = auth.current_user()
    assert isinstance(key, ApiKey)  # noqa: S101 - None here would be an open door
    return key


class HubBackend(Backend):  # type: ignore[misc]
    """What medallion's views ask, answered from the database."""

    def server_discovery(self) -> Answer:
        """4.1. Relative roots are allowed, absolute ones survive clients that join them wrongly."""
        root = f"{settings.BASE_URL}/{API_ROOT}/"
        return {
            "title": settings.HUB_NAME,
            "description": "Early warnings between the tenants of a port",
            "default": root,
            "api_roots": [root],
        }

    def get_api_root_information(self, api_root: str) -> Answer | None:
        """4.2."""
        if api_root != API_ROOT:
            return None
        return {
            "title": settings.HUB_NAME,
            "description": "Shared collections, and an inbox for each member",
            "versions": [TAXII],
            "max_content_length": MAX_CONTENT_LENGTH,
        }

    def get_collections(self, api_root: str) -> Answer:
        """5.1: those the caller may read or write; an empty answer when there are none."""
        listed = [self._describe(collection) for collection in _known().values()]
        return {"collections": listed} if listed else {}

    def get_collection(self, api_root: str, collection_id: str) -> Answer | None:
        """5.2; None, which becomes 404, for what does not exist or is not the caller's to know."""
        collection = _known().get(collection_id)
        return self._describe(collection) if collection else None

    def _describe(self, collection: Collection) -> Answer:
        inbox = collection.kind == Collection.Kind.INBOX
        return {
            "id": str(collection.id),
            "title": collection.title,
            "description": collection.description,
            "alias": collection.alias,
            "can_read": not inbox,
            "can_write": inbox,
            "media_types": [MEDIA_TYPE],
        }

    def get_objects(
        self,
        api_root: str,
        collection_id: str,
        filter_args: Query,
        allowed_filters: tuple[str, ...],
        limit: int,
    ) -> tuple[Answer, Headers]:
        """5.4."""
        rows = _filtered(collection_id, filter_args, allowed_filters)
        return _envelope(rows, filter_args, collection_id)

    def get_object(
        self,
        api_root: str,
        collection_id: str,
        object_id: str,
        filter_args: Query,
        allowed_filters: tuple[str, ...],
        limit: int,
    ) -> tuple[Answer, Headers]:
        """5.6; 404 when no version of the object is in this collection."""
        _must_hold(collection_id, object_id)
        rows = _filtered(collection_id, filter_args, allowed_filters).filter(stix_id=object_id)
        return _envelope(rows, filter_args, f"{collection_id}/{object_id}")

    def get_object_manifest(
        self,
        api_root: str,
        collection_id: str,
        filter_args: Query,
        allowed_filters: tuple[str, ...],
        limit: int,
    ) -> tuple[Answer, Headers]:
        """5.3."""
        rows = _filtered(collection_id, filter_args, allowed_filters)
        return _paged(
            rows,
            ("date_added", "stix_id", "object__version_text"),
            filter_args,
            collection_id,
            name="objects",
            show=lambda added, stix_id, version: {
                "id": stix_id,
                "date_added": moment(added),
                "version": version or moment(added),
                "media_type": MEDIA_TYPE,
            },
        )

    def get_object_versions(
        self,
        api_root: str,
        collection_id: str,
        object_id: str,
        filter_args: Query,
        allowed_filters: tuple[str, ...],
        limit: int,
    ) -> tuple[Answer, Headers]:
        """5.8."""
        _must_hold(collection_id, object_id)
        every = {**filter_args, "match[version]": "all"}
        rows = _filtered(collection_id, every, (*allowed_filters, "version"))
        return _paged(
            rows.filter(stix_id=object_id),
            ("date_added", "object__version_text"),
            filter_args,
            f"{collection_id}/{object_id}/versions",
            name="versions",
            show=lambda added, version: version or moment(added),
        )

    def add_objects(
        self, api_root: str, collection_id: str, objs: Any, request_time: datetime
    ) -> Answer:
        """5.5: checked one by one; the status says what became of each."""
        if not isinstance(objs, dict) or not isinstance(objs.get("objects"), list):
            raise ProcessingError('Send an envelope: {"objects": [ ... ]}', 422)
        objects = objs["objects"]
        if not objects or len(objects) > MAX_OBJECTS:
            raise ProcessingError(f"Send between 1 and {MAX_OBJECTS} objects", 422)
        key = _key()
        submission = Submission(source=key.organisation, door=Door.TAXII)
        receipt = accept(
            objects, submission=submission, actor=key, into=shelves_for(key.organisation)
        )
        return _status(receipt.submission)

    def get_status(self, api_root: str, status_id: str) -> Answer | None:
        """4.3; None, which becomes 404, for anybody else's."""
        try:
            wanted = uuid.UUID(status_id)
        except ValueError:
            return None
        own = Submission.objects.filter(source=_key().organisation, door=Door.TAXII)
        submission = own.filter(pk=wanted).first()
        return _status(submission) if submission else None

    def delete_object(
        self,
        api_root: str,
        collection_id: str,
        obj_id: str,
        filter_args: Query,
        allowed_filters: tuple[str, ...],
    ) -> None:
        """5.7: no key may both read and write one collection, so medallion's own check refuses
        before this is reached."""
        raise ProcessingError("Objects are withdrawn by their creator, not deleted", 403)


def _known() -> dict[str, Collection]:
    """The caller's collections by id, asked of the database once a request."""
    if "collections" not in flask.g:
        key = _key()
        known: list[Collection] = []
        if key.allows(Scope.TAXII_READ):
            known += visibility.collections_for(key.organisation)
        if key.allows(Scope.TAXII_WRITE):
            known += visibility.inboxes_for(key.organisation)
        flask.g.collections = {str(collection.id): collection for collection in known}
    found: dict[str, Collection] = flask.g.collections
    return found


def _must_hold(collection_id: str, object_id: str) -> None:
    if not Placement.objects.filter(
        collection__id=uuid.UUID(collection_id), stix_id=object_id
    ).exists():
        raise ProcessingError("There is no such object in this collection", 404)


def _filtered(collection_id: str, query: Query, allowed: tuple[str, ...]) -> QuerySet[Placement]:
    """The placements that match (3.4). Values separated by commas are alternatives."""
    rows = Placement.objects.filter(collection__id=uuid.UUID(collection_id))
    wanted = {
        name.removeprefix("match[").removesuffix("]"): value.split(",")
        for name, value in query.items()
        if name.startswith("match[") and name.endswith("]")
    }
    unknown = sorted(set(wanted) - set(allowed))
    if unknown:
        raise ProcessingError(f"match[{unknown[0]}] cannot be used here", 400)
    if "id" in wanted:
        rows = rows.filter(stix_id__in=wanted["id"])
    if "type" in wanted:
        rows = rows.filter(object__type__in=wanted["type"])
    if "spec_version" in wanted:
        rows = rows.filter(object__spec_version__in=wanted["spec_version"])
    return rows.filter(_versions(wanted.get("version", ["last"])))


def _versions(wanted: list[str]) -> Q:
    """match[version]: ``last``, ``first``, ``all`` or exact versions (3.4.1)."""
    if "all" in wanted:
        return Q()
    chosen = Q(pk__in=[])
    for word in wanted:
        if word == "last":
            chosen |= Q(latest=True)
        elif word == "first":
            earlier = Placement.objects.filter(
                collection=OuterRef("collection"),
                stix_id=OuterRef("stix_id"),
                version__lt=OuterRef("version"),
            )
            chosen |= Q(~Exists(earlier))
        else:
            chosen |= Q(version=micros(word, name="match[version]"))
    return chosen


def _envelope(rows: QuerySet[Placement], query: Query, bound_to: str) -> tuple[Answer, Headers]:
    return _paged(
        rows,
        ("date_added", "object__body"),
        query,
        bound_to,
        name="objects",
        show=lambda added, body: orjson.Fragment(body),
    )


def _paged(
    rows: QuerySet[Placement],
    columns: tuple[str, ...],
    query: Query,
    bound_to: str,
    *,
    name: str,
    show: Callable[..., Any],
) -> tuple[Answer, Headers]:
    """One page (3.5): ``more`` and ``next`` together or not at all, dates only with content.

    5.3.1 lists no ``next`` for manifests; clients that are told ``more`` without it loop for ever.
    """
    bound = f"{_key().organisation_id}/{bound_to}"
    wanted = page(query, bound_to=bound)
    found = list(
        rows.filter(date_added__gt=wanted.after)
        .order_by("date_added")
        .values_list(*columns)[: wanted.limit + 1]
    )
    shown = found[: wanted.limit]
    if not shown:
        return {}, {}
    first, last = shown[0][0], shown[-1][0]
    answer: Answer = {}
    if len(found) > wanted.limit:
        answer = {"more": True, "next": sealed(last, bound_to=bound)}
    answer[name] = [show(*row) for row in shown]
    headers = {"X-TAXII-Date-Added-First": moment(first), "X-TAXII-Date-Added-Last": moment(last)}
    return answer, headers


def _status(submission: Submission) -> Answer:
    """A TAXII status resource (4.3.1) out of a receipt."""
    details: dict[str, list[Answer]] = {"successes": [], "failures": []}
    for stix_id, version, outcome, reason in submission.receipt:
        refused = outcome == Outcome.REFUSED
        detail = {"id": stix_id or "unknown", "version": version or moment(_received(submission))}
        if reason:
            detail["message"] = reason
        details["failures" if refused else "successes"].append(detail)
    counts = {"success": len(details["successes"]), "failure": len(details["failures"])}
    return {
        "id": str(submission.pk),
        "status": "complete",
        "request_timestamp": moment(_received(submission)),
        "total_count": len(submission.receipt),
        "success_count": counts["success"],
        "failure_count": counts["failure"],
        "pending_count": 0,
        **{name: found for name, found in details.items() if found},
    }


def _received(submission: Submission) -> int:
    return int(submission.received_at.timestamp() * 1_000_000)
