"""Sightings over TAXII: who may post them, what is counted, what is refused, what comes twice."""

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
import time_machine
from django.db import connection, transaction
from django.db.models import Sum

from crc import broker
from crc.members.models import ApiKey
from sharing import intake, retries, tally
from sharing.collections import SIGHTINGS
from sharing.models import Collection, SightingCount, SightingPost, StixObject, Submission
from sharing.stix import reading
from sharing.stix.markings import Json, Tlp
from sharing.stix.values import key_of
from sharing.store import Item, put
from tests.conftest import HASH, Port
from tests.taxii.test_server import indicator

Ask = Callable[..., Any]
OBJECTS = f"/crc/collections/{SIGHTINGS}/objects/"
# Half past: no test here may begin in one hour and end in the next.
NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)


@pytest.fixture(autouse=True)
def half_past() -> Iterator[None]:
    """The hub's clock, which counts by the hour."""
    with time_machine.travel(NOW, tick=True):
        yield


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.000Z}"


def sighting(what: str, **said: Any) -> Json:
    return {
        "type": "sighting",
        "spec_version": "2.1",
        "id": f"sighting--{uuid.uuid4()}",
        "created": stamp(NOW),
        "modified": stamp(NOW),
        "sighting_of_ref": what,
        **said,
    }


def observed(*observables: Json, number: int = 1, **said: Any) -> list[Json]:
    return [
        {
            "type": "observed-data",
            "spec_version": "2.1",
            "id": f"observed-data--{uuid.uuid4()}",
            "created": stamp(NOW),
            "modified": stamp(NOW),
            "first_observed": stamp(NOW),
            "last_observed": stamp(NOW),
            "number_observed": number,
            "object_refs": [obj["id"] for obj in observables],
            **said,
        },
        *observables,
    ]


def sco(kind: str, **fields: Any) -> Json:
    return {"type": kind, "spec_version": "2.1", "id": f"{kind}--{uuid.uuid4()}", **fields}


def held(alias: str = "community-green", number: int = 7) -> Json:
    """An indicator of 198.51.0.``number`` that the hub holds."""
    made = indicator(number)
    with transaction.atomic():
        put(
            [Item(made, reading.facts(made, default_tlp=Tlp.GREEN))],
            into=[Collection.objects.get(alias=alias)],
        )
    return made


def counted(what: str) -> list[tuple[str, int, int]]:
    rows = SightingCount.objects.filter(what=what).order_by("source__slug", "hour")
    return list(rows.values_list("source__slug", "count", "not_seen"))


def nobody() -> str:
    return f"indicator--{uuid.uuid4()}"


def test_a_key_for_sightings_finds_the_one_collection_and_nothing_else(
    port: Port, taxii: Ask
) -> None:
    key = port.key("north", "sightings:write")
    assert taxii(key, "/taxii2/").status_code == 200
    assert taxii(key, "/crc/").status_code == 200
    [listed] = taxii(key, "/crc/collections/").json["collections"]
    assert (listed["alias"], listed["can_read"], listed["can_write"]) == (SIGHTINGS, False, True)
    assert taxii(key, OBJECTS).status_code == 403
    inbox = Collection.objects.get(alias="inbox-north")
    posted = {"objects": [sighting(nobody())]}
    path = f"/crc/collections/{inbox.pk}/objects/"
    assert taxii(key, path, method="POST", json=posted).status_code == 404


@pytest.mark.parametrize("scope", ["taxii:read", "taxii:write", "lists:read"])
def test_other_keys_do_not_know_the_collection(port: Port, taxii: Ask, scope: str) -> None:
    key = port.key("north", scope)
    answer = taxii(key, OBJECTS, method="POST", json={"objects": [sighting(nobody())]})
    assert answer.status_code == (403 if scope == "lists:read" else 404)
    assert not SightingCount.objects.exists()


