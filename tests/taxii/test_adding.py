"""Posting (T083 to T092)."""

import json
import threading
import uuid
from typing import Any

import pytest

from crc.members.models import ApiKey
from sharing.models import Placement, StixObject, Submission
from sharing.stix.markings import MARKING_IDS, STATEMENT_IDS, Tlp
from sharing.taxii import turns
from tests.alerts.rigs import wait_until
from tests.patience import without_a_hang
from tests.taxii.conftest import Served
from tests.taxii.content import SECOND, THIRD, indicator, later, malware, observable, statement


def served(hub: Served, obj: Any) -> list[Any]:
    """Every version of an object in C4."""
    return hub.get(f"{hub.at('C4')}objects/?match[id]={obj['id']}&match[version]=all").objects


def refusal(hub: Served, obj: Any, *, who: str = "RW", to: str = "C4") -> str:
    """Why an object does not get in."""
    answer = hub.post(to, {"objects": [obj]}, who=who)
    assert answer.status == 202, answer.body
    [failure] = answer.json["failures"]
    message: str = failure["message"]
    return message


def test_t083_a_post_is_answered_202_with_its_status(hub: Served) -> None:
    obj = indicator()
    answer = hub.post("C4", {"objects": [obj]})
    assert answer.status == 202
    assert answer.json["status"] == "complete"
    assert served(hub, obj) == [obj]


def test_t084_the_same_again_succeeds_and_changes_nothing(hub: Served) -> None:
    obj, plain = indicator(), observable("twice.example")
    first = hub.store("C4", obj, plain)
    before = hub.get(f"{hub.at('C4')}manifest/?limit=1000").body
    shuffled = dict(reversed(obj.items()))
    for again in (hub.store("C4", obj, plain), hub.store("C4", shuffled, plain, obj)):
        assert again["id"] != first["id"]
        assert again["failure_count"] == 0
    assert hub.get(f"{hub.at('C4')}manifest/?limit=1000").body == before


def test_t085_the_same_version_with_other_content_fails(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj)
    assert "other content" in refusal(hub, {**obj, "name": "changed"})
    assert served(hub, obj) == [obj]


def test_t086_one_bad_object_does_not_stop_the_others(hub: Served) -> None:
    good, bad, fine = indicator(), indicator(confidence=900), indicator()
    told = hub.post("C4", {"objects": [good, bad, fine]}).json
    assert (told["success_count"], told["failure_count"]) == (2, 1)
    [failure] = told["failures"]
    assert failure["id"] == bad["id"]
    assert "confidence" in failure["message"]
    assert served(hub, good) == [good]
    assert served(hub, fine) == [fine]
    assert served(hub, bad) == []


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{nonsense", 400, "not JSON"),
        (b"", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b'{"objects":[{"type":"a","type":"b"}]}', 400, "appears twice"),
        (b'{"objects":[1' + b"0" * 40 + b"]}", 400, "64 bits"),
        (b"[" * 100_000, 400, "not JSON"),
        (b'{"objects":' + b"[" * 40 + b"]" * 40 + b"}", 400, "nested"),
        (b'{"objects":[NaN]}', 400, "not JSON"),
        (b"[]", 422, "envelope"),
        (b"7", 422, "envelope"),
        (b"null", 422, "envelope"),
        (b'"objects"', 422, "envelope"),
        (b'{"objects":{}}', 422, "envelope"),
        (b'{"type":"indicator"}', 422, "envelope"),
    ],
)
def test_t087_what_is_no_envelope_is_refused_with_words(
    hub: Served, body: bytes, status: int, said: str
) -> None:
    before = Submission.objects.count()
    answer = hub.post("C2", body)
    assert answer.status == status, answer.body
    assert said in answer.json["description"]
    assert Submission.objects.count() == before


def test_t087_a_bundle_is_taken_for_an_envelope(hub: Served) -> None:
    """The list proposes 422; docs/decisions/0009 says why real clients get in."""
    obj = indicator()
    bundle = {"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": [obj]}
    answer = hub.post("C4", bundle)
    assert (answer.status, answer.json["success_count"]) == (202, 1)
    assert served(hub, obj) == [obj]
    inside = hub.post("C4", {"objects": [bundle]}).json
    assert "inside the bundle" in inside["failures"][0]["message"]


