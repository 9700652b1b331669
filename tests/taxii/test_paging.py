"""Walking a collection (T075 to T082)."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from taxii2client.v21 import Collection as Client
from taxii2client.v21 import as_pages

from crc.members import audit
from sharing.models import Collection, Placement
from sharing.taxii import paging
from tests.hub import ROOT, free_port
from tests.patience import PATIENCE
from tests.taxii.conftest import Answer, Served
from tests.taxii.content import SECOND, indicator, later, malware


def walk(hub: Served, path: str, **kwargs: Any) -> list[str]:
    """Ids by ``next``, every parameter repeated."""
    return [obj["id"] for answer in hub.pages(path, **kwargs) for obj in answer.objects]


def by_date(hub: Served, path: str) -> Iterator[Answer]:
    """The same without ``next``: by the header of the page before."""
    after = ""
    for _ in range(1000):
        answer = hub.get(path + after)
        yield answer
        if not answer.json.get("more"):
            return
        after = f"&added_after={answer.headers['x-taxii-date-added-last']}"
    raise AssertionError("this walk does not end")


@pytest.mark.parametrize("limit", [1, 2, 7, 31])
@pytest.mark.parametrize("rest", ["objects/", "manifest/"])
def test_t075_t076_both_walks_see_everything_once(hub: Served, rest: str, limit: int) -> None:
    path = f"{hub.at('C1')}{rest}?limit={limit}"
    everything = [obj["id"] for obj in hub.get(f"{hub.at('C1')}{rest}?limit=1000").objects]
    assert len(everything) == len(set(everything)) > 30
    assert walk(hub, path) == everything
    assert [obj["id"] for page in by_date(hub, path) for obj in page.objects] == everything


def test_t075_filtered_walks_see_everything_once(hub: Served) -> None:
    for query in ("match[type]=indicator", "match[version]=all", "match[version]=first"):
        whole = hub.get(f"{hub.at('C1')}objects/?limit=1000&{query}").objects
        walked = [
            obj
            for page in hub.pages(f"{hub.at('C1')}objects/?limit=3&{query}")
            for obj in page.objects
        ]
        assert walked == whole


def test_t075_t077_more_and_next_come_together_and_never_with_nothing(hub: Served) -> None:
    known = hub.seeded["versioned"]
    c1 = hub.at("C1")
    for path, name in (
        (f"{c1}objects/?limit=1", "objects"),
        (f"{c1}manifest/?limit=1", "objects"),
        (f"{c1}objects/{known}/?match[version]=all&limit=1", "objects"),
        (f"{c1}objects/{known}/versions/?limit=1", "versions"),
    ):
        answers = list(hub.pages(path))
        assert len(answers) >= 3
        for answer in answers:
            told = answer.json
            assert ("more" in told) == ("next" in told)
            assert told.get("more", True) is True
            assert told[name]


def test_t077_the_reference_client_ends_its_walks(hub: Served) -> None:
    at = f"{hub.base}{hub.at('C1')}"
    known = hub.seeded["versioned"]
    with Client(at, user="x", password=hub.keys["RO"]) as client:
        for function, arguments, name in (
            (client.get_objects, {}, "objects"),
            (client.get_manifest, {}, "objects"),
            (client.get_object, {"obj_id": known, "version": "all"}, "objects"),
            (client.object_versions, {"obj_id": known}, "versions"),
        ):
            pages = list(as_pages(function, per_request=2, **arguments))
            found = [json.dumps(item) for page in pages for item in page[name]]
            assert len(found) == len(set(found)) >= 3
            assert len(pages) < 30


def test_t078_a_cursor_is_for_its_member_and_its_address_alone(hub: Served) -> None:
    c1, known = hub.at("C1"), hub.seeded["versioned"]
    token = hub.get(f"{c1}objects/?limit=1").json["next"]
    assert hub.get(f"{c1}objects/?limit=1&next={token}").status == 200
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for path, who in (
        (f"{c1}objects/?next={token}", "RW"),
        (f"{c1}manifest/?next={token}", "RO"),
        (f"{c1}objects/{known}/?next={token}", "RO"),
        (f"{c1}objects/{known}/versions/?next={token}", "RO"),
        (f"{hub.at('C4')}objects/?next={token}", "RO"),
        (f"{c1}objects/?next={changed}", "RO"),
        (f"{c1}objects/?next={token}x", "RO"),
        (f"{c1}objects/?next=1", "RO"),
        (f"{c1}objects/?next={'~' * 500}", "RO"),
    ):
        answer = hub.get(path, who=who)
        assert answer.status == 400, path
        assert "next" in answer.json["description"]
    assert hub.get(f"{c1}objects/?next={token}", who="NONE").status == 404


def test_t078_rights_are_asked_anew_on_every_page(hub: Served) -> None:
    token = hub.get(f"{hub.at('C1')}objects/?limit=1").json["next"]
    rail = hub.port.organisations["rail"]
    group = Collection.objects.get(alias="quay-green").group
    assert group
    group.members.remove(rail)
    audit.record("group.set", actor="operator", subject=group.slug)
    try:
        assert hub.get(f"{hub.at('C1')}objects/?next={token}").status == 404
    finally:
        group.members.add(rail)
        audit.record("group.set", actor="operator", subject=group.slug)


def test_t079_other_filters_with_the_same_cursor_are_400(hub: Served) -> None:
    path = f"{hub.at('C1')}objects/"
    token = hub.get(f"{path}?limit=1&match[type]=indicator,malware").json["next"]
    for other in ("match[type]=malware", "match[type]=indicator", "match[version]=all"):
        answer = hub.get(f"{path}?next={token}&{other}")
        assert answer.status == 400, other
        assert other.partition("=")[0] in answer.json["description"]
    unfiltered = hub.get(f"{path}?limit=1").json["next"]
    assert hub.get(f"{path}?next={unfiltered}&match[type]=indicator").status == 400


def test_a_cursor_carries_its_filters_for_clients_that_drop_them(hub: Served) -> None:
    path = f"{hub.at('C1')}objects/"
    query = "match[type]=indicator&match[version]=first,last"
    whole = hub.get(f"{path}?limit=1000&{query}").objects
    since = hub.get(f"{path}?limit=1000&{query}").headers["x-taxii-date-added-first"]
    answer = hub.get(f"{path}?added_after={since}&limit=4&{query}")
    found = answer.objects
    while "next" in answer.json:
        answer = hub.get(f"{path}?next={answer.json['next']}")
        assert len(answer.objects) <= 4
        found += answer.objects
    assert found == whole[1:]


@pytest.mark.parametrize(
    "extra",
    [
        "",
        "&match[type]=malware,indicator",
        "&match[type]=indicator, malware",
        "&added_after=2026-01-01T00:00:00Z",
        "&added_after=2099-01-01T00:00:00Z",
        "&match[type]=indicator,malware&added_after=2026-01-01T00:00:00Z",
        "&match[colour]=red",
    ],
)
def test_a_cursor_takes_what_is_repeated_dropped_or_meaningless(hub: Served, extra: str) -> None:
    path = f"{hub.at('C1')}objects/"
    first = hub.get(f"{path}?match[type]=indicator,malware&limit=5").json
    expected = hub.get(f"{path}?match[type]=indicator,malware&limit=10").objects[5:]
    assert hub.get(f"{path}?next={first['next']}{extra}").objects == expected
    larger = hub.get(f"{path}?next={first['next']}{extra}&limit=1000").objects
    assert larger[:5] == expected
    assert len(larger) > 5


def test_an_empty_next_is_none(hub: Served) -> None:
    path = f"{hub.at('C1')}objects/"
    assert hub.get(f"{path}?limit=5&next=").body == hub.get(f"{path}?limit=5").body


def test_a_bad_date_is_400_beside_a_cursor_as_well(hub: Served) -> None:
    path = f"{hub.at('C1')}objects/"
    token = hub.get(f"{path}?limit=5").json["next"]
    assert hub.get(f"{path}?next={token}&added_after=yesterday").status == 400
    assert hub.get(f"{path}?next={token}&limit=0").status == 400


def test_t080_rows_that_went_between_pages_leave_an_empty_last_page(hub: Served) -> None:
    objects = [indicator() for _ in range(3)]
    told = hub.store("C4", *objects)
    since = told["request_timestamp"]
    answer = hub.get(f"{hub.at('C4')}objects/?added_after={since}&limit=1")
    assert answer.objects == objects[:1]
    for obj in objects[1:]:
        assert hub.send("DELETE", f"{hub.at('C4')}objects/{obj['id']}/", who="RW").status == 200
    last = hub.get(f"{hub.at('C4')}objects/?added_after={since}&next={answer.json['next']}")
    assert (last.status, last.body) == (200, b"{}")
    known = answer.headers["x-taxii-date-added-last"]
    assert last.headers["x-taxii-date-added-last"] == known


def test_t081_writers_during_the_walk_hide_nothing(hub: Served) -> None:
    objects = {obj["id"]: obj for obj in (malware() for _ in range(10))}
    hub.store("C4", *objects.values())
    path = f"{hub.at('C4')}objects/?match[type]=malware&limit=3"
    seen = []
    for number, answer in enumerate(hub.pages(path)):
        seen += [(obj["id"], obj["modified"]) for obj in answer.objects]
        if number == 0:
            behind, ahead = next(iter(objects.values())), list(objects.values())[-1]
            hub.store("C4", malware(), later(behind), later(ahead))
    assert {stix_id for stix_id, _ in seen} >= set(objects)
    assert (ahead["id"], SECOND) in seen
    assert len(seen) == len(set(seen))


def test_t082_a_cursor_survives_a_restart_and_another_process(hub: Served) -> None:
    token = hub.get(f"{hub.at('C1')}objects/?limit=5&match[type]=indicator").json["next"]
    expected = hub.get(f"{hub.at('C1')}objects/?limit=5&next={token}").json["objects"]
    url = f"sqlite:///{connection.settings_dict['NAME']}"
    if connection.vendor == "postgresql":
        at = connection.settings_dict
        url = (
            f"postgresql://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT'] or 5432}"
            f"/{at['NAME']}"
        )
    port = free_port()
    other = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "crc.asgi:app", "--port", str(port), "--lifespan", "off",
         "--log-level", "critical"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )  # fmt: skip
    try:
        elsewhere = dataclasses.replace(hub, base=f"http://127.0.0.1:{port}")
        answer = _patiently(elsewhere, f"{hub.at('C1')}objects/?next={token}")
        assert answer.objects == expected
    finally:
        other.terminate()
        other.wait(10)


def _patiently(hub: Served, path: str) -> Answer:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return hub.get(path)
        except OSError:
            assert time.monotonic() < deadline, "the other process does not answer"
            time.sleep(0.1)


def test_t082_a_cursor_holds_no_time_of_its_own(hub: Served) -> None:
    path = f"{hub.at('C1')}objects/?limit=5"
    assert hub.get(path).json["next"] == hub.get(path).json["next"]


def test_pages_end_by_bytes_too(hub: Served) -> None:
    def fat(kilobytes: int) -> Any:
        return malware(description="貨" * (kilobytes * 1024 // 3))

    objects = [fat(1000) for _ in range(12)]
    for obj in objects:
        hub.store("C4", obj)
    ids = ",".join(obj["id"] for obj in objects)
    sizes = []
    found = []
    for answer in hub.pages(f"{hub.at('C4')}objects/?match[id]={ids}"):
        sizes.append(len(answer.body))
        found += answer.objects
    assert found == objects
    assert len(sizes) == 2
    assert max(sizes) < paging.MAX_PAGE_BYTES + 1024


def test_one_object_always_fits(hub: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MAX_PAGE_BYTES", 10)
    everything = hub.get(f"{hub.at('C1')}manifest/?limit=1000").objects
    assert walk(hub, f"{hub.at('C1')}objects/?limit=1000") == [one["id"] for one in everything]


def test_dates_added_are_unique(hub: Served) -> None:
    assert Placement.objects.count() == Placement.objects.values("date_added").distinct().count()


def test_cursors_are_fit_for_addresses(hub: Served) -> None:
    query = "match[type]=indicator,malware&match[version]=first,last&limit=3"
    token = hub.get(f"{hub.at('C1')}objects/?{query}").json["next"]
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", token)
    assert len(token) < 300
