"""What comes over the wire before there is a request: too long, too slow, or no HTTP at all."""

import json
import socket

import pytest

from crc import wire
from tests.taxii.conftest import TAXII, Served
from tests.taxii.test_slow_senders import answer, sending

HEAD = b"GET %s HTTP/1.1\r\nHost: hub\r\nAccept: %s\r\n"
LIMITS = [(b"/crc/collections/", TAXII), (b"/accounts/login/", "text/plain; charset=utf-8")]


def told(line: socket.socket, media: str) -> tuple[int, str]:
    """Status and reason of a refusal, in the words of who asked."""
    status, headers, body = answer(line)
    assert headers["Content-Type"] == media
    if media != TAXII:
        return status, body.decode()
    said = json.loads(body)
    assert (said["http_status"], bool(said["title"])) == (str(status), True)
    return status, said["description"]


@pytest.mark.parametrize(("path", "media"), LIMITS)
def test_a_head_that_does_not_end_fills_no_memory(hub: Served, path: bytes, media: str) -> None:
    with sending(hub, HEAD % (path, b"*/*") + b"X-Long: ") as (line,):
        for _ in range(40):
            line.sendall(b"x" * 16 * 1024)
        status, reason = told(line, media)
    assert (status, str(wire.MAX_HEAD_BYTES) in reason) == (431, True)


@pytest.mark.parametrize(("path", "media"), LIMITS)
def test_a_head_that_comes_too_slowly_is_not_waited_for(
    hub: Served, monkeypatch: pytest.MonkeyPatch, path: bytes, media: str
) -> None:
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.2)
    with sending(hub, HEAD % (path, b"*/*"), b"") as (slow, silent):
        assert told(slow, media)[0] == 408
        assert silent.recv(1) == b""


def test_what_is_no_http_is_an_error_of_taxii_on_its_paths(hub: Served) -> None:
    post = b"POST /crc/collections/c/objects/ HTTP/1.1\r\nHost: hub\r\n"
    for wrong in (b"Content-Length: -5\r\n\r\n", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n"):
        with sending(hub, post + wrong) as (line,):
            assert told(line, TAXII)[0] == 400


def test_requests_of_one_connection_are_each_answered(hub: Served) -> None:
    """A body as long as a head may not be, and the next head in the same packet."""
    key = f"Authorization: Bearer {hub.keys['RW']}\r\n".encode()
    body = b'{"objects": []' + b" " * 2 * wire.MAX_HEAD_BYTES + b"}"
    post = HEAD.replace(b"GET", b"POST") % (f"{hub.at('C4')}objects/".encode(), b"*/*")
    post += key + b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n" % (TAXII.encode(), len(body))
    get = HEAD % (b"/taxii2/", TAXII.encode()) + key + b"Connection: close\r\n\r\n"
    with sending(hub, post + body + get) as (line,):
        got = b"".join(iter(lambda: line.recv(65_536), b""))
    assert got.count(b"HTTP/1.1 422 ") == 1
    assert got.count(b"HTTP/1.1 200 ") == 1


def pour(line: socket.socket, part: bytes) -> None:
    """More of it than fits between two ends that do not read."""
    for _ in range(2_000):
        line.sendall(part * (16 * 1024 // len(part)))


def test_what_comes_after_a_body_fills_no_memory_and_is_no_header(hub: Served) -> None:
    post = b"POST /accounts/login/ HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n"
    endless = post + b"\r\n1\r\nx\r\n0\r\n"
    with sending(hub, endless, endless + b"X-Long: ", post + b"\r\n1;x=") as lines:
        for line, part in zip(lines, (b"X-T: 1\r\n", b"x", b"y"), strict=True):
            with pytest.raises(ConnectionError):
                pour(line, part)
    smuggled = f"Authorization: Bearer {hub.keys['RW']}\r\nConnection: close\r\n".encode()
    get = HEAD % (b"/taxii2/", TAXII.encode())
    late = get + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + smuggled + b"\r\n"
    with sending(hub, late) as (line,):
        assert answer(line)[0] == 401


def test_requests_that_wait_behind_others_fill_no_memory(hub: Served) -> None:
    get = HEAD % (b"/health/ready", b"*/*") + b"\r\n"
    some, got = wire.MAX_PIPELINED - 1, b""
    with sending(hub, get * some) as (line,):
        while got.count(b"HTTP/1.1 200 ") < some:
            got += line.recv(65_536)
    with sending(hub, get) as (line,), pytest.raises(ConnectionError):
        pour(line, get)
