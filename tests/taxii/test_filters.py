"""Filters (T060 to T074)."""

import uuid
from typing import Any
from urllib.parse import quote

import pytest

from tests.taxii.conftest import Served
from tests.taxii.content import FIRST, SECOND, THIRD, indicator, later

TYPES = (
    "attack-pattern campaign course-of-action grouping identity incident indicator infrastructure "
    "intrusion-set location malware malware-analysis note observed-data opinion report "
    "threat-actor tool vulnerability relationship sighting artifact autonomous-system directory "
    "domain-name email-addr email-message file ipv4-addr ipv6-addr mac-addr mutex network-traffic "
    "process software url user-account windows-registry-key x509-certificate marking-definition "
    "language-content extension-definition bundle x-quay-crane"
).split()


def ids(hub: Served, query: str) -> list[str]:
    """What C1 answers."""
    answer = hub.get(f"{hub.at('C1')}objects/?{query}")
    assert answer.status == 200, answer.body
    return [obj["id"] for obj in answer.objects]


def versions(hub: Served, wanted: str) -> list[str]:
    """The versions of the object with three, by one match[version]."""
    known = hub.seeded["versioned"]
    answer = hub.get(f"{hub.at('C1')}objects/?match[id]={known}&match[version]={wanted}")
    assert answer.status == 200, answer.body
    return [obj["modified"] for obj in answer.objects]


@pytest.mark.parametrize(
    "query",
    [
        "added_after=yesterday",
        "added_after=",
        "added_after=2026-01-01",
        "added_after=2026-02-30T00:00:00Z",
        "added_after=2026-01-01T00:00:00%00Z",
        "limit=abc",
        "limit=",
        "limit=%D9%A3",
        "match[version]=1999",
        "match[version]=yesterday",
        "match[version]=",
        "match[type]=",
        "match[type]=indicator,,malware",
        "match[id]=a%00b",
        "match[spec_version]=newest",
        "next=nonsense",
    ],
)
@pytest.mark.parametrize("rest", ["objects/", "manifest/"])
def test_t060_a_malformed_parameter_is_400_and_named(hub: Served, rest: str, query: str) -> None:
    answer = hub.get(f"{hub.at('C1')}{rest}?{query}")
    assert answer.status == 400
    if answer.json["title"] == "Bad query":
        assert query.partition("=")[0].partition("[")[0] in answer.json["description"]


def test_t061_added_after_is_exclusive_and_about_adding(hub: Served) -> None:
    records = hub.get(f"{hub.at('C1')}manifest/").objects
    for position in (0, 10, len(records) - 2):
        after = records[position]["date_added"]
        expected = [record["id"] for record in records[position + 1 :]]
        assert ids(hub, f"added_after={after}") == expected
    # Every object was changed long before it was added.
    assert len(ids(hub, f"added_after={quote(THIRD)}")) == len(records)


@pytest.mark.parametrize(
    "query",
    [
        "added_after=2026-01-01T00:00:00Z&added_after=2026-01-02T00:00:00Z",
        "added_after=2026-01-01T00:00:00Z,2026-01-02T00:00:00Z",
    ],
)
def test_t062_there_is_one_added_after(hub: Served, query: str) -> None:
    assert hub.get(f"{hub.at('C1')}objects/?{query}").status == 400


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("2026-01-01T00:00:00Z", 200),
        ("2026-01-01T00:00:00.1Z", 200),
        ("2026-01-01T00:00:00.12Z", 200),
        ("2026-01-01T00:00:00.123456Z", 200),
        ("2026-01-01T00:00:00.123456789Z", 200),
        ("0001-01-01T00:00:00Z", 200),
        ("9999-12-31T23:59:60Z", 200),
        ("2026-01-01T00:00:00.1234567890Z", 400),
        ("2026-01-01T00:00:00.Z", 400),
        ("2026-01-01T00:00:00", 400),
        ("2026-01-01T00:00:00%2B00:00", 400),
        ("2026-01-01T09:00:00%2B09:00", 400),
        ("2026-01-01t00:00:00z", 400),
        ("2026-01-01 00:00:00Z", 400),
        ("%EF%BC%92026-01-01T00:00:00Z", 400),
    ],
)
def test_t063_none_to_nine_digits_and_z_alone(hub: Served, text: str, status: int) -> None:
    assert hub.get(f"{hub.at('C1')}objects/?added_after={text}").status == status


