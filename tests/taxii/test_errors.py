"""Errors, data types and bounded queries (T095 to T098, T100)."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from sharing.models import Placement
from tests.patience import without_a_hang
from tests.taxii.conftest import TAXII, Answer, Served
from tests.taxii.content import indicator
from tests.taxii.test_media_types import endpoints

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
NAMES = {
    "title", "description", "contact", "default", "api_roots", "versions", "max_content_length",
    "id", "status", "request_timestamp", "total_count", "success_count", "successes",
    "failure_count", "failures", "pending_count", "pendings", "version", "message", "collections",
    "alias", "can_read", "can_write", "media_types", "more", "next", "objects", "date_added",
    "media_type", "error_id", "error_code", "http_status", "external_details", "details",
}  # fmt: skip


def values(node: Any) -> Iterator[Any]:
    """Every value inside, the node included."""
    yield node
    if isinstance(node, dict):
        node = [] if "type" in node else list(node.values())  # what has a type is STIX
    for child in node if isinstance(node, list) else []:
        yield from values(child)


def bodies(hub: Served) -> Iterator[Answer]:
    """One of each kind of answer that the server words itself."""
    for path in endpoints(hub):
        yield hub.get(path, who="RW")
    yield hub.post("C2", {"objects": [indicator(), 7]})
    for path in ("/elsewhere/", f"{hub.at('C1')}objects/?limit=0", "/crc/status/x/"):
        yield hub.get(path)
    yield hub.get("/taxii2/", who="ANON")


def test_t095_an_error_has_a_title_and_its_status_as_text(hub: Served) -> None:
    c1 = hub.at("C1")
    for answer in (
        hub.get(f"{c1}objects/?limit=0"),
        hub.get(c1, who="ANON"),
        hub.post("C1", {"objects": [indicator()]}, who="RO"),
        hub.get("/elsewhere/"),
        hub.send("PUT", c1),
        hub.get(c1, headers={"Accept": "text/html"}),
        hub.post("C2", b"", headers={"Content-Type": "text/plain"}),
        hub.post("C2", {}),
    ):
        assert answer.status >= 400
        told = answer.json
        assert isinstance(told["title"], str)
        assert told["title"]
        assert told["http_status"] == str(answer.status)
        assert set(told) <= NAMES


def test_t095_a_refusal_says_what_to_send_instead(hub: Served) -> None:
    c1, type_wanted = hub.at("C1"), "application/taxii+json;version=2.1"
    html, xml = {"Accept": "text/html"}, {"Content-Type": "text/xml"}
    for status, answer, *said in (
        (400, hub.get(f"{c1}objects/?limit=abc"), 'limit is a whole number from 1; "abc" is not.'),
        (400, hub.get(f"{c1}manifest/?limit=-1"), '"-1" is not'),
        (400, hub.get(f"{c1}objects/?limit=+1"), "whole number from 1"),
        (400, hub.get(f"{c1}objects/?limit=1&limit=2"), "came 2 times", "send one of them"),
        (400, hub.get(f"{c1}objects/?match[id]=a&match[id]=b"), "alternatives by commas"),
        (403, hub.get(f"{c1}objects/", who="WO"), "lacks the scope taxii:read"),
        (403, hub.get(f"{hub.at('C2')}objects/", who="WO"), "takes posts", "/crc/collections/"),
        (403, hub.post("C1", {}, who="RO"), "collections/inbox-rail/objects/", "taxii:write"),
        (403, hub.post("C1", {}, who="SO"), "lacks the scope taxii:write"),
        (405, hub.send("PUT", c1), "PUT does not work", "takes GET"),
        (406, hub.get(c1, headers=html), '"text/html"', f"ask for {type_wanted}"),
        (415, hub.post("C2", {}, headers=xml), '"text/xml"', f"send {type_wanted}"),
        (415, hub.post("C2", {}, headers={"Content-Type": None}), "no Content-Type", type_wanted),
    ):
        assert answer.status == status, answer.body
        for words in said:
            assert words in answer.json["description"]


def test_t096_every_time_of_taxii_has_six_digits(hub: Served) -> None:
    for answer in bodies(hub):
        for name in ("first", "last"):
            date = answer.headers.get(f"x-taxii-date-added-{name}")
            assert date is None or MOMENT.fullmatch(date)
        for node in values(answer.json):
            if isinstance(node, dict):
                for name in ("date_added", "request_timestamp"):
                    assert name not in node or MOMENT.fullmatch(node[name])
    # Times inside objects stay as they were written.
    [obj] = hub.get(f"{hub.at('C1')}objects/{hub.seeded['versioned']}/").objects
    assert obj["created"] == "2026-01-01T00:00:00.000Z"


def test_t097_no_list_is_empty_and_nothing_is_null(hub: Served) -> None:
    for answer in bodies(hub):
        for node in values(answer.json):
            assert node != []
            assert node is not None
            if isinstance(node, dict) and "can_read" in node:
                assert type(node["can_read"]) is type(node["can_write"]) is bool


def test_t098_there_are_no_properties_of_our_own(hub: Served) -> None:
    for answer in bodies(hub):
        for node in values(answer.json):
            if isinstance(node, dict) and "type" not in node:
                assert set(node) <= NAMES


def test_t100_a_slow_query_is_cut_off_with_503(hub: Served, settings: Any) -> None:
    hub.store("C4", *(indicator() for _ in range(500)))
    path = f"{hub.at('C4')}objects/?match[version]=first&limit=1000"
    settings.TAXII_QUERY_SECONDS = 0.2
    with without_a_hang(), slow_database(settings):
        answer = hub.get(path)
    assert (answer.status, answer.headers["content-type"]) == (503, TAXII)
    assert answer.json["http_status"] == "503"
    assert int(answer.headers["retry-after"]) > 0
    settings.TAXII_QUERY_SECONDS = 10
    assert hub.get(path).status == 200


class slow_database:
    """A database that cannot answer in time: a table locked elsewhere, or no time at all."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings
        self._locked, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._lock)

    def _lock(self) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {Placement._meta.db_table} IN ACCESS EXCLUSIVE MODE")
            self._locked.set()
            self._done.wait(10)
        connection.close()

    def __enter__(self) -> None:
        if connection.vendor == "postgresql":
            self._thread.start()
            assert self._locked.wait(5)
        else:
            # SQLite has no lock that stops readers; its clock is looked at every thousand steps.
            self._settings.TAXII_QUERY_SECONDS = 0

    def __exit__(self, *problem: object) -> None:
        self._done.set()
        if self._thread.ident:
            self._thread.join()


def test_t100_the_limit_is_for_one_question_alone(hub: Served, settings: Any) -> None:
    settings.TAXII_QUERY_SECONDS = 0.2
    assert hub.get(f"{hub.at('C1')}objects/").status == 200
    # Writing waits for its turn, which may take longer than reading may.
    assert hub.store("C4", *(indicator() for _ in range(500)))["success_count"] == 500


@pytest.mark.parametrize("path", ["/taxii2/", "/crc/collections/", "/crc/status/x/"])
def test_t100_a_database_that_is_away_is_503(
    hub: Served, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError
    from django.db.backends.base.base import BaseDatabaseWrapper

    def away(self: object) -> None:
        raise OperationalError("no route to the database")

    monkeypatch.setattr(BaseDatabaseWrapper, "connect", away)
    answer = hub.get(path)
    assert (answer.status, answer.headers["content-type"]) == (503, TAXII)