@pytest.mark.parametrize("version", ["2.0", None, 2.1, "2.2"])
def test_t087_other_versions_of_stix_are_told_what_to_send(hub: Served, version: Any) -> None:
    obj = {**indicator(), "spec_version": version}
    if version is None:
        del obj["spec_version"]  # which is what STIX 2.0 looks like
    assert "send STIX 2.1" in refusal(hub, obj)


def test_t087_an_unknown_type_without_an_extension_is_kept(hub: Served) -> None:
    crane = {**malware(), "type": "x-quay-crane", "id": f"x-quay-crane--{uuid.uuid4()}"}
    hub.store("C4", crane)
    assert served(hub, crane) == [crane]


def test_t088_unknown_properties_of_an_envelope_are_passed_over(hub: Served) -> None:
    obj = indicator()
    body = {"objects": [obj], "x_foo": 1, "more": True, "next": "here", "id": 7}
    assert hub.post("C4", body).json["success_count"] == 1


@pytest.mark.parametrize("body", [{}, {"objects": []}, {"type": "bundle", "objects": []}])
def test_t089_an_empty_envelope_is_422(hub: Served, body: Any) -> None:
    assert hub.post("C2", body).status == 422


def test_t089_too_many_objects_are_422_and_the_limit_is_named(hub: Served) -> None:
    answer = hub.post("C2", {"objects": [{}] * 10_001})
    assert answer.status == 422
    assert "10000" in answer.json["description"]


def test_t090_only_the_creator_may_change_or_revoke(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj)
    rail = ApiKey.issue(hub.port.organisations["rail"], ["taxii:write"])[1]
    for change in (later(obj), later(obj, name="mine now"), later(obj, revoked=True)):
        assert "creator" in refusal(hub, change, who=rail, to="inbox-rail")
    # Rail sees C4. NONE does not, so it is told nothing, and what it sends changes nothing.
    hub.store("inbox-outsider", later(obj, revoked=True), who="NONE")
    assert hub.post("inbox-rail", {"objects": [obj]}, who=rail).json["success_count"] == 1
    assert served(hub, obj) == [obj]
    hub.store("C4", later(obj))
    assert [found["modified"] for found in served(hub, obj)] == [obj["modified"], SECOND]


def test_t090_nobody_changes_what_the_hub_made(hub: Served) -> None:
    public = hub.get("/crc/collections/public-clear/objects/?match[type]=identity", who="NONE")
    [identity] = public.objects
    stolen = {**identity, "modified": "2099-01-01T00:00:00.000Z", "revoked": True}
    assert "creator" in refusal(hub, stolen)
    assert "creator" in refusal(hub, stolen, who="NONE", to="inbox-outsider")


def test_t090_the_creator_named_inside_stays_the_same(hub: Served) -> None:
    mine, other = (f"identity--{uuid.uuid4()}" for _ in range(2))
    obj = indicator(created_by_ref=mine)
    hub.store("C4", obj)
    assert "created_by_ref" in refusal(hub, later(obj, created_by_ref=other))
    without = later(obj)
    del without["created_by_ref"]
    assert "created_by_ref" in refusal(hub, without)
    hub.store("C4", later(obj))


def test_t090_markings_have_no_versions(hub: Served) -> None:
    marking = statement()
    hub.store("C4", marking)
    assert "marking" in refusal(hub, {**marking, "created": SECOND})


def test_t091_nothing_follows_a_revocation(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj, later(obj, revoked=True))
    for after in (later(obj, THIRD), later(obj, THIRD, revoked=True)):
        assert "final" in refusal(hub, after)
    assert [found.get("revoked", False) for found in served(hub, obj)] == [False, True]


def test_t091_within_one_envelope_as_well(hub: Served) -> None:
    obj = indicator()
    told = hub.post("C4", {"objects": [obj, later(obj, revoked=True), later(obj, THIRD)]}).json
    assert (told["success_count"], told["failure_count"]) == (2, 1)
    assert "final" in told["failures"][0]["message"]