def test_t063_more_than_six_digits_are_rounded_down(hub: Served) -> None:
    records = hub.get(f"{hub.at('C1')}manifest/").objects
    finer = records[3]["date_added"].replace("Z", "999Z")
    assert ids(hub, f"added_after={finer}")[0] == records[4]["id"]


def test_t064_without_added_after_the_oldest_comes_first(hub: Served) -> None:
    records = hub.get(f"{hub.at('C1')}manifest/").objects
    assert ids(hub, "limit=1") == [records[0]["id"]]


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "+3", "1e3", "99999999999999999999"])
def test_t065_a_limit_is_a_positive_whole_number(hub: Served, limit: str) -> None:
    for rest in ("objects/", "manifest/", f"objects/{hub.seeded['versioned']}/"):
        assert hub.get(f"{hub.at('C1')}{rest}?limit={quote(limit)}").status == 400


def test_t065_never_more_than_the_limit_and_everything_if_it_fits(hub: Served) -> None:
    everything = ids(hub, "")
    assert ids(hub, "limit=3") == everything[:3]
    exactly = hub.get(f"{hub.at('C1')}objects/?limit={len(everything)}").json
    assert len(exactly["objects"]) == len(everything)
    assert "more" not in exactly
    assert hub.get(f"{hub.at('C1')}objects/?limit=999999999").status == 200


def test_t065_a_huge_limit_ends_at_the_servers_own(hub: Served) -> None:
    hub.store("C4", *(indicator() for _ in range(600)))
    hub.store("C4", *(indicator() for _ in range(600)))
    for rest in ("objects/", "manifest/"):
        told = hub.get(f"{hub.at('C4')}{rest}?limit=5000").json
        assert len(told["objects"]) == 1_000
        assert told["more"] is True
        default = hub.get(hub.at("C4") + rest).json
        assert len(default["objects"]) == 100
        assert default["more"] is True


def test_t066_fields_are_anded_and_values_are_alternatives(hub: Served) -> None:
    one, other = hub.seeded["indicators"][:2]
    japanese = hub.seeded["japanese"]["id"]
    both = ids(hub, f"match[type]=indicator,malware&match[id]={one},{japanese}")
    assert both == [one, japanese]
    assert ids(hub, f"match[type]=indicator&match[id]={one},{japanese}") == [one]
    assert ids(hub, f"match[id]={other}&match[type]=malware") == []
    assert ids(hub, f"match[type]=indicator, malware&match[id]={japanese}") == [japanese]


@pytest.mark.parametrize(
    "query",
    [
        "match[type]=indicator&match[type]=malware",
        "match[id]=a&match[id]=a",
        "match[version]=last&match[version]=first",
        "match[spec_version]=2.1&match[spec_version]=2.1",
        "limit=1&limit=2",
        "next=&next=",
    ],
)
def test_t066_no_field_twice(hub: Served, query: str) -> None:
    assert hub.get(f"{hub.at('C1')}objects/?{query}").status == 400


def test_t067_fields_nobody_defined_are_passed_over(hub: Served) -> None:
    everything = ids(hub, "")
    for query in ("match[foo]=1", "match[name]=x&match[foo]=1&match[foo]=2", "foo=1", "match[]=1"):
        assert ids(hub, query) == everything
    known = hub.seeded["versioned"]
    assert hub.get(f"{hub.at('C1')}objects/{known}/?match[foo]=1").status == 200


def test_t068_no_type_of_stix_is_an_error(hub: Served) -> None:
    for name in TYPES:
        found = hub.get(f"{hub.at('C1')}objects/?match[type]={name}")
        assert found.status == 200, name
        assert all(obj["type"] == name for obj in found.objects)
    assert len(ids(hub, f"match[type]={','.join(TYPES)}")) == len(ids(hub, ""))


