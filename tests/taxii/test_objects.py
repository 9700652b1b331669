"""What collections hold: objects, manifests, versions (T049 to T059), and markings per key."""

import re
import uuid

import pytest
from django.core.management import call_command

from crc.members.models import ApiKey
from sharing.stix.markings import MARKING_IDS, Tlp
from tests.conftest import _Quiet
from tests.taxii.conftest import Answer, Served
from tests.taxii.content import FIRST, SECOND, THIRD, indicator, later, observable

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
GREEN_1 = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"
AMBER_1 = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"


def dates(answer: Answer) -> tuple[str | None, str | None]:
    """The two headers."""
    found = [answer.headers.get(f"x-taxii-date-added-{end}") for end in ("first", "last")]
    return found[0], found[1]


def test_t049_t054_nothing_is_an_empty_object(hub: Served) -> None:
    for rest in ("objects/", "manifest/"):
        assert hub.get(hub.at("C3") + rest).body == b"{}"
        assert hub.get(f"{hub.at('C1')}{rest}?match[type]=tool").body == b"{}"


def test_t049_objects_come_in_an_envelope(hub: Served) -> None:
    told = hub.get(f"{hub.at('C1')}objects/?limit=2").json
    assert set(told) == {"objects", "more", "next"}
    assert told["more"] is True
    assert len(told["objects"]) == 2


def test_t050_oldest_first_everywhere(hub: Served) -> None:
    manifest = hub.get(f"{hub.at('C1')}manifest/").objects
    added = [record["date_added"] for record in manifest]
    assert added == sorted(added)
    assert len(set(added)) == len(added) >= 25
    objects = hub.get(f"{hub.at('C1')}objects/").objects
    assert [obj["id"] for obj in objects] == [record["id"] for record in manifest]


def test_t051_the_headers_are_those_of_the_page(hub: Served) -> None:
    c1, known = hub.at("C1"), hub.seeded["versioned"]
    record = {r["id"]: r["date_added"] for r in hub.get(f"{c1}manifest/").objects}
    for rest in ("manifest/", "objects/"):
        for answer in hub.pages(f"{c1}{rest}?limit=7"):
            ids = [obj["id"] for obj in answer.objects]
            assert dates(answer) == (record[ids[0]], record[ids[-1]])
            assert all(MOMENT.fullmatch(date or "") for date in dates(answer))
    assert dates(hub.get(f"{c1}objects/{known}/")) == (record[known], record[known])
    first, last = dates(hub.get(f"{c1}objects/{known}/versions/"))
    assert first
    assert first < record[known] == last


def test_t052_an_empty_page_repeats_how_far_the_client_is_and_claims_no_more(
    hub: Served,
) -> None:
    for rest in ("objects/", "manifest/"):
        assert dates(hub.get(hub.at("C3") + rest)) == (None, None)
        asked = f"{hub.at('C3')}{rest}?added_after="
        six = "2026-01-01T00:00:00.120000Z"
        assert dates(hub.get(f"{asked}2026-01-01T00:00:00.12Z")) == (six, six)
        whole = "2026-01-01T00:00:00.000000Z"
        assert dates(hub.get(f"{asked}2026-01-01T00:00:00Z")) == (whole, whole)
    last = dates(hub.get(f"{hub.at('C1')}objects/"))[1]
    nothing = hub.get(f"{hub.at('C1')}objects/?added_after={last}")
    assert nothing.body == b"{}"
    assert dates(nothing) == (last, last)


def test_t053_manifest_records_are_complete(hub: Served) -> None:
    media = set(hub.get(hub.at("C1")).json["media_types"])
    for record in hub.get(f"{hub.at('C1')}manifest/").objects:
        assert set(record) == {"id", "date_added", "version", "media_type"}
        assert MOMENT.fullmatch(record["date_added"])
        assert record["media_type"] in media


def test_t055_one_record_for_each_version(hub: Served) -> None:
    known = hub.seeded["versioned"]
    records = hub.get(f"{hub.at('C1')}manifest/?match[id]={known}&match[version]=all").objects
    assert [record["version"] for record in records] == [FIRST, SECOND, THIRD]


def test_t056_manifest_filters_act_on_the_object(hub: Served) -> None:
    records = hub.get(f"{hub.at('C1')}manifest/?match[type]=indicator").objects
    assert len(records) == 26
    assert all(record["id"].startswith("indicator--") for record in records)


def test_t057_versions_are_listed_oldest_first(hub: Served) -> None:
    c1 = hub.at("C1")
    told = hub.get(f"{c1}objects/{hub.seeded['versioned']}/versions/").json
    assert told == {"versions": [FIRST, SECOND, THIRD]}
    marking = hub.get(f"{c1}objects/{MARKING_IDS[Tlp.GREEN]}/versions/").json
    assert marking == {"versions": ["2022-10-01T00:00:00.000Z"]}
    path = f"{c1}objects/{hub.seeded['versioned']}/versions/"
    assert hub.get(f"{path}?match[spec_version]=2.0").body == b"{}"