def test_the_desk_cannot_read_it_either(port: Port, taxii: Ask) -> None:
    listed = taxii(port.key("desk", "taxii:read"), "/crc/collections/").json["collections"]
    assert SIGHTINGS not in {found["alias"] for found in listed}


def test_counts_by_thing_member_and_hour(port: Port, taxii: Ask) -> None:
    what = nobody()
    hours_ago = stamp(NOW - timedelta(hours=3))
    for slug in ("north", "rail"):
        posted = [
            sighting(what),
            sighting(what, count=5, last_seen=stamp(NOW)),
            sighting(what, count=0),
            sighting(what, count=7, first_seen=hours_ago, last_seen=hours_ago),
        ]
        key = port.key(slug, "sightings:write")
        answer = taxii(key, OBJECTS, method="POST", json={"objects": posted})
        assert answer.status_code == 202
        assert answer.json["status"] == "complete"
        assert (answer.json["success_count"], answer.json["failure_count"]) == (4, 0)
        assert "successes" not in answer.json
        again = taxii(key, f"/crc/status/{answer.json['id']}/")
        assert again.json == answer.json
    assert counted(what) == [("north", 7, 0), ("north", 6, 1), ("rail", 7, 0), ("rail", 6, 1)]
    assert taxii(port.key("anchor", "sightings:write"), f"/crc/status/{answer.json['id']}/"
                 ).status_code == 404  # fmt: skip


def test_observed_data_counts_for_the_indicator_that_lists_its_value(
    port: Port, taxii: Ask
) -> None:
    known = held(number=7)
    key = port.key("north", "sightings:write")
    outside = sco("ipv4-addr", value="198.51.0.7")
    inside = sco("ipv4-addr", value="203.0.113.9")
    dropped = sco("file", hashes={"SHA-256": HASH.upper(), "MD5": "a" * 32})
    posted = [*observed(outside, inside, number=12), *observed(dropped, number=3)]
    answer = taxii(key, OBJECTS, method="POST", json={"objects": posted})
    assert answer.json["success_count"] == 5
    assert counted(known["id"]) == [("north", 12, 0)]
    assert counted(f"value:{key_of('sha256', HASH)}") == [("north", 3, 0)]
    assert SightingCount.objects.count() == 2  # not the member's own address beside a hit


def test_what_cannot_be_counted_is_refused_with_its_reason(port: Port, taxii: Ask) -> None:
    good = sighting(nobody())
    alone = sco("ipv4-addr", value="198.51.0.7")
    lonely, _ = observed(sco("mutex", name="x"))
    posted = [
        good,
        indicator(1),
        "text",
        None,
        {"type": ["sighting"]},
        sighting(nobody(), count=1_000_000_000),
        sighting(nobody(), count=-1),
        sighting(nobody(), count=1.5),
        sighting(alone["id"]),
        sighting(nobody(), first_seen=stamp(NOW + timedelta(days=2))),
        sighting(nobody(), last_seen="1969-01-01T00:00:00.000Z"),
        sighting(nobody(), last_seen="2026-02-31T00:00:00.000Z"),
        sighting("indicator--" + "9" * 5000),
        sighting(nobody(), description="\0" * 10, object_marking_refs=["marking-definition--x"]),
        alone,
        lonely,
    ]
    key = port.key("north", "sightings:write")
    answer = taxii(key, OBJECTS, method="POST", json={"objects": posted})
    assert answer.status_code == 202
    assert (answer.json["success_count"], answer.json["failure_count"]) == (1, 15)
    reasons = " ".join(failed["message"] for failed in answer.json["failures"])
    for word in ("inbox", "future", "longer ago", "does not exist", "observables in the same"):
        assert word in reasons
    assert SightingCount.objects.count() == 1


