"""medallion's storage port, over our store. What a caller may see comes from visibility alone.

Methods keep medallion 3.0.0's signatures and return plain dictionaries, with headers where the
clause asks for them; the query itself is read from the request, whose repeated parameters medallion
drops. Clause numbers are those of TAXII 2.1.
"""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import flask
import orjson
from django.conf import settings
from django.db.models import Q, QuerySet
from medallion.backends.base import Backend
from medallion.exceptions import ProcessingError
from werkzeug.exceptions import ServiceUnavailable

from crc import timelimit
from crc.members.models import ApiKey
from crc.members.roles import Markings
from sharing import envelopes, intake, tasks
from sharing.addresses import API_ROOT
from sharing.models import Collection, Door, Envelope, Placement, SightingPost, Submission
from sharing.segments import told
from sharing.taxii import access, answers, pages, query, status
from sharing.taxii.negotiation import (
    MAX_CONTENT_LENGTH,
    STIX,
    TAXII,
    WORTH_COMPRESSING,
    takes_gzip,
)
from sharing.taxii.pages import Ready
from sharing.taxii.paging import Matches, Page, cut, moment, page
from sharing.taxii.serving import served
from sharing.taxii.turns import turn
from sharing.tooluse import recording

# For who posts faster than the workers take in.
RETRY_SECONDS: Final = 60
NOT_FOUND: Final = (
    f"There is no such thing here, or this key may not know of it. /{API_ROOT}/collections/ lists "
    "what it may read or post to; to post takes the scope taxii:write, or sightings:write."
)

Answer = dict[str, Any]
Headers = dict[str, str]
Query = dict[str, str]
Allowed = tuple[str, ...]
# One row of a page as JSON; the first column of every row is its date_added.
Show = Callable[..., Any]


