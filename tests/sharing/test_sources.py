"""What members send under one id: nobody learns of, keeps out or speaks for another."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from alerts import triage
from alerts.models import Observation
from crc.members.models import ApiKey, Organisation
from crc.members.roles import Markings, PortRole
from sharing import checking, intake
from sharing.models import Collection, Door, Placement, Release, StixObject, Submission
from sharing.stix.markings import MARKING_IDS, Json, Tlp
from sharing.store import Outcome, Result
from tests.conftest import HASH, Port
from tests.taxii.content import THIRD, indicator, later, observable, statement

Change = Callable[[Json], Json]


def post(port: Port, slug: str, *objects: Any, to: str = "") -> list[Result]:
    """What a TAXII post to a member's inbox, or to a shelf, is told of each object."""
    source = port.organisations[slug]
    collection = Collection.objects.get(alias=to or f"inbox-{slug}")
    goes_to = intake.destination(collection, source)
    submission = Submission(source=source, door=Door.TAXII)
    return intake.accept(
        objects,
        submission=submission,
        into=goes_to.into,
        actor="test",
        default_tlp=goes_to.default_tlp,
        at_most=goes_to.at_most,
    ).results


def post_news(port: Port, slug: str, *objects: Any) -> tuple[Submission, list[Result]]:
    """The same to the inbox, with the submission it became."""
    results = post(port, slug, *objects)
    return Submission.objects.latest("received_at"), results


def told(results: list[Result]) -> list[tuple[str, str]]:
    return [(result.outcome.value, result.reason) for result in results]


def bodies(alias: str, stix_id: str, *, latest: bool = True) -> list[tuple[str, str]]:
    """Who sent what is in a collection under this id: the member's slug, and ``x_said``."""
    import json

    rows = Placement.objects.filter(collection__alias=alias, object__stix_id=stix_id)
    rows = rows.filter(latest=True) if latest else rows
    columns = rows.values_list("object__submission__source__slug", "object__body")
    return sorted((slug or "the hub", json.loads(body).get("x_said", "")) for slug, body in columns)


def writers(alias: str, *slugs: str) -> None:
    Collection.objects.get(alias=alias).writers.set(Organisation.objects.filter(slug__in=slugs))


