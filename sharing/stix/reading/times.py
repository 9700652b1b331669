"""Times in an object: real, and in the order STIX gives."""

from collections.abc import Iterator, Mapping
from typing import Final

from sharing.stix.markings import Json
from sharing.stix.reading.columns import MAX_VERSION_CHARS
from sharing.stix.reading.moments import moment
from sharing.stix.reading.verdict import Problem

_SHOWN_CHARS: Final = 80

# Per type: the earlier, the later, whether they must differ.
_SEEN: Final = ("first_seen", "last_seen", False)
_IN_ORDER: Final[Mapping[str, tuple[str, str, bool]]] = {
    "campaign": _SEEN,
    "indicator": ("valid_from", "valid_until", True),
    "infrastructure": _SEEN,
    "intrusion-set": _SEEN,
    "malware": _SEEN,
    "malware-analysis": ("analysis_started", "analysis_ended", False),
    "network-traffic": ("start", "end", False),
    "observed-data": ("first_observed", "last_observed", False),
    "relationship": ("start_time", "stop_time", True),
    "sighting": _SEEN,
    "threat-actor": _SEEN,
    "x509-certificate": ("validity_not_before", "validity_not_after", False),
}
_FILE_TIMES: Final = ("ctime", "mtime", "atime")
_OTHER_TIMES: Final[Mapping[str, tuple[str, ...]]] = {
    "directory": _FILE_TIMES,
    "email-message": ("date",),
    "file": _FILE_TIMES,
    "language-content": ("object_modified",),
    "malware-analysis": ("submitted",),
    "process": ("created_time",),
    "report": ("published",),
    "user-account": (
        "account_created",
        "account_expires",
        "credential_last_changed",
        "account_first_login",
        "account_last_login",
    ),
    "windows-registry-key": ("modified_time",),
}
_NESTED_TIMES: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "file": ("extensions", "windows-pebinary-ext", ("time_date_stamp",)),
    "x509-certificate": (
        "x509_v3_extensions",
        "",
        ("private_key_usage_period_not_before", "private_key_usage_period_not_after"),
    ),
}


def problems(obj: Json) -> Iterator[Problem]:
    """Days that do not exist, ends before beginnings."""
    yield from _ordered(obj, "created", "modified")
    kind = obj["type"]
    if kind in _IN_ORDER:
        earlier, later, strictly = _IN_ORDER[kind]
        yield from _ordered(obj, earlier, later, strictly=strictly)
    for name in _OTHER_TIMES.get(kind, ()):
        yield from _real(obj, name)
    if kind in _NESTED_TIMES:
        outer, inner, names = _NESTED_TIMES[kind]
        part = obj.get(outer, {})
        part = part.get(inner, {}) if inner else part
        for name in names:
            yield from _real(part, name)


def _ordered(obj: Json, earlier: str, later: str, *, strictly: bool = False) -> Iterator[Problem]:
    unreal = [*_real(obj, earlier), *_real(obj, later)]
    yield from unreal
    if unreal or earlier not in obj or later not in obj:
        return
    first, second = moment(obj[earlier]), moment(obj[later])
    if first and second and (second < first or (strictly and second == first)):
        word = "must be later than" if strictly else "must not be before"
        yield Problem(_slug(earlier, later), f"{later} ({obj[later]}) {word} {earlier} "
                                             f"({obj[earlier]})")  # fmt: skip


def _slug(earlier: str, later: str) -> str:
    return f"{later}-before-{earlier}".replace("_", "-")


def _real(part: Json, name: str) -> Iterator[Problem]:
    text = part.get(name)
    if not isinstance(text, str):
        return
    if len(text) > MAX_VERSION_CHARS:
        most = f"{MAX_VERSION_CHARS} are the most"
        yield Problem("long-time", f"{name} has {len(text)} characters; {most}")
    elif moment(text) is None:
        yield Problem("bad-time", f"{name} ({text[:_SHOWN_CHARS]}) is a day that does not exist")
