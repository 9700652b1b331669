"""From a query string to rows (3.4): what may be asked, and which placements answer it."""

import re
from collections.abc import Iterator
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet
from werkzeug.datastructures import MultiDict

from crc.members.models import ApiKey
from crc.members.roles import Markings
from sharing.models import Collection, Placement
from sharing.stix.markings import Tlp
from sharing.taxii.paging import BadQuery, Matches, Terms, micros

# Of one filter: a cursor holds them all, and has to fit into the next request.
MAX_TERMS: Final = 1_000
_FIELDS: Final = ("id", "type", "version", "spec_version")
_ONCE: Final = frozenset({"added_after", "limit", "next", *(f"match[{one}]" for one in _FIELDS)})
_SPEC_VERSION: Final = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
_WORDS: Final = frozenset({"first", "last"})


def single(arguments: "MultiDict[str, str]") -> dict[str, str]:
    """The parameters that mean something, each once. Raises BadQuery for a repeated one."""
    asked: dict[str, str] = {}
    for name, values in arguments.lists():
        if name not in _ONCE:
            continue
        if len(values) > 1:
            instead = "separate alternatives by commas" if "[" in name else "send one of them"
            raise BadQuery(f"{name} came {len(values)} times and may be given once; {instead}")
        if "\0" in values[0]:  # which PostgreSQL does not take
            raise BadQuery(f"{name} holds a NUL character, which nothing here does; leave it out")
        asked[name] = values[0]
    return asked


def matches(query: dict[str, str], allowed: tuple[str, ...]) -> Matches:
    """The match filters with their alternatives; fields nobody defined are passed over (3.4).

    Raises BadQuery for a field that has no meaning at this address, and for malformed values.
    """
    asked: Matches = {}
    for field in _FIELDS:
        text = query.get(f"match[{field}]")
        if text is None:
            continue
        if field not in allowed:
            raise BadQuery(f"match[{field}] cannot be used at this address; leave it out")
        if text.count(",") >= MAX_TERMS:
            raise BadQuery(f"match[{field}] takes {MAX_TERMS} alternatives at most")
        asked[field] = tuple(term.strip() for term in text.split(","))
        if not all(asked[field]):
            raise BadQuery(f"match[{field}] has an empty value; name one, or leave it out")
    _well_formed(asked)
    return asked


def _well_formed(asked: Matches) -> None:
    if not all(map(_SPEC_VERSION.fullmatch, asked.get("spec_version", ()))):
        raise BadQuery("match[spec_version] must be a version of STIX such as 2.1")
    if "version" in asked:
        chosen_versions(asked["version"])


def rows(
    collection: Collection, asked: Matches, *, key: ApiKey, stix_id: str = ""
) -> QuerySet[Placement]:
    """The placements in a collection that match, for this key."""
    found = in_collection(collection, key=key)
    if stix_id:
        found = found.filter(object__stix_id=stix_id)
    if "id" in asked:
        found = found.filter(object__stix_id__in=asked["id"])
    if "type" in asked:
        found = found.filter(object__type__in=asked["type"])
    if "spec_version" in asked:
        found = found.filter(object__spec_version__in=asked["spec_version"])
    return found.filter(chosen_versions(asked.get("version", ("last",))))


def in_collection(collection: Collection, *, key: ApiKey) -> QuerySet[Placement]:
    """Everything in a collection that may be given to this key.

    TLP 1 has no AMBER+STRICT. A tool that knows TLP 1 alone would take such an object for AMBER,
    which is wider, so it does not get it.
    """
    found = Placement.objects.filter(collection=collection)
    if key.markings == Markings.TLP1_2:
        found = found.filter(object__tlp__in=[tlp.value for tlp in Tlp.AMBER.up_to()])
    return found


def chosen_versions(terms: Terms) -> Q:
    """match[version]: ``last``, ``first``, exact versions, or ``all`` alone (3.4.1).

    ``first`` and ``last`` are those of the collection, whatever ``added_after`` says: counted from
    a cursor they would be others on every page. Raises BadQuery.
    """
    if terms == ("all",):
        return Q()
    if "all" in terms:
        raise BadQuery("match[version]=all cannot be combined with other versions")
    exact = [micros(term, name="match[version]") for term in terms if term not in _WORDS]
    if len(set(terms) & _WORDS) + len(set(exact)) < len(terms):
        raise BadQuery("match[version] names a version twice")
    if 0 in exact:
        exact.append(1)  # reading.facts: zero itself says that an object has no versions
    chosen = Q(pk__in=[])
    for part in _parts(terms, exact):
        chosen |= part
    return chosen


def _parts(terms: Terms, exact: list[int]) -> Iterator[Q]:
    if "last" in terms:
        yield Q(latest=True)
    if "first" in terms:
        earlier = Placement.objects.filter(
            collection=OuterRef("collection"),
            object__stix_id=OuterRef("object__stix_id"),
            version__lt=OuterRef("version"),
        )
        yield Q(~Exists(earlier))
    if exact:
        yield Q(version__in=exact)