class HubBackend(Backend):  # type: ignore[misc]
    """What medallion's views ask, answered from the database."""

    def server_discovery(self) -> Answer:
        """4.1. Absolute roots survive clients that join them wrongly, but must be https (4.1.1)."""
        root = f"{settings.BASE_URL if settings.SECURE else ''}/{API_ROOT}/"
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
        listed = [found.described for found in access.known()]
        return {"collections": listed} if listed else {}

    def get_collection(self, api_root: str, collection_id: str) -> Answer | None:
        """5.2; None, which becomes 404, for what does not exist or is not the caller's to know."""
        found = access.find(collection_id)
        return found.described if found else None

    def get_objects(
        self, api_root: str, collection_id: str, args: Query, allowed: Allowed, limit: int
    ) -> tuple[Ready | Answer, Headers]:
        """5.4."""
        asked = _Asked("objects", collection_id, allowed)
        return _whole(asked) if asked.is_plain else _objects(asked)

    def get_object(
        self,
        api_root: str,
        collection_id: str,
        object_id: str,
        args: Query,
        allowed: Allowed,
        limit: int,
    ) -> tuple[Answer, Headers]:
        """5.6; 404 when no version of the object is in this collection."""
        return _objects(_Asked("objects", collection_id, allowed, object_id))

    def get_object_manifest(
        self, api_root: str, collection_id: str, args: Query, allowed: Allowed, limit: int
    ) -> tuple[Answer, Headers]:
        """5.3."""
        return _paged(
            _Asked("manifest", collection_id, allowed),
            ("date_added", "object__stix_id", "object__version_text"),
            show=lambda added, stix_id, version: {
                "id": stix_id,
                "date_added": moment(added),
                "version": version or status.NO_VERSION,
                "media_type": STIX,
            },
            name="objects",
        )

    def get_object_versions(
        self,
        api_root: str,
        collection_id: str,
        object_id: str,
        args: Query,
        allowed: Allowed,
        limit: int,
    ) -> tuple[Answer, Headers]:
        """5.8."""
        return _paged(
            _Asked("versions", collection_id, allowed, object_id, every_version=True),
            ("date_added", "object__version_text"),
            show=lambda added, version: version or status.NO_VERSION,
            name="versions",
        )

    def add_objects(
        self, api_root: str, collection_id: str, objs: Any, request_time: datetime
    ) -> Answer:
        """5.5: checked one by one; the status says what became of each, or will."""
        try:
            objects = envelopes.unpack(objs)
        except envelopes.NotAnEnvelope as wrong:
            raise ProcessingError(str(wrong), 422) from None
        body = flask.request.get_data()
        key, collection = access.caller(), access.collection(collection_id)
        if collection.kind == Collection.Kind.SIGHTINGS:
            counted = intake.count_sightings(objects, body=body, source=key.organisation, actor=key)
            return status.counted(counted)
        if envelopes.must_wait(objects, len(body)):
            return _left(body, len(objects), collection, key)
        goes_to = intake.destination(collection, key.organisation)
        with turn(key.organisation_id):
            receipt = intake.accept(
                objects,
                submission=Submission(source=key.organisation, door=Door.TAXII),
                actor=key,
                into=goes_to.into,
                default_tlp=goes_to.default_tlp,
                at_most=goes_to.at_most,
            )
        return status.complete(receipt.submission)

    def get_status(self, api_root: str, status_id: str) -> Answer | None:
        """4.3; None, which becomes 404, for anybody else's."""
        try:
            wanted = uuid.UUID(status_id)
        except ValueError:
            return None
        own = {"pk": wanted, "source": access.caller().organisation}
        # In this order: an envelope that is gone by now has become a submission.
        envelope = Envelope.objects.filter(**own).defer("body").first()
        if envelope:
            return status.pending(envelope)
        submission = Submission.objects.filter(**own, door=Door.TAXII).first()
        if submission:
            return status.complete(submission)
        post = SightingPost.objects.filter(**own).first()
        return status.counted(post) if post else None

    def delete_object(
        self, api_root: str, collection_id: str, obj_id: str, args: Query, allowed: Allowed
    ) -> None:
        """5.7: every version, or those that match. medallion has checked can_read and can_write."""
        key, collection = access.caller(), access.collection(collection_id)
        wanted = query.matches(query.single(flask.request.args), allowed)
        which = query.chosen_versions(wanted.get("version", ("all",)))
        if "spec_version" in wanted:
            which &= Q(object__spec_version__in=wanted["spec_version"])
        chosen = query.in_collection(collection, key=key).filter(which, object__stix_id=obj_id)
        try:
            taken = intake.take_back(chosen, collection, obj_id, actor=key)
        except intake.NotYours as reason:
            raise ProcessingError(str(reason), 403) from None
        if not taken:
            raise ProcessingError(NOT_FOUND, 404)


def _left(body: bytes, objects: int, collection: Collection, key: ApiKey) -> Answer:
    try:
        left = envelopes.leave(body, objects=objects, collection=collection, key=key)
    except envelopes.TooManyWait:
        raise ServiceUnavailable(
            f"{envelopes.MAX_WAITING} large posts of yours wait to be taken in; "
            "nothing was stored. Send this one again when their status says complete.",
            retry_after=RETRY_SECONDS,
        ) from None
    tasks.ring_for(left)
    return status.pending(left)


class _Asked:
    """One read of a collection: which rows, and which page of them. Raises BadQuery and 404."""

    def __init__(
        self,
        endpoint: str,
        collection_id: str,
        allowed: Allowed,
        stix_id: str = "",
        *,
        every_version: bool = False,
    ) -> None:
        self.key: ApiKey = access.caller()
        self.collection: Collection = access.collection(collection_id)
        self.stix_id = stix_id
        self._every_version = every_version
        self.bound_to = f"{self.key.organisation_id}/{self.collection.pk}/{endpoint}/{self.stix_id}"
        asked = query.single(flask.request.args)
        matches = query.matches(asked, allowed)
        self.page: Page = page(asked, matches, bound_to=self.bound_to)

    @property
    def is_plain(self) -> bool:
        """Whether everything newest is asked for, in the form in which it is kept."""
        return not self.page.matches and self.key.markings == Markings.TLP2

    def rows(self) -> QuerySet[Placement]:
        """What matches and comes after the cursor, oldest first (3.3)."""
        matches: Matches = self.page.matches
        if self._every_version:
            matches = {**matches, "version": ("all",)}
        found = query.rows(self.collection, matches, key=self.key, stix_id=self.stix_id)
        return found.filter(date_added__gt=self.page.after).order_by("date_added")

    def must_hold_the_object(self) -> None:
        """5.6: nothing left after filters is an empty answer; no such object is 404."""
        here = query.in_collection(self.collection, key=self.key)
        if self.stix_id and not here.filter(object__stix_id=self.stix_id).exists():
            raise ProcessingError(NOT_FOUND, 404)


