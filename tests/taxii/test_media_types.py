"""Media types and negotiation (T001 to T011)."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.taxii.conftest import TAXII, Answer, Served
from tests.taxii.content import JAPANESE, indicator


def endpoints(hub: Served) -> list[str]:
    """Every address that answers GET."""
    c1, known = hub.at("C1"), hub.seeded["versioned"]
    return [
        "/taxii2/",
        "/crc/",
        "/crc/collections/",
        c1,
        f"{c1}manifest/",
        f"{c1}objects/",
        f"{c1}objects/{known}/",
        f"{c1}objects/{known}/versions/",
        f"/crc/status/{hub.store('C2', indicator())['id']}/",
    ]


def everywhere(hub: Served, **kwargs: Any) -> Iterator[tuple[str, Answer]]:
    """GET on each endpoint, POST to a collection, DELETE of an object."""
    for path in endpoints(hub):
        yield path, hub.get(path, who="RW", **kwargs)
    yield "POST", hub.post("C2", {"objects": [indicator()]}, **kwargs)
    gone = indicator()
    hub.store("C4", gone)
    path = f"{hub.at('C4')}objects/{gone['id']}/"
    yield "DELETE", hub.send("DELETE", path, who="RW", **kwargs)


def test_t001_t003_taxii_is_accepted_everywhere_and_answered_with_its_version(
    hub: Served,
) -> None:
    for place, answer in everywhere(hub):
        assert answer.status in {200, 202}, place
        assert answer.headers["content-type"] == TAXII, place


def test_t002_accept_without_version_is_served(hub: Served) -> None:
    for place, answer in everywhere(hub, headers={"Accept": "application/taxii+json"}):
        assert answer.status in {200, 202}, place
        assert answer.headers["content-type"] == TAXII, place


def test_t004_failures_carry_the_same_type(hub: Served) -> None:
    c1, c2 = hub.at("C1"), hub.at("C2")
    broken = [
        (400, hub.get(f"{c1}objects/?limit=0")),
        (400, hub.post("C2", b"{nonsense")),
        (401, hub.get(c1, who="ANON")),
        (403, hub.get("/taxii2/", who="LISTS")),
        (403, hub.get(f"{c2}objects/", who="WO")),
        (404, hub.get("/crc/nowhere/")),
        (404, hub.get("/elsewhere/collections/")),
        (404, hub.get(f"/crc/collections/{uuid.uuid4()}/")),
        (405, hub.send("PUT", c1)),
        (406, hub.get(c1, headers={"Accept": "text/html"})),
        (413, hub.post("C2", b" " * (10 * 1024 * 1024 + 1))),
        (415, hub.post("C2", {"objects": []}, headers={"Content-Type": "application/json"})),
        (422, hub.post("C2", {})),
    ]
    for status, answer in broken:
        assert answer.status == status
        assert answer.headers["content-type"] == TAXII
        assert answer.json["http_status"] == str(status)


def test_t004_a_crash_answers_in_taxii_and_tells_nothing(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sharing.taxii import access

    monkeypatch.setattr(access, "known", lambda: 1 / 0)
    answer = hub.get("/crc/collections/")
    assert answer.status == 500
    assert answer.headers["content-type"] == TAXII
    assert answer.json["http_status"] == "500"
    assert b"division" not in answer.body


def test_t005_the_version_is_not_quoted_and_nothing_is_added(hub: Served) -> None:
    assert hub.get("/taxii2/").headers["content-type"] == "application/taxii+json;version=2.1"


@pytest.mark.parametrize(
    "accept",
    [
        "application/taxii+json; version=2.1",
        "application/taxii+json ;version=2.1",
        'application/taxii+json;version="2.1"',
        "APPLICATION/TAXII+JSON;VERSION=2.1",
        "application/taxii+json;version=2.1,application/stix+json;version=2.1",
        "application/stix+json;version=2.1, application/taxii+json;version=2.1",
        "text/html, application/taxii+json;version=2.1;q=0.5",
        "application/taxii+json;version=2.0, application/taxii+json;version=2.1",
    ],
)
def test_t006_white_space_lists_and_weights_are_understood(hub: Served, accept: str) -> None:
    assert hub.get(f"{hub.at('C1')}manifest/", headers={"Accept": accept}).status == 200


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/*", 200),
        ("application/json, text/plain, */*", 200),
        ("text/html", 406),
        ("application/json", 406),
        ("application/vnd.oasis.taxii+json", 406),
        ("application/vnd.oasis.stix+json; version=2.0", 406),
        ("application/taxii+json;version=2.0", 406),
        ("application/taxii+json;version=2.1;q=0", 406),
    ],
)
def test_t007_wildcards_are_served_and_other_types_get_406(
    hub: Served, accept: str, status: int
) -> None:
    answer = hub.get("/taxii2/", headers={"Accept": accept})
    assert answer.status == status
    assert answer.headers["content-type"] == TAXII


def test_t008_no_accept_header_is_served(hub: Served) -> None:
    answer = hub.get("/taxii2/", headers={"Accept": None})
    assert answer.status == 200
    assert answer.headers["content-type"] == TAXII


@pytest.mark.parametrize(
    "sent",
    [
        "application/taxii+json;version=2.1",
        "application/taxii+json",
        "application/taxii+json; version=2.1",
        'application/taxii+json; version="2.1"',
        "application/taxii+json;version=2.1;charset=utf-8",
        "application/taxii+json; charset=UTF-8",
    ],
)
def test_t009_taxii_content_is_never_415(hub: Served, sent: str) -> None:
    answer = hub.post("C2", {"objects": [indicator()]}, headers={"Content-Type": sent})
    assert answer.status == 202, answer.body


@pytest.mark.parametrize(
    "sent",
    [
        "application/json",
        "application/stix+json;version=2.1",
        "application/taxii+json;version=2.0",
        "text/plain",
        None,
    ],
)
def test_t010_other_content_gets_415(hub: Served, sent: str | None) -> None:
    answer = hub.post("C2", {"objects": [indicator()]}, headers={"Content-Type": sent})
    assert answer.status == 415
    assert answer.headers["content-type"] == TAXII


def test_t011_every_character_and_number_survives(hub: Served) -> None:
    obj = indicator(
        name=JAPANESE,
        description='"\\ \u0000 \u2028 \ue000 \U0010ffff',
        x_quay_largest=2**53 - 1,
        x_quay_smallest=-(2**53) + 1,
        x_quay_fraction=0.1,
    )
    hub.store("C4", obj)
    answer = hub.get(f"{hub.at('C4')}objects/{obj['id']}/")
    assert answer.objects == [obj]
    assert JAPANESE in answer.body.decode()
    assert hub.seeded["japanese"] in hub.get(f"{hub.at('C1')}objects/").objects


def test_t011_numbers_of_the_server_fit_into_a_double(hub: Served) -> None:
    for path in endpoints(hub)[:4]:
        for number in re.findall(rb":(-?\d+)", hub.get(path).body):
            assert abs(int(number)) < 2**53
