"""Who sends slowly, or too much, holds a connection and nobody up."""

import contextlib
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from crc import bodies
from crc.asgi import THREADS
from tests.taxii.conftest import TAXII, Served

# Far more than a busy machine needs, far less than the senders' deadline.
PATIENCE = 30
LOGIN = b"POST /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\nlogin="
CHUNKED = (
    b"POST /crc/collections/c/objects/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: %s\r\n"
    b'Content-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"obj\r\n'
) % (TAXII.encode(), TAXII.encode())


@contextlib.contextmanager
def sending(hub: Served, *starts: bytes) -> Iterator[list[socket.socket]]:
    """Connections on which a request has begun and does not go on."""
    where = urlsplit(hub.base)
    with contextlib.ExitStack() as stack:
        lines = []
        for start in starts:
            line = socket.create_connection((where.hostname, where.port), timeout=PATIENCE)
            stack.enter_context(line)
            line.sendall(start)
            lines.append(line)
        yield lines


def answer(line: socket.socket) -> tuple[int, http.client.HTTPMessage, bytes]:
    """What a server says on a connection that is still sending."""
    response = http.client.HTTPResponse(line)
    response.begin()
    return response.status, response.headers, response.read()


def chunked(hub: Served, key: str) -> bytes:
    """A post with a key that begins and does not go on."""
    return CHUNKED.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {key}\r\n\r\n".encode(), 1)


def test_slow_senders_keep_nobody_waiting(hub: Served) -> None:
    slow = [LOGIN, chunked(hub, hub.keys["RW"])] * (2 * THREADS)
    with sending(hub, *slow):
        for path in ("/health/ready", "/accounts/login/", "/taxii2/"):
            answered = hub.get(path, headers={"Accept": TAXII if path == "/taxii2/" else "*/*"})
            assert answered.status == 200, path
        # Those who send all of it are served too: here by the page that asks for a CSRF token.
        with sending(hub, LOGIN + b"x" * 494) as (line,):
            assert answer(line)[0] == 403


def test_without_a_key_the_answer_comes_before_the_body(hub: Served) -> None:
    wrong = chunked(hub, "crc_0123456789ab_wrong")
    with sending(hub, CHUNKED, wrong) as lines:
        for line in lines:
            status, headers, body = answer(line)
            assert (status, headers["Content-Type"]) == (401, TAXII)
            assert headers["Connection"] == "close"
            assert b'"http_status":"401"' in body


def test_what_does_not_arrive_in_time_is_refused(hub: Served, settings: Any) -> None:
    settings.BODY_SECONDS = 1
    with sending(hub, LOGIN, chunked(hub, hub.keys["RW"])) as (page, taxii):
        status, headers, body = answer(page)
        assert (status, headers.get_content_type()) == (408, "text/html")
        assert b"did not arrive within 1 seconds" in body
        status, headers, body = answer(taxii)
        assert (status, headers["Content-Type"]) == (408, TAXII)
        assert b"did not arrive within 1 seconds" in body


def test_a_length_that_is_too_large_is_refused_before_it_is_sent(hub: Served) -> None:
    long = LOGIN.replace(b": 500", b": 99999999")
    with sending(hub, long) as (line,):
        status, _, body = answer(line)
        assert status == 413
        assert b"Send at most" in body


def test_a_body_that_grows_too_large_is_refused(hub: Served, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    start = b"POST /report/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with sending(hub, start + b"800\r\n" + b"x" * 2_048 + b"\r\n") as (line,):
        assert answer(line)[0] == 413


LONG = LOGIN.replace(b": 500", b": %d")


def test_of_who_has_not_logged_in_no_long_body_is_taken(hub: Served) -> None:
    long = LONG % (bodies.SMALL + 1)
    store = SessionStore()
    store[SESSION_KEY] = "1"
    store.save()
    session = str(store.session_key).encode()
    known = long.replace(b"\r\n\r\n", b"\r\nCookie: sessionid=" + session + b"\r\n\r\n", 1)
    forged = long.replace(b"\r\n\r\n", b"\r\nCookie: sessionid=" + b"x" * 32 + b"\r\n\r\n", 1)
    rest = b"x" * (bodies.SMALL - 6)
    with sending(hub, long, forged, known + rest) as (line, other, member):
        # People and tools do not share their room.
        until(lambda: bodies.PEOPLE.held == bodies.SMALL)
        assert (bodies.TOOLS.held, bodies.UNKNOWN.held) == (0, 0)
        member.sendall(b"x")
        for one in (line, other):
            status, _, body = answer(one)
            assert (status, b"log in first" in body) == (413, True)
        assert answer(member)[0] == 403  # the page asks for its token


def test_who_dawdles_makes_room_for_who_does_not(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies.UNKNOWN, "most", 1_000)
    monkeypatch.setattr(bodies.TOOLS, "most", 1_000)
    begun = LONG % 500 + b"x" * 400
    with sending(hub, begun) as (first,):
        until(lambda: bodies.UNKNOWN.held == 406)
        with sending(hub, begun) as (second,):
            until(lambda: bodies.UNKNOWN.held == 812)
            # Who has a key is not concerned.
            assert hub.get("/taxii2/", headers={"Accept": TAXII}).status == 200
            with sending(hub, LOGIN + b"x" * 494) as (line,):
                assert answer(line)[0] == 403
            status, _, body = answer(first)
            assert (status, b"Try again" in body) == (503, True)
            second.sendall(b"x" * 94)
            assert answer(second)[0] == 403
        with sending(hub, LONG % 1_200 + b"x" * 1_150) as (line,):
            assert answer(line)[0] == 503
            # What is refused holds nothing while the sender is still listened to.
            assert bodies.UNKNOWN.held == 0
            with sending(hub, LOGIN + b"x" * 494) as (login,):
                assert answer(login)[0] == 403
    until(lambda: bodies.UNKNOWN.held == bodies.TOOLS.held == bodies.PEOPLE.held == 0)


def until(done: Callable[[], bool]) -> None:
    """Fails after a long while."""
    for _ in range(PATIENCE * 100):
        if done():
            return
        time.sleep(0.01)
    raise AssertionError("not in time")
