"""Statuses (T035 to T042), those of large posts included."""

import re
import sqlite3
import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import DataError, OperationalError, connection
from django.utils import timezone
from taxii2client.v21 import Status

from alerts import tasks
from sharing import envelopes, intake
from sharing.models import Envelope, Submission
from sharing.stix import reading
from sharing.stix.markings import Json
from tests.patience import without_a_hang
from tests.taxii.conftest import Served
from tests.taxii.content import indicator, observable, statement

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
NO_VERSION = "1970-01-01T00:00:00.000000Z"


def consistent(told: Json) -> None:
    """What every status must satisfy (4.3.1), and what taxii2-client insists on."""
    assert uuid.UUID(told["id"]).version == 4
    assert told["status"] in {"complete", "pending"}
    counts = [told[f"{name}_count"] for name in ("success", "failure", "pending")]
    assert all(type(count) is int and count >= 0 for count in counts)
    assert sum(counts) == told["total_count"]
    assert "pendings" not in told
    assert [] not in told.values()
    assert [len(told.get(name, [])) for name in ("successes", "failures")] == counts[:2]
    assert MOMENT.fullmatch(told["request_timestamp"])


def test_t035_t036_t038_a_status_adds_up(hub: Served) -> None:
    told = hub.post("C2", {"objects": [indicator(), indicator(confidence=900), 7]}).json
    consistent(told)
    assert (told["total_count"], told["success_count"], told["failure_count"]) == (3, 1, 2)
    with Status(f"{hub.base}/crc/status/{told['id']}/", user="x", password=hub.keys["RW"]) as seen:
        assert (seen.status, seen.success_count) == ("complete", 1)


def test_t037_details_name_the_object_and_its_version(hub: Served) -> None:
    versioned, marking, plain = indicator(), statement(), observable("status.example")
    wrong = indicator(confidence=900)
    told = hub.post("C2", {"objects": [versioned, marking, plain, wrong]}).json
    assert [(entry["id"], entry["version"]) for entry in told["successes"]] == [
        (versioned["id"], versioned["modified"]),
        (marking["id"], marking["created"]),
        (plain["id"], NO_VERSION),
    ]
    [failure] = told["failures"]
    assert (failure["id"], failure["version"]) == (wrong["id"], wrong["modified"])
    assert "confidence" in failure["message"]


def test_t037_the_version_of_an_observable_is_the_same_everywhere(hub: Served) -> None:
    plain = observable("everywhere.example")
    told = hub.store("C4", plain)
    at = hub.at("C4")
    [record] = hub.get(f"{at}manifest/?match[id]={plain['id']}").objects
    versions = hub.get(f"{at}objects/{plain['id']}/versions/").json["versions"]
    assert {told["successes"][0]["version"], record["version"], *versions} == {NO_VERSION}


def test_t039_a_status_is_there_a_day_later(hub: Served) -> None:
    told = hub.store("C2", indicator())
    long_ago = timezone.now() - timedelta(hours=25)
    Submission.objects.filter(pk=told["id"]).update(received_at=long_ago)
    assert hub.get(f"/crc/status/{told['id']}/", who="RW").status == 200


@pytest.mark.parametrize("name", ["6f9d2b0e-1c51-4c0e-9d53-0a4f4b1c8a11", "nonsense", "%00", "1"])
def test_t040_an_unknown_status_is_404(hub: Served, name: str) -> None:
    assert hub.get(f"/crc/status/{name}/", who="RW").status == 404


def test_t041_a_status_is_for_its_sender(hub: Served) -> None:
    told = hub.store("C2", indicator())
    assert hub.get(f"/crc/status/{told['id']}/", who="WO").json == told
    assert hub.get(f"/crc/status/{told['id']}/", who="RO").status == 404
    assert hub.get(f"/crc/status/{told['id']}/", who="DESK").status == 404


def test_t042_a_complete_status_never_changes(hub: Served) -> None:
    told = hub.store("C2", indicator())
    hub.store("C2", indicator())
    tasks.run_sweep()
    assert hub.get(f"/crc/status/{told['id']}/", who="RW").json == told