def test_t069_the_latest_version_is_the_default(hub: Served) -> None:
    known = hub.seeded["versioned"]
    assert ids(hub, "").count(known) == 1
    [obj] = hub.get(f"{hub.at('C1')}objects/?match[id]={known}").objects
    assert obj["modified"] == THIRD


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("last", [THIRD]),
        ("first", [FIRST]),
        ("all", [FIRST, SECOND, THIRD]),
        (SECOND, [SECOND]),
        ("first,last", [FIRST, THIRD]),
        (f"first,{SECOND},last", [FIRST, SECOND, THIRD]),
        (f"last,{THIRD}", [THIRD]),
        ("2020-01-01T00:00:00.000Z", []),
    ],
)
def test_t070_versions_are_chosen_by_word_or_time(
    hub: Served, wanted: str, found: list[str]
) -> None:
    assert versions(hub, wanted) == found


@pytest.mark.parametrize(
    "wanted",
    [
        "all,first",
        "last,all",
        "all,all",
        "last,last",
        f"{FIRST},{FIRST}",
        f"{FIRST},2026-01-01T00:00:00Z",
        "newest",
    ],
)
def test_t070_combinations_that_make_no_sense_are_400(hub: Served, wanted: str) -> None:
    for rest in ("objects/", "manifest/", f"objects/{hub.seeded['versioned']}/"):
        assert hub.get(f"{hub.at('C1')}{rest}?match[version]={wanted}").status == 400


def test_t071_the_version_in_the_manifest_finds_the_object(hub: Served) -> None:
    for record in hub.get(f"{hub.at('C1')}manifest/?match[version]=all").objects:
        query = f"match[id]={record['id']}&match[version]={record['version']}"
        assert ids(hub, query) == [record["id"]]


@pytest.mark.parametrize(
    "text", ["2026-01-02T00:00:00Z", "2026-01-02T00:00:00.0Z", "2026-01-02T00:00:00.000000Z"]
)
def test_t072_times_that_differ_in_digits_alone_are_one(hub: Served, text: str) -> None:
    assert versions(hub, text) == [SECOND]


def test_t073_spec_versions_are_filtered(hub: Served) -> None:
    for rest in ("objects/", "manifest/"):
        assert hub.get(f"{hub.at('C1')}{rest}?match[spec_version]=2.0").body == b"{}"
        both = hub.get(f"{hub.at('C1')}{rest}?match[spec_version]=2.0,2.1")
        assert both.body == hub.get(hub.at("C1") + rest).body


def test_t074_a_newer_version_added_later_is_found(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj)
    between = added(hub, obj)
    hub.store("C4", later(obj))
    [found] = hub.get(f"{hub.at('C4')}objects/?added_after={between}").objects
    assert (found["id"], found["modified"]) == (obj["id"], SECOND)


def test_t074_an_older_version_added_later_is_not_the_latest(hub: Served) -> None:
    """Versions are those of the collection; docs/decisions/0009 says why."""
    obj = indicator()
    hub.store("C4", later(obj))
    between = added(hub, obj)
    hub.store("C4", obj)
    assert hub.get(f"{hub.at('C4')}objects/?added_after={between}").body == b"{}"
    every = hub.get(f"{hub.at('C4')}objects/?added_after={between}&match[version]=all")
    assert [found["modified"] for found in every.objects] == [FIRST]


def added(hub: Served, obj: Any) -> str:
    """When the newest version of an object came into C4."""
    [record] = hub.get(f"{hub.at('C4')}manifest/?match[id]={obj['id']}").objects
    found: str = record["date_added"]
    return found


def test_match_id_may_name_many(hub: Served) -> None:
    many = [*hub.seeded["indicators"], *(f"tool--{uuid.uuid4()}" for _ in range(100))]
    assert set(ids(hub, f"match[id]={','.join(many)}")) == set(hub.seeded["indicators"])


@pytest.mark.parametrize(("count", "status"), [(1_000, 200), (1_001, 400), (1_800, 400)])
def test_a_filter_takes_so_many_alternatives(hub: Served, count: int, status: int) -> None:
    terms = (f"20{n // 1440:02d}-01-01T{n // 60 % 24:02d}:{n % 60:02d}:00Z" for n in range(count))
    answer = hub.get(f"{hub.at('C1')}objects/?match[version]={','.join(terms)}")
    assert answer.status == status, answer.body
    assert status == 200 or "1000 alternatives at most" in answer.json["description"]
