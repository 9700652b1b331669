"""From one report, two graphs.

The private graph says everything to the source and the desk. The release graph is made for others:
new ids, another creator, no text of the reporter, times no finer than the day. It is built again
from the report, never cut down from the private one (STIX 3.5: what differs needs a new id).
"""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import stix2

from sharing.stix.extract import Indicator, IndicatorKind
from sharing.stix.markings import MARKING_IDS, Json, Tlp, definition
from sharing.stix.port import ATTACKS, IMPACTS, SYSTEMS, Impact
from sharing.stix.report import IncidentReport, Reporter

INCIDENT_CORE: Final = "extension-definition--ef765651-680c-498d-9894-99799f2fa126"
SOURCE: Final = "port-cyber-resilience-hub"

# kind -> (SCO type, how its value is written in a pattern)
_SCO: Final[dict[IndicatorKind, tuple[str, str]]] = {
    IndicatorKind.IPV4: ("ipv4-addr", "ipv4-addr:value"),
    IndicatorKind.IPV6: ("ipv6-addr", "ipv6-addr:value"),
    IndicatorKind.DOMAIN: ("domain-name", "domain-name:value"),
    IndicatorKind.URL: ("url", "url:value"),
    IndicatorKind.EMAIL: ("email-addr", "email-addr:value"),
    IndicatorKind.MD5: ("file", "file:hashes.'MD5'"),
    IndicatorKind.SHA1: ("file", "file:hashes.'SHA-1'"),
    IndicatorKind.SHA256: ("file", "file:hashes.'SHA-256'"),
}
_HASH_NAME: Final = {
    IndicatorKind.MD5: "MD5",
    IndicatorKind.SHA1: "SHA-1",
    IndicatorKind.SHA256: "SHA-256",
}
_KIND_WORDS: Final = {
    IndicatorKind.IPV4: "Address",
    IndicatorKind.IPV6: "Address",
    IndicatorKind.DOMAIN: "Domain",
    IndicatorKind.URL: "Web address",
    IndicatorKind.EMAIL: "Mail address",
    IndicatorKind.MD5: "File",
    IndicatorKind.SHA1: "File",
    IndicatorKind.SHA256: "File",
}


@dataclass(frozen=True)
class Hub:
    """The hub as STIX names it."""

    identity_id: str
    name: str
    created: datetime


@dataclass(frozen=True)
class Words:
    """What a person reads of a release."""

    title: str
    advice: str = ""

    @property
    def properties(self) -> dict[str, str]:
        """As an incident or a report says it."""
        return {"name": self.title, "description": self.advice or self.title}


@dataclass(frozen=True)
class ReleaseTerms:
    """How a release is made. ``named_as`` is the member's name when it agreed to be named;
    ``translated`` are its words in other languages."""

    tlp: Tlp
    words: Words
    released_at: datetime
    translated: Mapping[str, Words] = field(default_factory=dict)
    valid_days: int = 90
    named_as: str = ""


@dataclass(frozen=True)
class _Maker:
    """Makes objects that share creator, time and marking."""

    creator: str
    at: datetime
    tlp: Tlp

    def sdo(self, kind: Any, **properties: Any) -> Json:
        """A domain or relationship object with a fresh id."""
        return _plain(
            kind(
                id=f"{kind._type}--{uuid.uuid4()}",
                created_by_ref=self.creator,
                created=self.at,
                modified=self.at,
                object_marking_refs=[MARKING_IDS[self.tlp]],
                allow_custom=True,
                **properties,
            )
        )

    def link(self, source: Json, verb: str, target: Json) -> Json:
        """A relationship."""
        return self.sdo(
            stix2.v21.Relationship,
            relationship_type=verb,
            source_ref=source["id"],
            target_ref=target["id"],
        )

    def sco(self, indicator: Indicator) -> Json:
        """The observable of an indicator, under its deterministic id."""
        kind = _SCO[indicator.kind][0]
        marked: dict[str, Any] = {"object_marking_refs": [MARKING_IDS[self.tlp]]}
        if kind == "file":
            marked["hashes"] = {_HASH_NAME[indicator.kind]: indicator.value}
        else:
            marked["value"] = indicator.value
        return {**_plain(stix2.v21.OBJ_MAP_OBSERVABLE[kind](**marked)), "spec_version": "2.1"}


def _plain(obj: Any) -> Json:
    made: Json = orjson.loads(obj.serialize())
    return made


