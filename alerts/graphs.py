"""STIX graphs as the desk's pages list them: the beginning of each, and the whole to download."""

import uuid
from dataclasses import dataclass
from typing import Final

import orjson
from django.conf import settings
from django.db.models import Case, QuerySet, Value, When
from django.utils.translation import gettext as _

from sharing.models import Placement, Release, StixObject, Submission
from sharing.stix.markings import Json

# A case may hold thousands of objects; a page on a telephone lists so many of them.
LISTED: Final = 50
# And shows so many before somebody asks for the others.
SHOWN: Final = 20
# An incident refers to all that belongs to it; so much of one object's JSON is on a page.
MAX_JSON: Final = 4_000
# A statement holds only so many values.
_BATCH: Final = 500
# What tells most comes first; what every graph has, last.
_PLACES: Final = {
    "incident": 0,
    "report": 0,
    "indicator": 1,
    "sighting": 1,
    "relationship": 3,
    "marking-definition": 3,
}
_BETWEEN: Final = 2


@dataclass(frozen=True)
class Row:
    """One object on a page."""

    type: str
    name: str
    json: str


@dataclass(frozen=True)
class Listing:
    """The first ``LISTED`` of ``total`` objects."""

    rows: list[Row]
    total: int

    @property
    def shown(self) -> list[Row]:
        """What is to be seen at once."""
        return self.rows[:SHOWN]

    @property
    def folded(self) -> list[Row]:
        """What one click shows."""
        return self.rows[SHOWN:]

    @property
    def unlisted(self) -> int:
        """How many are in the download alone."""
        return self.total - len(self.rows)


def listing(graph: list[Json]) -> Listing:
    """A graph at hand."""
    ordered = sorted(graph, key=lambda obj: _PLACES.get(obj["type"], _BETWEEN))
    return Listing(_rows(ordered[:LISTED]), len(graph))


def private_listing(submission: Submission) -> Listing:
    """A submission's graph; only what is listed is read."""
    ids = _private_ids(submission)
    return Listing(_rows(_private(submission, ids[:LISTED])), len(ids))


def private_graph(submission: Submission) -> list[Json]:
    """The whole of it."""
    return _private(submission, _private_ids(submission))


def released_listing(made: Release) -> Listing:
    """A release's graph; only what is listed is read."""
    place = Case(
        *(When(type=name, then=Value(place)) for name, place in _PLACES.items()),
        default=Value(_BETWEEN),
    )
    newest = _newest(made)
    first = newest.order_by(place, "pk")[:LISTED]
    return Listing(_rows([orjson.loads(obj.body) for obj in first]), newest.count())


def released_graph(made: Release) -> list[Json]:
    """The whole of it."""
    return [orjson.loads(obj.body) for obj in _newest(made).order_by("pk")]


def _newest(made: Release) -> QuerySet[StixObject]:
    """As readers get it: of each object the last version."""
    placed = Placement.objects.filter(object__release=made, latest=True)
    return StixObject.objects.filter(pk__in=placed.values("object"))


def bundle(graph: list[Json]) -> bytes:
    """The graph as a file that STIX tools open."""
    whole = {"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": graph}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2)


def _private_ids(submission: Submission) -> list[str]:
    """Those that the receipt lists, each once."""
    ids = dict.fromkeys(entry[0] for entry in submission.receipt)
    return sorted(ids, key=lambda stix_id: _PLACES.get(stix_id.partition("--")[0], _BETWEEN))


def _private(submission: Submission, ids: list[str]) -> list[Json]:
    """These objects of a submission; shared ones may have come with an earlier one."""
    found: dict[str, StixObject] = {}
    for start in range(0, len(ids), _BATCH):
        some = ids[start : start + _BATCH]
        known = StixObject.objects.filter(stix_id__in=some, release=None)
        found |= {obj.stix_id: obj for obj in known.order_by("submission_id")}
        found |= {obj.stix_id: obj for obj in submission.stix_objects.filter(stix_id__in=some)}
    return [orjson.loads(found[stix_id].body) for stix_id in ids if stix_id in found]


def _rows(graph: list[Json]) -> list[Row]:
    names = {obj["id"]: obj.get("name") or obj.get("value") or obj["type"] for obj in graph}
    return [Row(obj["type"], _name(obj, names), _json(obj)) for obj in graph]


def _json(obj: Json) -> str:
    text = orjson.dumps(obj, option=orjson.OPT_INDENT_2).decode()
    if len(text) <= MAX_JSON:
        return text
    return _("%(text)s\n… cut off here; the download has it whole.") % {"text": text[:MAX_JSON]}


def _name(obj: Json, names: dict[str, str]) -> str:
    """What an object is called on the page; links are told by their ends."""
    if obj["type"] == "relationship":
        source, target = (
            names.get(obj[end]) or obj[end].partition("--")[0]
            for end in ("source_ref", "target_ref")
        )
        return f"{source} {obj['relationship_type']} {target}"
    if obj["type"] == "sighting":
        seen = names.get(obj["sighting_of_ref"]) or _("An indicator")
        return _("%(name)s seen by %(count)s members") % {
            "name": seen,
            "count": obj.get("count", 1),
        }
    if obj["type"] == "language-content":
        # The languages' own names: the reader may know no other.
        told = dict(settings.LANGUAGES)
        return ", ".join(
            f"{told.get(code, code)}: {words.get('name', '')}"
            for code, words in obj["contents"].items()
        )
    if "object_refs" in obj and "name" not in obj:
        return _("of %(count)s objects") % {"count": len(obj["object_refs"])}
    hashes = obj.get("hashes") or {"": ""}
    return str(obj.get("name") or obj.get("value") or next(iter(hashes.values())))
