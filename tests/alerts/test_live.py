"""Live update: who hears, how many pages one user may hold open, and when a line ends."""

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from django.test import Client

from alerts import live, views
from alerts.channels.inbox import topic
from tests.backends import own_redis
from tests.conftest import Port
from tests.taxii.conftest import serving

PATIENCE = 30


@pytest.fixture
def broker(settings: Any) -> Iterator[redis.Redis]:
    """A real one of our own: tests beside this one publish, too."""
    with own_redis() as url:
        settings.REDIS_URL = url
        with redis.Redis.from_url(url) as client:
            yield client


def listen(base: str, client: Client) -> http.client.HTTPResponse:
    """An open page."""
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=PATIENCE)
    connection.request("GET", "/warnings/events/", headers={"Cookie": cookie})
    return connection.getresponse()


def next_event(page: http.client.HTTPResponse) -> str:
    """The next one with data; empty when the line has ended."""
    while line := page.readline():
        if line.startswith(b"data: "):
            return line.removeprefix(b"data: ").decode().strip()
    return ""


def test_one_ear_tells_every_page_of_the_member(busy_port: Port, broker: redis.Redis) -> None:
    with serving() as base:
        south, rail = busy_port.client("south"), busy_port.client("rail")
        pages = [listen(base, south), listen(base, south), listen(base, rail)]
        assert all(page.readline() == b": connected\n" for page in pages)
        assert broker.pubsub_numpat() == 1
        broker.publish(topic("south"), "first")
        broker.publish(topic("rail"), "second")
        assert [next_event(page) for page in pages] == ["first", "first", "second"]
        for page in pages:
            page.close()


def test_a_user_holds_so_many_pages_open(busy_port: Port, broker: redis.Redis) -> None:
    with serving() as base:
        south = busy_port.client("south")
        pages = [listen(base, south) for _ in range(live.MAX_LINES)]
        assert all(page.readline() == b": connected\n" for page in pages)
        assert listen(base, south).status == 429
        assert listen(base, busy_port.client("rail")).status == 200
        for page in pages:
            page.close()


def test_a_line_ends_with_its_session(
    busy_port: Port, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "KEEP_ALIVE_SECONDS", 0.2)
    with serving() as base:
        south = busy_port.client("south")
        page = listen(base, south)
        assert page.readline() == b": connected\n"
        south.logout()
        assert next_event(page) == ""


def test_without_a_broker_the_line_just_ends(busy_port: Port, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with serving() as base:
        page = listen(base, busy_port.client("south"))
        assert page.status == 200
        assert next_event(page) == ""