def test_a_clock_a_little_ahead_counts_now_and_an_old_sighting_by_the_day(
    port: Port, taxii: Ask
) -> None:
    what, old = nobody(), nobody()
    long_ago = NOW - timedelta(days=100)
    posted = [
        sighting(what, last_seen=stamp(NOW + timedelta(minutes=50))),
        sighting(old, last_seen=stamp(long_ago)),
    ]
    key = port.key("north", "sightings:write")
    assert taxii(key, OBJECTS, method="POST", json={"objects": posted}).json["success_count"] == 2
    ahead = SightingCount.objects.get(what=what)
    assert ahead.hour <= datetime.now(UTC)
    row = SightingCount.objects.get(what=old)
    assert (row.hours, row.hour) == (24, long_ago.replace(hour=0, minute=0, second=0))


def test_the_same_envelope_again_is_the_first_receipt(port: Port, taxii: Ask) -> None:
    what = nobody()
    key, other = port.key("north", "sightings:write"), port.key("rail", "sightings:write")
    posted = {"objects": [sighting(what, count=3), indicator(1)]}
    first = taxii(key, OBJECTS, method="POST", json=posted)
    again = taxii(port.key("north", "sightings:write"), OBJECTS, method="POST", json=posted)
    assert again.json == first.json
    assert counted(what) == [("north", 3, 0)]
    assert taxii(other, OBJECTS, method="POST", json=posted).json["id"] != first.json["id"]
    SightingPost.objects.update(received_at=NOW - timedelta(days=2))
    tally.tidy(datetime.now(UTC))
    assert not SightingPost.objects.exists()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, settings: Any) -> Iterator[None]:
    """A broker of this test's own to remember ids in."""
    import subprocess

    server = subprocess.Popen(broker.command(broker.find_binary(), tmp_path))
    settings.REDIS_URL = broker.embedded_url(tmp_path)
    broker.wait_ready(settings.REDIS_URL)
    retries._redis.cache_clear()
    monkeypatch.setitem(retries._resting, "until", 0.0)
    yield
    server.terminate()
    server.wait(10)
    retries._redis.cache_clear()


def test_a_sighting_in_another_envelope_is_counted_once(
    port: Port, taxii: Ask, memory: None, django_capture_on_commit_callbacks: Any
) -> None:
    what = nobody()
    key = port.key("north", "sightings:write")
    first, second = sighting(what), sighting(what)
    for posted in ([first, first], [first, second], [second]):
        with django_capture_on_commit_callbacks(execute=True):
            answer = taxii(key, OBJECTS, method="POST", json={"objects": posted})
        assert answer.json["failure_count"] == 0
    assert counted(what) == [("north", 2, 0)]
    assert sum(SightingPost.objects.values_list("repeated", flat=True)) == 3