def _whole(asked: _Asked) -> tuple[Ready | Answer, Headers]:
    """5.4 without filters, which is what tools ask for all day."""

    def rows(after: int, limit: int) -> list[tuple[int, bytes]]:
        found = query.rows(asked.collection, {}, key=asked.key).filter(date_added__gt=after)
        columns = found.order_by("date_added").values_list(
            "date_added", "object__lacks_spec_version", "object__body"
        )
        with timelimit.within(settings.TAXII_QUERY_SECONDS):
            return [
                (added, told(body.encode(), lacks_spec_version=lacks))
                for added, lacks, body in columns[:limit]
            ]

    state = access.state()
    ready = pages.whole(asked.collection, asked.page, state, rows=rows, bound_to=asked.bound_to)
    flask.g.grounds = answers.Grounds(asked.key, asked.collection, state, ready.count)
    recording.served(ready.count)
    if not ready.body:
        return {}, _nothing_new(asked.page)
    headers = _dates(ready.first, ready.last)
    if len(ready.body) >= WORTH_COMPRESSING and takes_gzip(flask.request.environ):
        headers["Content-Encoding"] = "gzip"
        return replace(ready, body=ready.packed), headers
    return ready, headers


def _objects(asked: _Asked) -> tuple[Answer, Headers]:
    def bytes_of(added: int, lacks_spec_version: bool, body: str) -> bytes:
        return served(body.encode(), lacks_spec_version=lacks_spec_version, key=asked.key)

    columns = ("date_added", "object__lacks_spec_version", "object__body")
    answer, headers = _paged(asked, columns, show=bytes_of, name="objects", weigh=len)
    if answer:
        answer["objects"] = [orjson.Fragment(body) for body in answer["objects"]]
    return answer, headers


def _paged(
    asked: _Asked,
    columns: tuple[str, ...],
    *,
    show: Show,
    name: str,
    weigh: Callable[[Any], int] | None = None,
) -> tuple[Answer, Headers]:
    """One page (3.5): ``more`` and ``next`` together or not at all.

    5.3.1 lists no ``next`` for manifests; clients that are told ``more`` without it loop for ever.
    """
    with timelimit.within(settings.TAXII_QUERY_SECONDS):
        asked.must_hold_the_object()
        # One more than wanted tells whether there is more; in chunks, as bodies may be large.
        found = asked.rows().values_list(*columns)[: asked.page.limit + 1].iterator(chunk_size=100)
        shown, more = cut(((row[0], show(*row)) for row in found), asked.page, weigh=weigh)
    recording.served(len(shown))
    if not shown:
        return {}, _nothing_new(asked.page)
    first, last = shown[0][0], shown[-1][0]
    answer: Answer = {}
    if more:
        answer = {"more": True, "next": asked.page.continued(last, bound_to=asked.bound_to)}
    answer[name] = [item for _, item in shown]
    return answer, _dates(first, last)


def _dates(first: int, last: int) -> Headers:
    """3.2."""
    return {"X-TAXII-Date-Added-First": moment(first), "X-TAXII-Date-Added-Last": moment(last)}


def _nothing_new(asked: Page) -> Headers:
    """On an empty page, how far the client has got: OpenCTI asks from *now* when told nothing."""
    if asked.known is None:
        return {}
    reached = moment(asked.known)
    return {"X-TAXII-Date-Added-First": reached, "X-TAXII-Date-Added-Last": reached}