def _millis(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def hub_identity(hub: Hub) -> Json:
    """The hub's identity: its own creator, and clear, for it travels with everything."""
    return _identity(hub.identity_id, hub.name, _millis(hub.created), Tlp.CLEAR)


def reporter_identity(reporter: Reporter) -> Json:
    """A member's own identity; it appears in private graphs alone."""
    return _identity(
        reporter.identity_id,
        reporter.name,
        _millis(reporter.since),
        Tlp.AMBER_STRICT,
        roles=[reporter.port_role],
    )


def _identity(identity_id: str, name: str, at: datetime, tlp: Tlp, **more: Any) -> Json:
    return _plain(
        stix2.v21.Identity(
            id=identity_id,
            created_by_ref=identity_id,
            created=at,
            modified=at,
            name=name,
            identity_class="organization",
            sectors=["transportation"],
            object_marking_refs=[MARKING_IDS[tlp]],
            **more,
        )
    )


def private_graph(report: IncidentReport) -> list[Json]:
    """Everything the report says, by its reporter, under its own marking."""
    identity = reporter_identity(report.reporter)
    make = _Maker(report.reporter.identity_id, _millis(report.reported_at), report.tlp)
    incident = make.sdo(
        stix2.v21.Incident,
        name=f"{ATTACKS[report.attack].label} ({report.reference})",
        description=report.narrative or ATTACKS[report.attack].label,
        **_lang(report.narrative),
        external_references=[{"source_name": SOURCE, "external_id": report.reference}],
        extensions={INCIDENT_CORE: _incident_core(report)},
    )
    systems = [
        make.sdo(
            stix2.v21.Infrastructure,
            name=SYSTEMS[system].label,
            infrastructure_types=[SYSTEMS[system].infrastructure_type],
            description=f"{IMPACTS[impact].label} at {report.reporter.name}",
        )
        for system, impact in report.systems.items()
    ]
    noticed = _millis(report.noticed_at)
    technical = _technical(make, report, report.indicators, seen=noticed, valid_days=90)
    links = [make.link(incident, "impacts", system) for system in systems]
    links += [
        make.link(obj, "related-to", incident)
        for obj in technical
        if obj["type"] in {"indicator", "vulnerability"}
    ]
    markings = [
        definition(tlp) for tlp in sorted({report.tlp, Tlp.AMBER_STRICT}, key=lambda tlp: tlp.rank)
    ]
    return [*markings, identity, incident, *systems, *technical, *links]


def _incident_core(report: IncidentReport) -> Json:
    """The subset of the incident extension that all its published shapes share."""
    worst = max((IMPACTS[impact].availability for impact in report.systems.values()), default=0)
    return {
        "extension_type": "property-extension",
        "determination": "suspected",
        "investigation_status": "new",
        "criticality": max(ATTACKS[report.attack].weight, worst),
        "incident_types": [ATTACKS[report.attack].incident_type],
        "detection_methods": ["human-review"],
    }


def _technical(
    make: _Maker,
    report: IncidentReport,
    indicators: Sequence[Indicator],
    *,
    seen: datetime,
    valid_days: int,
) -> list[Json]:
    """Observables, one indicator each, what they were observed in, and vulnerabilities by CVE."""
    observable = [i for i in indicators if i.kind is not IndicatorKind.CVE]
    flaws = [
        make.sdo(
            stix2.v21.Vulnerability,
            name=i.value,
            external_references=[{"source_name": "cve", "external_id": i.value}],
        )
        for i in indicators
        if i.kind is IndicatorKind.CVE
    ]
    if not observable:
        return flaws
    scos = [make.sco(indicator) for indicator in observable]
    observed = make.sdo(
        stix2.v21.ObservedData,
        first_observed=seen,
        last_observed=seen,
        number_observed=1,
        object_refs=[sco["id"] for sco in scos],
    )
    made = [_indicator(make, report, i, valid_days=valid_days) for i in observable]
    based = [make.link(indicator, "based-on", observed) for indicator in made]
    return [*scos, observed, *made, *based, *flaws]


def _indicator(
    make: _Maker, report: IncidentReport, indicator: Indicator, *, valid_days: int
) -> Json:
    words = ATTACKS[report.attack]
    return make.sdo(
        stix2.v21.Indicator,
        name=f"{_KIND_WORDS[indicator.kind]} {indicator.value}"[:250],
        description=f"Seen in an incident at a port member: {words.label.lower()}",
        indicator_types=[words.indicator_type],
        pattern=indicator_pattern(indicator),
        pattern_type="stix",
        pattern_version="2.1",
        valid_from=make.at,
        valid_until=make.at + timedelta(days=valid_days),
        confidence=50,
        labels=[report.attack.value],
    )


def indicator_pattern(indicator: Indicator) -> str:
    """``[path = 'value']`` with the value's quotes and backslashes escaped."""
    value = indicator.value.replace("\\", "\\\\").replace("'", "\\'")
    return f"[{_SCO[indicator.kind][1]} = '{value}']"


def release_graph(
    report: IncidentReport, hub: Hub, terms: ReleaseTerms, *, withhold: frozenset[str] = frozenset()
) -> list[Json]:
    """What others see under ``terms``: attacker-side facts, generic words, fresh ids.

    ``withhold`` are indicator values to leave out. The marking definitions and the hub's identity
    travel along.
    """
    at = _millis(terms.released_at)
    creator = _creator(hub, terms, at)
    make = _Maker(creator["id"], at, terms.tlp)
    # The day, never the minute: an outage seen from outside would name the member by its time.
    day = _millis(report.noticed_at).replace(hour=0, minute=0, second=0, microsecond=0)
    shared = [i for i in report.indicators if i.value not in withhold]
    technical = _technical(make, report, shared, seen=min(day, at), valid_days=terms.valid_days)
    systems = [
        make.sdo(
            stix2.v21.Infrastructure,
            name=SYSTEMS[system].label,
            infrastructure_types=[SYSTEMS[system].infrastructure_type],
        )
        for system, impact in report.systems.items()
        if impact is not Impact.NONE
    ]
    said = terms.words.properties | _lang(terms.words.title, terms.words.advice)
    incident = make.sdo(
        stix2.v21.Incident,
        **said,
        extensions={INCIDENT_CORE: _incident_core(report)},
    )
    links = [make.link(incident, "impacts", system) for system in systems]
    links += [
        make.link(obj, "related-to", incident)
        for obj in technical
        if obj["type"] in {"indicator", "vulnerability"}
    ]
    content = [incident, *systems, *technical, *links]
    summary = make.sdo(
        stix2.v21.Report,
        **said,
        report_types=["incident"],
        published=at,
        object_refs=[obj["id"] for obj in content],
        labels=[report.attack.value],
    )
    markings = [definition(tlp) for tlp in sorted({Tlp.CLEAR, terms.tlp}, key=lambda t: t.rank)]
    translations = [*_translated(make, (incident, summary), terms.translated)]
    return [*markings, hub_identity(hub), creator, *content, summary, *translations]


_KANA_OR_KANJI: Final = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff66-\uff9d]")


