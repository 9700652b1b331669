"""Addresses, methods and headers (T012 to T015, T099)."""

import socket

import pytest

from tests.taxii.conftest import TAXII, Served
from tests.taxii.content import indicator
from tests.taxii.test_media_types import endpoints


def test_t012_with_and_without_slash_the_answer_is_the_same(hub: Served) -> None:
    """The list proposes 404; docs/decisions/0009 says why these are answered."""
    for path in endpoints(hub):
        with_slash, without = hub.get(path, who="RW"), hub.get(path.rstrip("/"), who="RW")
        assert with_slash.status == without.status == 200, path
        assert with_slash.body == without.body, path


def test_t012_posts_and_deletes_without_slash_are_never_redirected(hub: Served) -> None:
    obj = indicator()
    objects = f"{hub.at('C4')}objects"
    stored = hub.send("POST", objects, who="RW", body={"objects": [obj]})
    assert (stored.status, stored.json["success_count"]) == (202, 1)
    assert hub.send("DELETE", f"{objects}/{obj['id']}", who="RW").status == 200
    assert hub.get(f"{objects}/{obj['id']}").status == 404


@pytest.mark.parametrize("path", ["/crc//collections/", "/crc/collections//"])
def test_t012_doubled_slashes_are_unknown_not_redirected(hub: Served, path: str) -> None:
    answer = hub.get(path)
    assert (answer.status, answer.headers["content-type"]) == (404, TAXII)


def test_t012_neighbours_of_taxii_paths_belong_to_the_pages(hub: Served) -> None:
    answer = hub.get("/crcx/", headers={"Accept": "text/html"})
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_t013_encoded_query_keys_mean_the_same(hub: Served) -> None:
    plain = hub.get(f"{hub.at('C1')}objects/?match[type]=malware")
    encoded = hub.get(f"{hub.at('C1')}objects/?match%5Btype%5D=malware")
    assert [obj["type"] for obj in plain.objects] == ["malware"]
    assert plain.body == encoded.body


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_t014_other_methods_get_405_and_are_told_which_work(hub: Served, method: str) -> None:
    for path in endpoints(hub):
        answer = hub.send(method, path, body={})
        assert answer.status == 405, path
        assert "GET" in answer.headers["allow"]
        assert answer.headers["content-type"] == TAXII
        assert answer.json["http_status"] == "405"


def test_t014_post_and_delete_are_told_where_they_do_not_work(hub: Served) -> None:
    assert hub.send("DELETE", hub.at("C1"), who="RW").status == 405
    assert hub.send("POST", "/taxii2/", who="RW", body={}).status == 405
    options = hub.send("OPTIONS", hub.at("C1") + "objects/")
    assert {"GET", "HEAD", "POST"} <= set(options.headers["allow"].split(", "))
    assert options.headers["content-type"] == TAXII


def test_t014_head_mirrors_get(hub: Served) -> None:
    for path in endpoints(hub):
        head, get = hub.send("HEAD", path, who="RW"), hub.get(path, who="RW")
        assert (head.status, head.body) == (200, b""), path
        for name in ("content-type", "content-length", "x-taxii-date-added-last"):
            assert head.headers.get(name) == get.headers.get(name), (path, name)


def test_t015_no_user_agent_is_no_obstacle(hub: Served) -> None:
    host, port = hub.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(
            b"GET /taxii2/ HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n"
            + f"Accept: {TAXII}\r\nAuthorization: Bearer {hub.keys['RO']}\r\n\r\n".encode()
        )
        assert wire.recv(100).startswith(b"HTTP/1.1 200 ")


def test_t099_ranges_of_taxii_2_0_are_passed_over(hub: Served) -> None:
    path = f"{hub.at('C1')}objects/"
    whole, ranged = hub.get(path), hub.get(path, headers={"Range": "items 0-1"})
    assert ranged.status == 200
    assert ranged.body == whole.body
    assert "content-range" not in ranged.headers
