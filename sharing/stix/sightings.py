"""What a post of sightings says was seen: read object by object, before anything is counted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sharing.stix import reading
from sharing.stix.markings import Json
from sharing.stix.reading.identifiers import CONTRIBUTING
from sharing.stix.reading.moments import moment
from sharing.stix.values import observable_keys

# Clocks differ; what is said to come a little early has come now.
MAX_AHEAD_SECONDS: Final = 3_600
_REASONS: Final = 5
_OTHER_TYPE: Final = (
    "only sighting and observed-data with its observables are counted here; post the rest to your "
    "inbox"
)
_NOTHING_TO_COUNT: Final = (
    "names no address, domain, URL, e-mail address or file hash that came with it; send the "
    "observables in the same envelope"
)
_ALONE: Final = "no observed-data in this envelope that is counted names this observable"


@dataclass(slots=True)
class Seen:
    """That something was seen ``count`` times at ``at`` (seconds since the epoch); 0 is looked for
    and not seen.

    ``what`` is the id that was sighted; observed data has ``keys`` of its values instead, one tuple
    for each observable.
    """

    body: Json
    at: int
    count: int
    what: str = ""
    keys: tuple[tuple[str, ...], ...] = ()


@dataclass
class Reading:
    """One post read: what was seen, and each object that does not count with the reason."""

    seen: list[Seen] = field(default_factory=list)
    refused: list[tuple[Any, str]] = field(default_factory=list)
    beside: dict[str, Json] = field(default_factory=dict)

    def with_what_it_names(self, seen: Seen) -> Iterator[Json]:
        """A sighting with its observed data, observed data with its observables; as far as sent."""
        yield seen.body
        for name in ("observed_data_refs", "object_refs"):
            for ref in seen.body.get(name, ()):
                if ref in self.beside:
                    yield self.beside[ref]


def read(objects: Sequence[Any], *, now: int, oldest: int) -> Reading:
    """Check every object; what was seen before ``oldest`` or well after ``now`` is refused."""
    made = Reading()
    good = []
    for obj in objects:
        reason = _refusal(obj)
        if reason:
            made.refused.append((obj, reason))
        else:
            good.append(obj)
            if obj["type"] != "sighting":
                made.beside[obj["id"]] = obj
    named: set[str] = set()
    for obj in good:
        if obj["type"] not in CONTRIBUTING:
            _take(made, obj, named, now=now, oldest=oldest)
    made.refused += [
        (obj, _ALONE) for obj in good if obj["type"] in CONTRIBUTING and obj["id"] not in named
    ]
    return made


def _refusal(obj: Any) -> str:
    kind = obj.get("type") if isinstance(obj, dict) else None
    known = isinstance(kind, str) and (
        kind == "sighting" or kind == "observed-data" or kind in CONTRIBUTING
    )
    if isinstance(kind, str) and not known:
        return _OTHER_TYPE
    found = reading.problems(obj)
    return "; ".join(problem.message for problem in found[:_REASONS]) if found else ""


def _take(made: Reading, obj: Json, named: set[str], *, now: int, oldest: int) -> None:
    at = _at(obj, now)
    if at > now + MAX_AHEAD_SECONDS:
        made.refused.append((obj, "seen in the future; check the clock of the sensor"))
    elif at < oldest:
        made.refused.append((obj, "seen longer ago than the hub keeps counts"))
    elif obj["type"] == "sighting":
        what = obj["sighting_of_ref"].lower()
        made.seen.append(Seen(obj, min(at, now), obj.get("count", 1), what=what))
    else:
        refs = obj.get("object_refs", ())
        keys = tuple(found for ref in refs if (found := _keys(made.beside.get(ref))))
        if keys:
            named.update(refs)
            made.seen.append(Seen(obj, min(at, now), obj["number_observed"], keys=keys))
        else:
            made.refused.append((obj, _NOTHING_TO_COUNT))


def _keys(observable: Json | None) -> tuple[str, ...]:
    return tuple(observable_keys(observable)) if observable else ()


def _at(obj: Json, now: int) -> int:
    """When it was seen last; where that is not said, now."""
    for name in ("last_seen", "last_observed", "first_seen", "first_observed"):
        said = moment(obj[name]) if name in obj else None
        if said:
            return said[0]
    return now
