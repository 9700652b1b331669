"""Two graphs out of one report: valid, closed, and the second says nothing of the source."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_instance

from sharing.stix import compose, reading
from sharing.stix.extract import extract
from sharing.stix.markings import (
    MARKING_IDS,
    STATEMENT_IDS,
    Json,
    Tlp,
    definition,
    strictest,
    unranked,
)
from sharing.stix.port import AttackKind, Impact, PortSystem
from sharing.stix.report import IncidentReport, Reporter
from sharing.stix.telltales import leaks
from sharing.stix.titles import title_for

NOW = datetime(2026, 11, 24, 6, 31, 12, 345678, tzinfo=UTC)
HUB = compose.Hub("identity--38bb3599-77cd-4a82-a950-b5bc3caf07c4", "The hub", NOW)
TEXT = """hxxps://dark-tide[.]example/it's\\here 203.0.113[.]66 2001:db8::1 evil.com
unlock@evil.com d41d8cd98f00b204e9800998ecf8427e CVE-2023-34362"""


def report(**changes: object) -> IncidentReport:
    """A report full of names."""
    fields: dict[str, object] = {
        "reporter": Reporter(
            "identity--28bb3599-77cd-4a82-a950-b5bc3caf07c4",
            "North Quay",
            "terminal",
            NOW - timedelta(days=90),
        ),
        "reference": "R-7K3M-2QXW",
        "attack": AttackKind.RANSOMWARE,
        "noticed_at": NOW,
        "reported_at": NOW,
        "systems": {PortSystem.YARD: Impact.DOWN, PortSystem.OFFICE: Impact.NONE},
        "narrative": "North Quay, INC-1",
        "technical": TEXT,
        "tlp": Tlp.AMBER_STRICT,
        "may_name": False,
        "indicators": extract(TEXT).indicators,
    }
    return IncidentReport(**{**fields, **changes})  # type: ignore[arg-type]


def terms(**changes: object) -> compose.ReleaseTerms:
    """A release to the community."""
    fields: dict[str, object] = {
        "tlp": Tlp.GREEN,
        "words": compose.Words("Ransomware", "Check."),
        "released_at": NOW,
    }
    return compose.ReleaseTerms(**{**fields, **changes})  # type: ignore[arg-type]


def references(obj: object) -> list[str]:
    """Every id an object points to."""
    if isinstance(obj, dict):
        own = [v for k, v in obj.items() if k.endswith("_ref") and isinstance(v, str)]
        many = [r for k, v in obj.items() if k.endswith("_refs") for r in v]
        return own + many + [r for v in obj.values() if isinstance(v, dict) for r in references(v)]
    return []


def check(graph: list[Json]) -> None:
    """Valid by the OASIS schemas, marked, and closed."""
    ids = {obj["id"] for obj in graph}
    for obj in graph:
        assert reading.problems(obj) == []
        assert obj["spec_version"] == "2.1"
        assert set(references(obj)) <= ids, obj
        assert obj["type"] == "marking-definition" or obj["object_marking_refs"]


def test_the_private_graph_says_everything() -> None:
    graph = compose.private_graph(report())
    check(graph)
    types = {obj["type"] for obj in graph}
    assert {
        "incident",
        "identity",
        "indicator",
        "observed-data",
        "infrastructure",
        "relationship",
        "vulnerability",
        "url",
        "file",
        "ipv4-addr",
        "ipv6-addr",
    } <= types
    assert leaks(graph, ["North Quay", "R-7K3M-2QXW"]) == ["North Quay", "R-7K3M-2QXW"]


def test_the_release_graph_has_new_ids_and_no_names() -> None:
    private, shared = compose.private_graph(report()), compose.release_graph(report(), HUB, terms())
    check(shared)
    common = {obj["id"] for obj in private} & {obj["id"] for obj in shared}
    assert all(
        reading.sco_id({**obj}) == obj["id"] or obj["type"] == "marking-definition"
        for obj in shared
        if obj["id"] in common
    )
    assert leaks(shared, ["North Quay", "R-7K3M-2QXW", "INC-1", "terminal"]) == []
    assert not any("06:31" in str(obj.get("first_observed")) for obj in shared)
    assert [o["name"] for o in shared if o["type"] == "infrastructure"] == [
        "Yard vehicles and positioning"
    ]


def test_a_word_after_a_line_break_leaks_too() -> None:
    said = compose.Words("Ransomware", "Check.\nNorth Quay has a tool.")
    graph = compose.release_graph(report(), HUB, terms(words=said))
    assert leaks(graph, ["North Quay"]) == ["North Quay"]


def test_the_release_graph_passes_the_oasis_validator() -> None:
    told = terms(translated={"ja": compose.Words("ランサムウェア", "確認してください。")})
    graph = compose.release_graph(report(), HUB, told)
    assert sum(obj["type"] == "language-content" for obj in graph) == 2
    for obj in graph:
        found = validate_instance(obj, ValidationOptions(version="2.1"))
        assert found.is_valid, (obj["type"], [str(error) for error in found.errors])


def test_one_observable_for_each_indicator() -> None:
    graph = compose.release_graph(report(), HUB, terms())
    indicators = [obj for obj in graph if obj["type"] == "indicator"]
    assert len(indicators) == 6
    assert all(
        obj["pattern"].count("=") == obj["pattern"].count(" = ") or "url" in obj["pattern"]
        for obj in indicators
    )
    assert all(
        obj["valid_until"] > obj["valid_from"] and obj["name"] and obj["indicator_types"]
        for obj in indicators
    )


def test_withheld_values_stay_away_and_a_named_release_names() -> None:
    graph = compose.release_graph(
        report(), HUB, terms(named_as="North Quay"), withhold=frozenset({"evil.com"})
    )
    check(graph)
    assert not leaks([o for o in graph if o["type"] == "domain-name"], ["evil.com"])
    assert leaks(graph, ["North Quay"])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(AttackKind),
    st.dictionaries(st.sampled_from(PortSystem), st.sampled_from(Impact), min_size=1, max_size=3),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40),
)
def test_any_report_makes_valid_graphs(
    attack: AttackKind, systems: dict[PortSystem, Impact], tail: str
) -> None:
    pasted = extract(f"https://evil.com/{tail}'\\\"[x]%z#a#b").indicators
    told = report(attack=attack, systems=systems, indicators=pasted)
    check(compose.private_graph(told))
    check(compose.release_graph(told, HUB, terms()))
    assert title_for(told)


def test_sightings_and_withdrawals() -> None:
    indicator = next(
        o for o in compose.release_graph(report(), HUB, terms()) if o["type"] == "indicator"
    )
    sighting = compose.corroborating_sighting(
        indicator["id"], hub=HUB, count=2, at=NOW, tlp=Tlp.GREEN
    )
    assert reading.problems(sighting) == []
    assert (sighting["count"], sighting.get("where_sighted_refs")) == (2, None)
    more = compose.recounted(sighting, count=3, at=NOW + timedelta(hours=1))
    assert reading.problems(more) == []
    assert (more["id"], more["count"]) == (sighting["id"], 3)
    assert more["modified"] > sighting["modified"]


def test_observable_ids_are_the_specifications() -> None:
    assert reading.sco_id({"type": "ipv4-addr", "value": "198.51.100.3"}) == (
        "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4"
    )


def test_a_published_statement_ranks_nothing() -> None:
    [statement, _] = sorted(STATEMENT_IDS)
    unknown = "marking-definition--11111111-1111-4111-8111-111111111111"
    for tlp in Tlp:
        assert strictest([statement], default=tlp) is tlp
        assert strictest([statement, MARKING_IDS[tlp]], default=Tlp.CLEAR) is tlp
    assert strictest([statement, unknown], default=Tlp.CLEAR) is Tlp.RED
    assert unranked([statement, unknown]) == unknown
    assert strictest([unknown], default=Tlp.GREEN, statements={unknown}) is Tlp.GREEN
    # Nobody loosens a level by calling its id a statement.
    red = MARKING_IDS[Tlp.RED]
    assert strictest([red], default=Tlp.GREEN, statements={red}) is Tlp.RED
    assert strictest([red, unknown], default=Tlp.GREEN, statements={red, unknown}) is Tlp.RED


def test_markings_combine_to_the_strictest_and_unknown_ones_fail_closed() -> None:
    assert [reading.problems(definition(tlp)) for tlp in Tlp] == [[]] * 5
    both = [MARKING_IDS[Tlp.GREEN], MARKING_IDS[Tlp.AMBER_STRICT]]
    assert strictest(both, default=Tlp.RED) is Tlp.AMBER_STRICT
    assert strictest([], default=Tlp.RED) is Tlp.RED
    unknown = "marking-definition--11111111-1111-4111-8111-111111111111"
    assert strictest([MARKING_IDS[Tlp.CLEAR], unknown], default=Tlp.CLEAR) is Tlp.RED