def test_with_redis_away_sightings_are_counted_all_the_same(
    port: Port, taxii: Ask, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    retries._redis.cache_clear()
    monkeypatch.setitem(retries._resting, "until", 0.0)
    what = nobody()
    posted = {"objects": [sighting(what)]}
    key = port.key("north", "sightings:write")
    for _ in range(2):
        assert taxii(key, OBJECTS, method="POST", json=posted).status_code == 202
    assert counted(what) == [("north", 1, 0)]
    assert retries._rests()
    retries._redis.cache_clear()


@pytest.mark.parametrize(("policy", "kept"), [("none", 0), ("sample", 2), ("all", 5)])
def test_the_evidence_the_policy_says(
    port: Port, taxii: Ask, settings: Any, policy: str, kept: int
) -> None:
    settings.SIGHTING_EVIDENCE = policy
    key, what = port.key("north", "sightings:write"), nobody()
    beside = observed(sco("ipv4-addr", value="198.51.0.8"))
    one = sighting(what, observed_data_refs=[beside[0]["id"]])
    for posted in ([one, sighting(what)], [sighting(what)]):
        taxii(key, OBJECTS, method="POST", json={"objects": posted})
    taxii(key, OBJECTS, method="POST", json={"objects": beside})
    assert (
        StixObject.objects.filter(type="sighting").count()
        == {"none": 0, "sample": 1, "all": 3}[policy]
    )
    assert StixObject.objects.filter(submission__door="sightings").count() == {
        "none": 0, "sample": 3, "all": 5,
    }[policy]  # fmt: skip
    for alias in ("inbox-north", "desk"):
        placed = StixObject.objects.filter(placements__collection__alias=alias)
        assert placed.filter(type="sighting").exists() is bool(kept)
    assert sum(SightingCount.objects.values_list("kept", flat=True)) == (2 if policy == "sample"
                                                                         else 0)  # fmt: skip
    assert not Submission.objects.filter(triaged_at=None).exists()


def test_red_evidence_reaches_no_collection(port: Port, taxii: Ask) -> None:
    red = sighting(
        nobody(), object_marking_refs=["marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"]
    )
    key = port.key("north", "sightings:write")
    taxii(key, OBJECTS, method="POST", json={"objects": [red]})
    assert not StixObject.objects.get(stix_id=red["id"]).placements.exists()


def test_old_hours_become_days_and_old_days_go(port: Port) -> None:
    north = port.organisations["north"]
    long_ago = (NOW - timedelta(days=30)).replace(hour=0, minute=0, second=0)
    for hour in range(24):
        at = long_ago + timedelta(hours=hour)
        SightingCount.objects.create(
            what="x", source=north, hour=at, count=2, not_seen=1, kept=hour == 0,
            first_seen=at + timedelta(minutes=1), last_seen=at + timedelta(minutes=2),
        )  # fmt: skip
    tally.tidy(datetime.now(UTC))
    [row] = SightingCount.objects.all()
    assert (row.hours, row.hour, row.count, row.not_seen, row.kept) == (24, long_ago, 48, 24, 1)
    assert row.first_seen == long_ago + timedelta(minutes=1)
    assert row.last_seen == long_ago + timedelta(hours=23, minutes=2)
    tally.tidy(datetime.now(UTC))
    assert SightingCount.objects.get().count == 48
    tally.tidy(datetime.now(UTC) + timedelta(days=400))
    assert not SightingCount.objects.exists()


def test_two_at_once_lose_no_count(busy_port: Port) -> None:
    north = busy_port.organisations["north"]
    busy_port.key("north", "sightings:write")
    key = ApiKey.objects.select_related("organisation").get()
    things = [nobody() for _ in range(20)]
    failed: list[BaseException] = []

    def post(number: int) -> None:
        try:
            for turn in range(6):
                order = things if (number + turn) % 2 else things[::-1]
                objects = [sighting(what, count=2) for what in order]
                body = f"{number} {turn}".encode()
                intake.count_sightings(objects, body=body, source=north, actor=key)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=post, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    rows = SightingCount.objects.values("what").annotate(total=Sum("count"), kept=Sum("kept"))
    assert {row["what"]: row["total"] for row in rows} == dict.fromkeys(things, 4 * 6 * 2)
    assert {row["kept"] for row in rows} == {1}


def test_the_same_envelope_twice_at_once_is_counted_once(busy_port: Port) -> None:
    north = busy_port.organisations["north"]
    busy_port.key("north", "sightings:write")
    key = ApiKey.objects.select_related("organisation").get()
    what = nobody()
    objects = [sighting(what)]
    got: list[str] = []

    def post() -> None:
        made = intake.count_sightings(objects, body=b"same", source=north, actor=key)
        got.append(str(made.pk))
        connection.close()

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4
    assert len(set(got)) == 1
    assert counted(what) == [("north", 1, 0)]


def test_a_redis_that_is_there_is_the_real_one(memory: None, settings: Any) -> None:
    assert redis.Redis.from_url(settings.REDIS_URL).ping()
    one = f"sighting--{uuid.uuid4()}"
    assert retries.seen_before(1, [one]) == set()
    retries.remember(1, [one])
    assert retries.seen_before(1, [one]) == {one}
    assert retries.seen_before(2, [one]) == set()