def test_t091_a_revocation_that_nobody_would_see_fails(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj, later(obj, THIRD))
    assert "later version" in refusal(hub, later(obj, SECOND, revoked=True))


HOSTILE: list[tuple[str, Any, str]] = [
    ("26 characters that hang a type expression", {**indicator(), "type": "a" * 25 + "!"}, ""),
    ("a long type", {**indicator(), "type": "a-" * 5_000}, "250"),
    ("a long id", {**indicator(), "id": "indicator--" + "a" * 5_000}, "288"),
    ("300 comparisons and more", indicator(
        pattern="[" + " OR ".join(f"ipv4-addr:value = '{n}'" for n in range(1_000)) + "]"),
        "10000"),
    ("as many short ones", indicator(
        pattern="[" + " OR ".join(["a:b='c'"] * 400) + "]"), "300 comparisons"),
    ("a pattern of parentheses", indicator(
        pattern="[" + "(" * 900 + "a:b='c'" + ")" * 900 + "]"), "parentheses"),
    ("a nested object", indicator(
        x_nest=json.loads('{"a":' * 29 + "1" + "}" * 29), x_nest_list=[[[[]]]]), ""),
    ("numbers without end", indicator(confidence=10**18), "confidence"),
    ("a name of a megabyte", malware(description="x" * 1_100_000), "1048576"),
    ("text where a list should be", indicator(object_marking_refs="x"), "object_marking_refs"),
    ("a NUL in an id", {**indicator(), "id": "indicator--\0"}, ""),
    ("a NUL in a time", {**indicator(), "modified": "2026\0"}, "modified"),
    ("a number for an id", {**indicator(), "id": 7}, "id must be text"),
    ("many labels", indicator(labels=["a"] * 50_000 + [7]), "labels"),
    ("a date that is none", {**indicator(), "modified": "2026-02-30T00:00:00.000Z"}, "modified"),
    ("an unknown marking", indicator(
        object_marking_refs=[f"marking-definition--{uuid.uuid4()}"]), "TLP"),
    ("no object at all", 7, "JSON object"),
    ("a list", [[]], "JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("obj", "said"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE]
)
def test_t092_hostile_objects_are_answered_at_once(hub: Served, obj: Any, said: str) -> None:
    good = indicator()
    with without_a_hang():
        answer = hub.post("C4", {"objects": [obj, good]})
    assert answer.status == 202, answer.body
    told = answer.json
    assert served(hub, good) == [good]
    if said:
        assert told["failure_count"] == 1
        assert said in told["failures"][0]["message"]
    assert hub.get(f"/crc/status/{told['id']}/", who="RW").json == told


def test_t092_many_patterns_that_need_the_grammar_do_not_hold_the_client(hub: Served) -> None:
    terms = " AND ".join(f"ipv4-addr:value != '{n}'" for n in range(290))
    objects = [indicator(pattern=f"[{terms} OR ipv4-addr:value = '{n}']") for n in range(200)]
    with without_a_hang():
        answer = hub.post("C2", {"objects": objects})
    assert (answer.status, answer.json["status"]) == (202, "pending")


@pytest.mark.parametrize("path", ["objects/", "manifest/", f"objects/{'a' * 5000}/"])
def test_t092_hostile_queries_are_answered_at_once(hub: Served, path: str) -> None:
    with without_a_hang():
        for query in (
            "match[id]=" + ",".join(["x"] * 5_000),
            "match[version]=" + ",".join(f"2026-01-01T00:00:00.{n:06d}Z" for n in range(500)),
            "&".join(f"match[a{n}]=1" for n in range(2_000)),
            "match[type]=" + "%00" * 100,
        ):
            assert hub.get(f"{hub.at('C1')}{path}?{query}").status in {200, 400, 404}


def test_an_inbox_takes_and_keeps_to_itself(hub: Served) -> None:
    red = indicator(object_marking_refs=[MARKING_IDS[Tlp.RED]])
    amber = indicator(object_marking_refs=[MARKING_IDS[Tlp.AMBER]])
    hub.store("C2", red, amber, who="WO")
    assert StixObject.objects.filter(stix_id=red["id"]).count() == 1
    assert not Placement.objects.filter(
        object__stix_id=red["id"]
    ).exists()  # RED enters no collection
    desk = f"/crc/collections/desk/objects/{amber['id']}/"
    assert hub.get(desk, who="DESK").objects == [amber]
    assert hub.get(f"{hub.at('C2')}objects/", who="WO").status == 403


def test_a_shelf_takes_only_what_its_marking_allows(hub: Served) -> None:
    amber = indicator(object_marking_refs=[MARKING_IDS[Tlp.AMBER]])
    red = indicator(object_marking_refs=[MARKING_IDS[Tlp.RED]])
    assert "TLP:AMBER may not enter a collection of TLP:GREEN" in refusal(hub, amber, to="C1")
    assert "TLP:RED may not enter" in refusal(hub, red)
    assert not StixObject.objects.filter(stix_id=red["id"]).exists()
    hub.store("C4", amber)
    assert served(hub, amber) == [amber]
    desk = f"/crc/collections/desk/objects/{amber['id']}/"
    assert hub.get(desk, who="DESK").objects == [amber]


@pytest.mark.parametrize("statement_id", sorted(STATEMENT_IDS))
def test_a_published_statement_leaves_the_marking_as_it_is(hub: Served, statement_id: str) -> None:
    noted = indicator(object_marking_refs=[statement_id])
    amber = indicator(object_marking_refs=[statement_id, MARKING_IDS[Tlp.AMBER]])
    red_part = {"marking_ref": MARKING_IDS[Tlp.RED], "selectors": ["pattern"]}
    in_part = indicator(object_marking_refs=[statement_id], granular_markings=[red_part])
    foreign = f"marking-definition--{uuid.uuid4()}"
    definition = {
        "type": "marking-definition", "spec_version": "2.1", "id": foreign,
        "created": "2026-01-01T00:00:00.000Z", "definition_type": "statement",
        "definition": {"statement": "only for us"},
    }  # fmt: skip
    other = indicator(object_marking_refs=[statement_id, foreign])
    told = hub.post("C1", {"objects": [noted, amber, in_part, definition, other]}, who="RW").json
    reasons = [failure["message"] for failure in told["failures"]]
    for reason, word in zip(reasons, ["TLP:AMBER may", "TLP:RED may", foreign], strict=True):
        assert word in reason
    assert StixObject.objects.get(stix_id=noted["id"]).tlp == "GREEN"
    inboxed = indicator(object_marking_refs=[statement_id])
    hub.store("C2", inboxed, who="WO")
    assert StixObject.objects.get(stix_id=inboxed["id"]).tlp == "AMBER+STRICT"
    assert "published statement" in refusal(
        hub, {**definition, "id": statement_id, "definition_type": "x-scheme"}, to="C1"
    )


def test_posts_of_one_member_wait_for_each_other_and_for_so_many_only(hub: Served) -> None:
    answers: list[int] = []

    def post() -> None:
        answers.append(hub.post("C4", {"objects": [indicator()]}).status)

    member = ApiKey.authenticate(hub.keys["RW"])
    assert member
    with turns._at_the_door:  # somebody's post takes long
        threads = [threading.Thread(target=post) for _ in range(turns.MOST_IN_LINE)]
        for thread in threads:
            thread.start()
        wait_until(lambda: turns._in_line[member.organisation_id] == turns.MOST_IN_LINE)
        late = hub.post("C4", {"objects": [indicator()]})
        assert (late.status, late.headers["retry-after"]) == (503, "1")
        assert "Send it again" in late.json["description"]
        # What is no such post, and other members', is answered meanwhile.
        assert hub.get(f"{hub.at('C4')}objects/?limit=1", who="RW").status == 200
        assert answers == []
    for thread in threads:
        thread.join()
    assert answers == [202] * turns.MOST_IN_LINE
    assert not turns._in_line