def _lang(*texts: str) -> dict[str, str]:
    """Of what a person wrote, told by its letters. What says nothing is in English (3.2)."""
    return {"lang": "ja"} if any(map(_KANA_OR_KANJI.search, texts)) else {}


def _translated(
    make: _Maker, objects: Iterable[Json], words: Mapping[str, Words]
) -> Iterator[Json]:
    """The same words in other languages, as STIX tells them (7.1): beside the object."""
    for obj in objects:
        contents = {
            language: {name: text for name, text in told.properties.items() if text != obj[name]}
            for language, told in words.items()
            if language != obj.get("lang", "en")
        }
        contents = {language: said for language, said in contents.items() if said}
        if contents:
            yield make.sdo(stix2.v21.LanguageContent, object_ref=obj["id"], contents=contents)


def _creator(hub: Hub, terms: ReleaseTerms, at: datetime) -> Json:
    """Who signs: an identity made for this one release, so that no two can be linked by it."""
    return _plain(
        stix2.v21.Identity(
            created_by_ref=hub.identity_id,
            created=at,
            modified=at,
            name=terms.named_as or "A member of the port",
            identity_class="organization",
            sectors=["transportation"],
            object_marking_refs=[MARKING_IDS[terms.tlp]],
        )
    )


def recounted(sighting: Json, *, count: int, at: datetime) -> Json:
    """The next version of a sighting of ours, with a new count."""
    return {**sighting, "modified": _stamp(_later(sighting, at)), "count": count}


def revoked(obj: Json, *, at: datetime) -> Json:
    """The last version of an object of ours."""
    return {**obj, "modified": _stamp(_later(obj, at)), "revoked": True}


def _later(obj: Json, at: datetime) -> datetime:
    """Strictly later than the version before (3.6), whatever the machine's clock says."""
    return max(at, datetime.fromisoformat(obj["modified"]) + timedelta(milliseconds=1))


def _stamp(at: datetime) -> str:
    return _millis(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def corroborating_sighting(
    indicator_id: str, *, hub: Hub, count: int, at: datetime, tlp: Tlp
) -> Json:
    """That ``count`` members have seen an indicator, said by the hub, of nobody in particular."""
    return _Maker(hub.identity_id, _millis(at), tlp).sdo(
        stix2.v21.Sighting, sighting_of_ref=indicator_id, count=count
    )