def test_t058_unknown_is_404_and_filtered_away_is_empty(hub: Served) -> None:
    c1, known = hub.at("C1"), hub.seeded["versioned"]
    for unknown in (f"indicator--{uuid.uuid4()}", "nonsense", "%00"):
        assert hub.get(f"{c1}objects/{unknown}/").status == 404
        assert hub.get(f"{c1}objects/{unknown}/?match[version]=all").status == 404
        assert hub.get(f"{c1}objects/{unknown}/versions/").status == 404
    for left in (
        "match[version]=2020-01-01T00:00:00Z",
        "match[spec_version]=2.0",
        "added_after=2100-01-01T00:00:00Z",
    ):
        answer = hub.get(f"{c1}objects/{known}/?{left}")
        assert (answer.status, answer.body) == (200, b"{}"), left


def test_t059_only_versions_can_be_chosen_of_one_object(hub: Served) -> None:
    path = f"{hub.at('C1')}objects/{hub.seeded['versioned']}/"
    for wrong in ("match[type]=malware", f"match[id]={hub.seeded['versioned']}"):
        assert hub.get(f"{path}?{wrong}").status == 400
        assert hub.get(f"{path}versions/?{wrong}").status == 400
    assert hub.get(f"{path}versions/?match[version]=all").status == 400
    assert hub.get(f"{path}?limit=1&match[version]=all").json["more"] is True


def test_every_object_says_spec_version_and_is_otherwise_as_it_came(hub: Served) -> None:
    for obj in hub.get(f"{hub.at('C1')}objects/?match[version]=all").objects:
        assert obj["spec_version"] == "2.1", obj
    sent = hub.seeded["observable"]
    assert "spec_version" not in sent
    [served] = hub.get(f"{hub.at('C1')}objects/{sent['id']}/").objects
    assert served == {**sent, "spec_version": "2.1"}
    said = {**observable("said.example"), "spec_version": "2.1"}
    nested = observable("nested.example") | {
        "extensions": {f"extension-definition--{uuid.uuid4()}": {
            "extension_type": "property-extension", "spec_version": "9"}}
    }  # fmt: skip
    hub.store("C4", said, nested)
    assert hub.get(f"{hub.at('C4')}objects/{said['id']}/").objects == [said]
    assert hub.get(f"{hub.at('C4')}objects/{nested['id']}/").objects == [
        {**nested, "spec_version": "2.1"}
    ]


@pytest.fixture(scope="module")
def old_tool(hub: Served) -> str:
    """A key for a tool that reads TLP 1 alone, as the operator issues it."""
    out = _Said()
    call_command(
        "issue_key", "--member", "rail", "--scope", "taxii:read", "--markings", "tlp1+2", stdout=out
    )
    assert ApiKey.objects.filter(markings="tlp1+2").count() == 1
    return out.text.strip()


class _Said(_Quiet):
    text = ""

    def write(self, text: str) -> None:
        """Kept."""
        self.text += text


def test_a_tool_of_tlp_1_gets_the_twin_beside_each_marking(hub: Served, old_tool: str) -> None:
    part = {"selectors": ["name"], "marking_ref": MARKING_IDS[Tlp.AMBER]}
    green, amber = (
        indicator(),
        indicator(object_marking_refs=[MARKING_IDS[Tlp.AMBER]], granular_markings=[part]),
    )
    twinned = indicator(object_marking_refs=[MARKING_IDS[Tlp.GREEN], GREEN_1])
    hub.store("C4", green, amber, twinned)

    def refs(obj: object, who: str) -> list[str]:
        [served] = hub.get(f"{hub.at('C4')}objects/{obj['id']}/", who=who).objects  # type: ignore[index]
        found: list[str] = served["object_marking_refs"]
        return found

    assert refs(green, old_tool) == [MARKING_IDS[Tlp.GREEN], GREEN_1]
    assert refs(amber, old_tool) == [MARKING_IDS[Tlp.AMBER], AMBER_1]
    assert refs(twinned, old_tool) == [MARKING_IDS[Tlp.GREEN], GREEN_1]
    assert refs(green, "RO") == [MARKING_IDS[Tlp.GREEN]]
    [served] = hub.get(f"{hub.at('C4')}objects/{amber['id']}/", who=old_tool).objects
    assert served["granular_markings"] == [part, {**part, "marking_ref": AMBER_1}]
    assert served["name"] == amber["name"]


def test_a_tool_of_tlp_1_never_gets_what_tlp_1_cannot_say(hub: Served, old_tool: str) -> None:
    strict = indicator(object_marking_refs=[MARKING_IDS[Tlp.AMBER_STRICT]])
    hub.store("quay-strict", strict)
    at = hub.at("quay-strict")
    assert hub.get(f"{at}objects/{strict['id']}/").objects == [strict]
    for rest in (f"objects/{strict['id']}/", f"objects/{strict['id']}/versions/"):
        assert hub.get(at + rest, who=old_tool).status == 404
    for rest in ("objects/", "manifest/", "objects/?match[version]=all"):
        found = hub.get(at + rest, who=old_tool)
        assert found.status == 200
        assert strict["id"] not in found.body.decode()


def test_a_revoked_object_is_served_so_that_tools_learn_of_it(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj)
    seen = dates(hub.get(f"{hub.at('C4')}objects/?match[type]=indicator&limit=1000"))[1]
    hub.store("C4", later(obj, revoked=True))
    [told] = hub.get(f"{hub.at('C4')}objects/?added_after={seen}").objects
    assert (told["id"], told["revoked"]) == (obj["id"], True)