def test_t042_a_large_post_is_pending_until_a_worker_has_opened_it(hub: Served) -> None:
    objects = [indicator() for _ in range(1_001)]
    hub.port.rung.clear()
    answer = hub.post("C4", {"objects": [*objects, indicator(confidence=900)]})
    assert answer.status == 202
    told = answer.json
    consistent(told)
    assert (told["status"], told["pending_count"]) == ("pending", 1_002)
    assert hub.get(f"/crc/status/{told['id']}/", who="RW").json == told
    assert hub.get(f"/crc/status/{told['id']}/").status == 404
    assert hub.get(f"{hub.at('C4')}objects/{objects[0]['id']}/").status == 404
    assert hub.port.rung == [("sharing.tasks.open_envelope", (told["id"],))]

    assert tasks.run_sweep()["opened"] == 1  # nobody answered the bell
    done = hub.get(f"/crc/status/{told['id']}/", who="RW").json
    consistent(done)
    assert (done["id"], done["status"]) == (told["id"], "complete")
    assert (done["success_count"], done["failure_count"]) == (1_001, 1)
    assert done["request_timestamp"] == told["request_timestamp"]
    assert hub.get(f"{hub.at('C4')}objects/{objects[0]['id']}/").objects == [objects[0]]
    assert not Envelope.objects.exists()
    assert tasks.run_sweep()["opened"] == 0
    assert hub.get(f"/crc/status/{told['id']}/", who="RW").json == done


def test_t042_many_bytes_or_slow_patterns_are_a_workers_job_too(hub: Served) -> None:
    fat = {"objects": [indicator()], "x_padding": "x" * (2 * 1024 * 1024)}
    terms = " AND ".join(f"ipv4-addr:value != '198.51.100.{n}'" for n in range(200))
    slow = {"objects": [indicator(pattern=f"[{terms}]") for _ in range(4)]}
    for body in (fat, slow):
        told = hub.post("C2", body).json
        assert told["status"] == "pending"
    assert tasks.run_sweep()["opened"] == 2
    assert hub.get(f"/crc/status/{told['id']}/", who="RW").json["success_count"] == 4


