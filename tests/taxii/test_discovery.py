"""Discovery and API root (T027 to T034)."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

from tests.taxii.conftest import TAXII, Served
from tests.taxii.content import indicator

LIMIT = 10 * 1024 * 1024


def test_t027_t028_discovery_is_where_clients_look(hub: Served) -> None:
    answer = hub.get("/taxii2/")
    assert answer.status == 200
    told = answer.json
    assert isinstance(told["title"], str)
    assert told["title"]
    assert told["api_roots"]
    assert told["default"] in told["api_roots"]
    assert set(told) <= {"title", "description", "contact", "default", "api_roots"}


def test_t029_t030_every_root_is_a_proper_address_and_answers(hub: Served, settings: Any) -> None:
    for root in hub.get("/taxii2/").json["api_roots"]:
        assert re.fullmatch(r"/[a-z0-9]+/", root)
        assert hub.get(root).status == 200
    # With TLS in front the address is absolute: some clients join relative ones wrongly.
    settings.BASE_URL, settings.SECURE = "https://hub.example", True
    told = hub.get("/taxii2/").json
    assert told["api_roots"] == [told["default"]] == ["https://hub.example/crc/"]


def test_t031_the_root_says_what_it_speaks_and_takes(hub: Served) -> None:
    told = hub.get("/crc/").json
    assert isinstance(told["title"], str)
    assert "application/taxii+json;version=2.1" in told["versions"]
    assert all(";version=" in version for version in told["versions"])
    assert type(told["max_content_length"]) is int
    assert told["max_content_length"] > 0


def test_t032_an_unknown_root_is_404_in_taxii(hub: Served) -> None:
    for path in ("/elsewhere/", "/elsewhere/collections/", "/taxii2/collections/", "/CRC/"):
        answer = hub.get(path)
        assert (answer.status, answer.headers["content-type"]) == (404, TAXII), path
        assert answer.json["http_status"] == "404"


def test_t033_what_is_small_enough_is_never_too_large(hub: Served) -> None:
    assert hub.get("/crc/").json["max_content_length"] == LIMIT
    status = hub.post("C2", padded(LIMIT - 1))
    assert status.status == 202, status.body
    assert hub.post("C2", padded(LIMIT)).status == 202
    refused = hub.post("C2", padded(LIMIT + 1))
    assert (refused.status, refused.headers["content-type"]) == (413, TAXII)
    assert str(LIMIT) in refused.json["description"]


def padded(length: int) -> bytes:
    """An envelope of exactly so many bytes."""
    import json

    body = json.dumps({"objects": [indicator()], "x_padding": ""}).encode()
    return body[:-2] + b"x" * (length - len(body)) + body[-2:]


def test_t034_chunked_uploads_work_and_have_the_same_limit(hub: Served) -> None:
    def chunks(body: bytes) -> Iterator[bytes]:
        for start in range(0, len(body), 64 * 1024):
            yield body[start : start + 64 * 1024]

    taken = hub.post("C2", chunks(padded(200_000)), headers={"Transfer-Encoding": "chunked"})
    assert taken.status == 202, taken.body
    assert taken.json["success_count"] == 1
    for who, status in (("RW", 413), ("ANON", 401)):
        answer = hub.post(
            "C2",
            chunks(padded(LIMIT + 100_000)),
            who=who,
            headers={"Transfer-Encoding": "chunked"},
        )
        assert (answer.status, answer.headers["content-type"]) == (status, TAXII)


def test_t032_an_unknown_root_tells_strangers_nothing(hub: Served) -> None:
    assert hub.get(f"/r{uuid.uuid4().hex}/", who="ANON").status == 401