CHANGES: dict[str, Change] = {
    "the same": lambda obj: obj,
    "other content": lambda obj: {**obj, "x_said": "else"},
    "a later version": lambda obj: later(obj, THIRD),
    "an earlier version": lambda obj: {**obj, "created": "2025-01-01T00:00:00.000Z",
                                       "modified": "2025-01-01T00:00:00.000Z"},
    "a revocation": lambda obj: later(obj, revoked=True),
    "another creator": lambda obj: later(obj, created_by_ref=f"identity--{uuid.uuid4()}"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("revoked", [False, True])
def test_no_answer_tells_that_another_member_sent_it(
    port: Port, change: Change, *, revoked: bool
) -> None:
    known, unknown = indicator(), indicator()
    post(port, "north", known, later(known, revoked=revoked))
    writers("community-green", "rail")
    for to in ("", "community-green"):
        assert told(post(port, "rail", change(known), to=to)) == told(
            post(port, "rail", change(unknown), to=to)
        )


def test_who_comes_first_keeps_nobody_out(port: Port) -> None:
    true = indicator(x_said="true")
    post(port, "kestrel", {**true, "pattern": "[url:value = 'http://a.example/']", "x_said": "no"})
    assert told(post(port, "north", true, true)) == [("accepted", ""), ("duplicate", "")]
    assert bodies("desk", true["id"]) == [("kestrel", "no"), ("north", "true")]
    [update, end] = later(true, x_said="newer"), later(true, THIRD, revoked=True, x_said="gone")
    assert told(post(port, "north", update)) == [("accepted", "")]
    assert bodies("desk", true["id"]) == [("kestrel", "no"), ("north", "newer")]
    assert told(post(port, "kestrel", later(true, x_said="no more"))) == [("accepted", "")]
    assert told(post(port, "north", end)) == [("accepted", "")]
    assert bodies("desk", true["id"]) == [("kestrel", "no more"), ("north", "gone")]
    assert bodies("inbox-north", true["id"], latest=False) == [
        ("north", "gone"), ("north", "newer"), ("north", "true"),
    ]  # fmt: skip


def test_one_source_still_contradicts_itself_to_no_effect(port: Port) -> None:
    obj = indicator()
    post(port, "north", obj)
    [again] = post(port, "north", {**obj, "x_said": "else"})
    assert "other content" in again.reason
    post(port, "north", later(obj, revoked=True))
    [after] = post(port, "north", later(obj, THIRD))
    assert "final" in after.reason


def test_observables_of_two_sources_are_both_evidence(port: Port) -> None:
    plain = observable("evidence.example")
    post(port, "kestrel", {**plain, "x_said": "harmless"})
    assert told(post(port, "north", {**plain, "x_said": "command and control"})) == [
        ("accepted", "")
    ]
    assert bodies("desk", plain["id"]) == [
        ("kestrel", "harmless"), ("north", "command and control"),
    ]  # fmt: skip
    post(port, "rail", {**plain, "x_said": "harmless"})
    assert len(bodies("desk", plain["id"])) == 2  # the same content once


def test_the_same_from_a_second_member_is_a_second_witness(port: Port) -> None:
    obj = indicator()
    for slug in ("north", "rail"):
        post(port, slug, obj)
        triage.triage(str(Submission.objects.latest("received_at").pk))
    seen = Observation.objects.filter(key__startswith="value:")
    assert set(seen.values_list("source__slug", flat=True)) == {"north", "rail"}
    assert len(set(seen.values_list("key", flat=True))) == 1


def release(port: Port, slug: str = "anchor") -> Json:
    """The indicator of a report that was released to the community at once."""
    import json

    report = port.file(slug, warn_now="yes", technical=f"sha256 {HASH}")
    triage.triage(str(report.pk))
    body: Json = json.loads(
        StixObject.objects.filter(release__submission=report.pk, type="indicator").get().body
    )
    return body


def test_nobody_speaks_for_the_hub(port: Port) -> None:
    made = release(port)
    hub = Organisation.objects.get(port_role=PortRole.DESK).identity_id
    writers("community-green", "rail")
    for to in ("", "community-green"):
        for change in (
            later(made, "2099-01-01T00:00:00.000Z", revoked=True),
            later(made, "2099-01-01T00:00:00.000Z"),
            {**made, "x_said": "else"},
            indicator(created_by_ref=hub),
            indicator(created_by_ref=made["created_by_ref"]),
        ):
            [result] = post(port, "rail", change, to=to)
            assert result.outcome is Outcome.REFUSED, change
    assert bodies("community-green", made["id"]) == [("the hub", "")]
    assert bodies("desk", made["id"]) == [("the hub", "")]


def test_an_echo_of_the_hub_is_no_error_and_no_witness(port: Port) -> None:
    made = release(port)
    before = Observation.objects.count()
    [result] = post(port, "rail", made)
    assert result.outcome is not Outcome.REFUSED
    triage.triage(str(Submission.objects.latest("received_at").pk))
    assert Observation.objects.count() == before


def test_a_release_that_a_member_may_not_see_is_as_if_it_were_not_there(port: Port) -> None:
    made = release(port)
    Release.objects.update(tlp="AMBER+STRICT")
    shelf = Collection.objects.get(alias="community-strict")
    Placement.objects.filter(collection__alias="community-green").exclude(
        object__release=None
    ).update(collection=shelf)
    unknown = {**made, "id": f"indicator--{uuid.uuid4()}"}
    for change in CHANGES.values():
        # Kestrel's ceiling is AMBER.
        of_made, of_unknown = (told(post(port, "kestrel", change(obj))) for obj in (made, unknown))
        assert of_made == of_unknown
    assert bodies("desk", made["id"]) == [("the hub", "")]


def test_on_a_shelf_the_first_to_publish_stays_the_creator(port: Port) -> None:
    obj = indicator(x_said="first")
    writers("community-green", "north", "rail")
    post(port, "north", obj, to="community-green")
    for to in ("community-green", ""):
        for change in ({**obj, "x_said": "mine"}, later(obj, x_said="mine")):
            [result] = post(port, "rail", change, to=to)
            assert result.outcome is Outcome.REFUSED
    assert bodies("community-green", obj["id"]) == [("north", "first")]


def test_a_post_that_takes_too_long_to_check_loses_nothing(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "MAX_CHECK_SECONDS", 0.05)
    terms = " AND ".join(f"ipv4-addr:value != '{n}'" for n in range(200))
    slow = [indicator(pattern=f"[{terms} OR ipv4-addr:value = '{n}']") for n in range(12)]
    results = post(port, "north", *slow)
    stored = {obj for (obj,) in StixObject.objects.filter(type="indicator").values_list("stix_id")}
    assert results[0].outcome is Outcome.ACCEPTED
    assert results[-1].outcome is Outcome.REFUSED
    for result in results:
        if result.outcome is Outcome.REFUSED:
            assert "smaller posts" in result.reason
        assert (result.stix_id in stored) is (result.outcome is Outcome.ACCEPTED)
    monkeypatch.undo()
    left = [obj for obj in slow if obj["id"] not in stored]
    assert {outcome for outcome, _ in told(post(port, "north", *left))} == {"accepted"}


def test_an_id_that_may_be_anothers_reaches_the_desk_but_no_shelf(port: Port) -> None:
    writers("community-green", "north")
    obj = observable("bad.example")
    taken = {**obj, "value": "quay.example"}
    assert told(post(port, "north", taken)) == [("accepted", "")]
    [(outcome, reason)] = told(post(port, "north", taken, to="community-green"))
    assert (outcome, "id does not follow from the value" in reason) == ("refused", True)
    assert told(post(port, "north", obj, to="community-green")) == [("accepted", "")]
    assert [slug for slug, _ in bodies("community-green", obj["id"])] == ["north"]


def test_what_is_marked_in_an_unknown_way_is_for_the_desk_alone(port: Port) -> None:
    marked = indicator(object_marking_refs=[statement()["id"]])
    writers("community-green", "north")
    [(outcome, reason)] = told(post(port, "north", marked, to="community-green"))
    assert (outcome, "mark the object with TLP only" in reason) == ("refused", True)
    submission, [result] = post_news(port, "north", marked)
    assert (result.outcome, "the desk alone" in result.reason) == (Outcome.ACCEPTED, True)
    assert StixObject.objects.get(stix_id=marked["id"]).tlp == "RED"
    assert not Placement.objects.filter(object__stix_id=marked["id"]).exists()
    # Nor may a match tell others that somebody has it.
    triage.triage(str(submission.pk))
    assert not Observation.objects.filter(submission=submission).exists()


def test_a_statement_that_comes_along_hides_nothing_from_the_desk_but_is_not_published(
    port: Port,
) -> None:
    said = statement()
    marked = indicator(object_marking_refs=[said["id"]])
    assert told(post(port, "north", marked, said)) == [("accepted", "")] * 2
    assert StixObject.objects.get(stix_id=marked["id"]).tlp == "AMBER+STRICT"
    writers("community-green", "north")
    again = indicator(object_marking_refs=[said["id"]])
    results = post(port, "north", said, again, to="community-green")
    assert [result.outcome.value for result in results] == ["accepted", "refused"]
    # A level stays what it is, whatever is said about its id.
    red = {**said, "id": MARKING_IDS[Tlp.RED]}
    hidden = indicator(object_marking_refs=[red["id"]])
    post(port, "north", red, hidden)
    assert StixObject.objects.get(stix_id=hidden["id"]).tlp == "RED"


EPOCH = "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("version", [EPOCH, "1970-01-01T00:00:00.0000009Z"])
def test_a_version_from_the_beginning_of_time_is_a_version(port: Port, version: str) -> None:
    writers("community-green", "north", "south")
    first = indicator()
    post(port, "north", first, to="community-green")
    for stix_id in (first["id"], release(port)["id"]):
        forged = {**first, "id": stix_id, "created": version, "modified": version}
        results = post(port, "south", {**forged, "revoked": True}, to="community-green")
        assert [result.outcome for result in results] == [Outcome.REFUSED]
        assert "creator" in results[0].reason
    mine = {**indicator(), "created": version, "modified": version}
    assert told(post(port, "south", mine)) == [("accepted", "")]
    assert told(post(port, "south", {**mine, "x_said": "else"}))[0][0] == "refused"


def unmarked() -> Json:
    """Its level is that of the collection it is sent to."""
    return {k: v for k, v in indicator().items() if k != "object_marking_refs"}


def test_only_its_source_shares_an_object_more_widely(port: Port) -> None:
    writers("public-clear", "north", "south")
    writers("community-strict", "north")
    mine = unmarked()
    post(port, "north", mine, to="community-strict")
    [(outcome, reason)] = told(post(port, "south", mine, to="public-clear"))
    assert outcome == "refused"
    assert "TLP:AMBER+STRICT" in reason
    assert bodies("public-clear", mine["id"]) == []
    post(port, "north", mine, to="public-clear")
    assert bodies("public-clear", mine["id"]) == [("north", "")]
    assert told(post(port, "south", mine, to="public-clear")) == [("duplicate", "")]


def test_an_objects_level_is_the_loosest_its_source_has_chosen(
    port: Port, taxii: Callable[..., Any]
) -> None:
    """What was told the desk first and then everybody reaches the tools that know TLP 1 alone."""
    writers("community-green", "north")
    mine = unmarked()
    post(port, "north", mine)
    post(port, "north", mine, to="community-green")
    key = ApiKey.issue(port.organisations["rail"], ["taxii:read"], markings=Markings.TLP1_2)[1]
    green = Collection.objects.get(alias="community-green")
    got = taxii(key, f"/crc/collections/{green.pk}/objects/{mine['id']}/")
    assert [obj["id"] for obj in got.json["objects"]] == [mine["id"]]


def test_on_a_shelf_an_observable_has_one_content(port: Port) -> None:
    writers("community-green", "north", "south")
    for named in ({"id": f"{observable()['type']}--{uuid.uuid4()}"}, {}):
        seen = {**observable(), **named}
        post(port, "north", seen, to="community-green")
        other = {**seen, "x_said": "harmless"}
        assert told(post(port, "south", other, to="community-green")) == [("accepted", "")]
        assert bodies("community-green", seen["id"]) == [("north", "")]
        assert len(bodies("desk", seen["id"])) == 2


def test_an_observable_has_no_versions_whatever_it_carries(port: Port) -> None:
    seen = {**observable(), "modified": "2026-11-26T10:00:00.000Z"}
    post(port, "north", seen)
    other = {**seen, "modified": "2026-11-26T11:00:00.000Z"}
    assert told(post(port, "south", other)) == [("accepted", "")]
    assert {row.version for row in StixObject.objects.filter(stix_id=seen["id"])} == {0}


@pytest.mark.parametrize("name", ["id", "created_by_ref"])
def test_an_id_in_capitals_reaches_no_shelf(port: Port, name: str) -> None:
    writers("community-green", "south")
    made = {**indicator(), "created_by_ref": f"identity--{uuid.uuid4()}"}
    kind, _, number = made[name].partition("--")
    [(outcome, reason)] = told(
        post(port, "south", {**made, name: f"{kind}--{number.upper()}"}, to="community-green")
    )
    assert outcome == "refused"
    assert made[name] in reason


def test_the_hubs_name_in_capitals_is_the_hubs_name(port: Port) -> None:
    kind, _, number = release(port)["created_by_ref"].partition("--")
    claimed = {**indicator(), "created_by_ref": f"{kind}--{number.upper()}"}
    assert "only the hub speaks for itself" in told(post(port, "south", claimed))[0][1]