def test_t042_a_worker_that_dies_leaves_an_envelope_that_is_opened_once(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = [indicator() for _ in range(1_001)]
    told = hub.post("C4", {"objects": objects}).json

    def dies(*args: Any, **kwargs: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(envelopes, "take_in", dies)
        with pytest.raises(SystemExit):
            envelopes.open_one(told["id"])
    assert not envelopes.open_one(told["id"])  # its lease still runs
    assert tasks.run_sweep()["opened"] == 0
    assert hub.get(f"/crc/status/{told['id']}/", who="RW").json["status"] == "pending"

    Envelope.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert envelopes.open_one(told["id"])
    assert not envelopes.open_one(told["id"])
    assert hub.get(f"/crc/status/{told['id']}/", who="RW").json["success_count"] == 1_001
    added = hub.get(f"{hub.at('C4')}manifest/?match[id]={objects[0]['id']}").objects
    assert len(added) == 1
    assert Submission.objects.filter(pk=told["id"]).count() == 1


def test_what_kills_its_workers_is_given_up_and_says_so(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = hub.post("C4", {"objects": [indicator() for _ in range(1_001)]}).json

    def dies(*args: Any, **kwargs: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(envelopes, "check", dies)
        for _ in range(envelopes.MAX_ATTEMPTS):
            with pytest.raises(SystemExit):
                envelopes.open_one(told["id"])
            Envelope.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert tasks.run_sweep()["opened"] == 1
    done = hub.get(f"/crc/status/{told['id']}/", who="RW").json
    consistent(done)
    assert (done["status"], done["failure_count"]) == ("complete", 1_001)
    assert "smaller posts" in done["failures"][0]["message"]


@pytest.mark.parametrize("count", [3, 1_001])
@pytest.mark.parametrize("stage", ["read", "stored"])
def test_an_object_that_nobody_has_foreseen_costs_the_others_nothing(
    hub: Served, monkeypatch: pytest.MonkeyPatch, count: int, stage: str
) -> None:
    objects = [indicator() for _ in range(count)]
    bad = objects[1]["id"]
    name, module = ("problems", reading) if stage == "read" else ("put", intake)
    was = getattr(module, name)

    def stumbles(given: Any, **kwargs: Any) -> Any:
        if bad in str([item.body["id"] for item in given] if stage == "stored" else given):
            raise DataError("value too long")
        return was(given, **kwargs)

    monkeypatch.setattr(module, name, stumbles)
    told = hub.post("C4", {"objects": objects}).json
    tasks.run_sweep()
    done = hub.get(f"/crc/status/{told['id']}/", who="RW").json
    assert (done["success_count"], done["failure_count"]) == (count - 1, 1)
    [failure] = done["failures"]
    assert failure["id"] == bad
    assert "tell its operator" in failure["message"]
    assert hub.get(f"{hub.at('C4')}objects/{bad}/").status == 404


def test_one_object_that_kills_its_workers_costs_the_others_nothing(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = [indicator() for _ in range(1_001)]
    bad, was = [objects[3]["id"], objects[700]["id"]], reading.problems
    told = hub.post("C4", {"objects": objects}).json

    def dies(obj: Any, **kwargs: Any) -> Any:
        if obj and obj["id"] in bad:
            raise SystemExit
        return was(obj, **kwargs)

    monkeypatch.setattr(reading, "problems", dies)
    for _ in range(3):
        with pytest.raises(SystemExit):
            envelopes.open_one(told["id"])
        Envelope.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert envelopes.open_one(told["id"])
    done = hub.get(f"/crc/status/{told['id']}/", who="RW").json
    consistent(done)
    assert (done["success_count"], done["failure_count"]) == (999, 2)
    assert [failure["id"] for failure in done["failures"]] == bad


def test_a_busy_database_is_no_fault_of_the_envelope(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = hub.post("C4", {"objects": [indicator() for _ in range(1_001)]}).json

    def busy(*args: Any, **kwargs: Any) -> None:
        raise OperationalError from deadlock()

    with monkeypatch.context() as patch:
        patch.setattr(intake, "put", busy)
        for _ in range(envelopes.MAX_ATTEMPTS + 3):
            with pytest.raises(OperationalError):
                envelopes.open_one(told["id"])
    assert tasks.run_sweep()["opened"] == 1
    done = hub.get(f"/crc/status/{told['id']}/", who="RW").json
    assert (done["success_count"], done["failure_count"]) == (1_001, 0)


def deadlock() -> Exception:
    """As a driver tells it."""
    if connection.vendor == "postgresql":
        return psycopg.errors.DeadlockDetected("deadlock detected")
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorname = "SQLITE_BUSY"
    return locked


def test_who_posts_faster_than_is_taken_in_is_told_to_wait(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelopes, "MAX_WAITING", 1)
    objects = [indicator() for _ in range(1_001)]
    assert hub.post("C4", {"objects": objects}).json["status"] == "pending"
    refused = hub.post("C4", {"objects": objects})
    assert (refused.status, refused.headers["retry-after"]) == (503, "60")
    assert "nothing was stored" in refused.json["description"]
    tasks.run_sweep()
    assert hub.post("C4", {"objects": objects}).status == 202
    tasks.run_sweep()


def test_t042_with_the_broker_down_a_large_post_is_taken_all_the_same(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sharing.tasks
    from crc import celery

    # The real doorbell, with nobody behind it.
    monkeypatch.setattr(sharing.tasks, "ring", celery.ring)
    monkeypatch.setattr(celery.app.conf, "broker_url", "redis+socket:///nowhere/broker.sock")
    monkeypatch.setattr(celery.app, "_pool", None)
    monkeypatch.setattr(celery.app.amqp, "_producer_pool", None)
    with without_a_hang():
        told = hub.post("C2", {"objects": [indicator() for _ in range(1_001)]}).json
    assert told["status"] == "pending"
    assert tasks.run_sweep()["opened"] == 1
    assert hub.get(f"/crc/status/{told['id']}/", who="RW").json["success_count"] == 1_001
