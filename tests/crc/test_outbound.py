"""The door out, tried with real servers on the loopback; nothing here leaves the machine."""

import contextlib
import datetime as dt
import http.server
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crc import outbound
from crc.outbound import Blocked, Outbound, OutboundError
from tests.patience import PATIENCE, without_a_hang

LOOPBACK = "127.0.0.1/32"
SECRET = "T0PSECRET"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers by path; the server remembers connections, requests and TLS names."""

    protocol_version = "HTTP/1.1"
    server: Any

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        if self.path == "/unread":
            self.server.over.wait(5)
            self.close_connection = True
            return
        length = int(self.headers.get("content-length") or 0)
        self.server.requests.append((self.path, dict(self.headers), self.rfile.read(length)))
        with contextlib.suppress(OSError):
            getattr(self, "at_" + self.path.split("?")[0].strip("/"), self.at_ok)()

    do_GET = do_POST

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def at_ok(self) -> None:
        self.reply(200, b"taken", x_receipt="7")

    def at_chunked(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\ntaken\r\n0\r\n\r\n")

    def at_redirect(self) -> None:
        self.reply(302, location="http://169.254.169.254/latest/meta-data/")

    def at_elsewhere(self) -> None:
        self.reply(307, location=f"http://127.0.0.1:{self.server.server_port}/landed")

    def at_busy(self) -> None:
        self.reply(503, retry_after="1")

    def at_bomb(self) -> None:
        self.reply(200, b"\x1f\x8bnot really gzip", content_encoding="gzip")

    def at_exact(self) -> None:
        self.reply(200, b"x" * 1000)

    def at_cut(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "100")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def at_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 65536)

    def at_drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.drip(b"x")

    def at_drip_chunks(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.drip(b"1\r\nx\r\n")

    def at_drip_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        self.drip(b"x")

    def at_drip_continue(self) -> None:
        self.drip(b"HTTP/1.1 100 Continue\r\n\r\n")

    def at_drip_trailers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        self.drip(b"X-More: 1\r\n")

    def at_silent(self) -> None:
        self.server.over.wait(5)

    def at_hang_up(self) -> None:
        self.close_connection = True

    def at_gibberish(self) -> None:
        self.wfile.write(b"220 mail.example ESMTP\r\n")
        self.close_connection = True

    def at_too_many_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 200 + b"\r\n")
        self.close_connection = True

    def at_broken_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nno colon here\r\ncontent-length: 0\r\n\r\n")
        self.close_connection = True

    def drip(self, piece: bytes) -> None:
        while not self.server.over.wait(0.02):
            self.wfile.write(piece)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Any]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.connections, server.requests, server.over = 0, [], threading.Event()
    server.handle_error = lambda *_: None
    scheme = "http"
    if tls:
        scheme = "https"
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.url = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.socket.close()


@pytest.fixture
def receiver() -> Iterator[Any]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def strict() -> Outbound:
    """The door as it comes: public addresses, https."""
    return Outbound()


@pytest.fixture(scope="module")
def opened() -> Outbound:
    return Outbound(allowed_networks=[LOOPBACK], total_timeout=5)


@pytest.fixture
def demo(opened: Outbound) -> Iterator[Outbound]:
    """The demo's door: open to this machine. One for all tests, but no connection outlives one."""
    yield opened
    opened.close()


@pytest.fixture
def hasty() -> Iterator[Outbound]:
    """No single wait is longer than 0.3 s, no exchange than 0.6 s."""
    made = Outbound(allowed_networks=[LOOPBACK], read_timeout=0.3, total_timeout=0.6, max_body=1000)
    yield made
    made.close()


def names_lead_to(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[str]:
    """Each lookup takes the next round of addresses. Returns the list of names asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        asked.append(host)
        found = rounds[min(len(asked), len(rounds)) - 1]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses a connection was tried to; every one of them refuses."""
    tried: list[str] = []

    def connect(self: socket.socket, address: Any) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(outbound._PlainSocket, "connect", connect)
    return tried


# --- which addresses -----------------------------------------------------------------------------

CLOSED = [
    # IPv4: private, loopback, link-local and metadata, carrier NAT, unspecified, broadcast
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.255.0.1"),
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "0.0.0.0", "0.1.2.3"),
    *("255.255.255.255", "240.0.0.1", "224.0.0.1", "239.255.255.250", "198.18.0.1"),
    # documentation, IETF protocols, 6to4 relay, Azure's wire server
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.0.192", "192.88.99.1", "168.63.129.16"),
    # IPv6: loopback, unspecified, link-local, ULA and metadata, site-local, multicast
    *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
    # documentation, discard, benchmarking, ORCHID, unassigned
    *("2001:db8::1", "3fff::1", "100::1", "2001:2::1", "2001:20::1", "4000::1", "5f00::1"),
    # IPv4 inside IPv6: mapped, translated, compatible, 6to4, Teredo, NAT64
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("::ffff:0:127.0.0.1", "::127.0.0.1", "::8.8.8.8", "2002:7f00:1::", "2002:808:808::1"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::8.8.8.8",),
]
PUBLIC = [
    *("8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "223.255.255.254", "11.0.0.1"),
    *("2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1"),
    *("64:ff9b::8.8.8.8", "::ffff:8.8.8.8"),
]


def url_of(address: str) -> str:
    return f"https://[{address}]/" if ":" in address else f"https://{address}/"


@pytest.mark.parametrize("address", CLOSED)
def test_a_closed_address_is_refused_typed_or_behind_a_name(
    address: str, strict: Outbound, monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    with pytest.raises(Blocked):
        strict.check_url(url_of(address))
    names_lead_to(monkeypatch, [address])
    with pytest.raises(Blocked) as caught:
        strict.post("https://hooks.example/", b"", {})
    assert caught.value.permanent
    assert address not in caught.value.reason  # what a name leads to inside is nobody's business
    with pytest.raises(Blocked):
        strict.open_socket("logs.example", 6514)
    assert dialled == []


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_dialled(
    address: str, strict: Outbound, monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    assert strict.check_url(url_of(address)) == url_of(address)
    names_lead_to(monkeypatch, [address])
    with pytest.raises(OutboundError, match="refused the connection") as caught:
        strict.post("https://hooks.example/", b"", {})
    assert not caught.value.permanent
    assert dialled == [address]


REFUSED = [
    # numbers that the system's lookup reads as 127.0.0.1
    *("https://2130706433/", "https://0177.0.0.1/", "https://0x7f.0.0.1/", "https://0x7f000001/"),
    *(
        "https://127.1/",
        "https://127.0.1/",
        "https://017700000001/",
        "https://0/",
        "https://127.0x1/",
    ),
    *("https://127.000.000.001/", "https://0x/", "https://256.256.256.256/", "https://1.2.3.4.5/"),
    # trailing dots, local names, capitals
    *("https://127.0.0.1./", "https://localhost/", "https://LOCALHOST./", "https://a.localhost/"),
    *("https://127.0.0.1../", "https://example..com/", "https://./", "https://.example/"),
    # digits and dots from elsewhere in Unicode, and percent signs
    *("https://１２７.0.0.1/", "https://①②⑦.0.0.1/", "https://127。0。0。1/", "https://١٢٧.0.0.1/"),
    *("https://%31%32%37.0.0.1/", "https://127%2e0.0.1/", "https://exa%00mple.com/"),
    "https://ⓛocalhost/",
    # who is the host here?
    *(
        "https://good.example@127.0.0.1/",
        "https://user:pass@good.example/",
    ),
    *("https://good.example:443@127.0.0.1/", "https://127.0.0.1\\@good.example/"),
    *("https://127.0.0.1#@good.example/", "https://127.0.0.1?@good.example/"),
    *("https://good.example\t@127.0.0.1/", "https:\\\\good.example/", "https:/\\good.example/"),
    # brackets
    *("https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[0:0:0:0:0:ffff:7f00:1]/"),
    *("https://[fe80::1%25eth0]/", "https://[2606:4700::1111%25lo]/", "https://[::1/"),
    *("https://[127.0.0.1]/", "https://[]/", "https://::1/", "https://[v1.x]/"),
    # ports
    *("https://good.example:0/", "https://good.example:65536/", "https://good.example:-1/"),
    *("https://good.example:http/", "https://good.example:８０/"),
    # shapes
    *("", "https://", "https:///x", "https://:443/", "//good.example/", "good.example", "https:x"),
    *("ftp://good.example/", "file:///etc/passwd", "gopher://good.example/", "javascript:1"),
    *(" https://good.example/", "https://good.example/a b", "https://good.example/\r\nX-A: 1"),
    *("https://good.example/\x00", "https://good_,example/", "https://" + "a" * 64 + ".example/"),
    "https://" + "a." * 130 + "example/",
    # plain http, where no network is opened
    *("http://good.example/", "http://8.8.8.8/", "HTTP://good.example/"),
]


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_is_refused_when_typed(
    url: str, strict: Outbound, dialled: list[str]
) -> None:
    with pytest.raises(Blocked) as caught:
        strict.check_url(url)
    assert caught.value.permanent
    assert caught.value.reason.endswith(".")
    with pytest.raises(Blocked):
        strict.get(url, {})
    assert dialled == []


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("https://good.example", "https://good.example/"),
        ("https://@good.example/", "https://good.example/"),
        ("HTTPS://Good.Example:443/Hook?T=1#top", "https://good.example/Hook?T=1"),
        ("https://good.example.:8443/x", "https://good.example:8443/x"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://港.example/通知", "https://xn--j6w.example/%E9%80%9A%E7%9F%A5"),
        ("https://good.example/a/../b", "https://good.example/b"),
        ("https://good.example/@x?u=a@b", "https://good.example/@x?u=a@b"),
        ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("https://3com.example/", "https://3com.example/"),
        ("https://0x7f.example/", "https://0x7f.example/"),
    ],
)
def test_an_address_is_kept_in_normal_form(typed: str, kept: str, strict: Outbound) -> None:
    assert strict.check_url(typed) == kept
    assert strict.check_url(kept) == kept


# --- the operator's own networks -----------------------------------------------------------------


def test_the_operators_networks_open_private_addresses_and_plain_http() -> None:
    door = Outbound(allowed_networks=["10.1.0.0/16", "::1/128"])
    for url in ("http://10.1.2.3:8080/", "https://10.1.2.3/", "http://[::1]/", "http://siem.port/"):
        assert door.check_url(url) == url
    assert door.check_url("https://[::ffff:10.1.2.3]/")
    for url in ("http://10.2.0.1/", "https://10.2.0.1/", "http://127.0.0.1/", "http://8.8.8.8/"):
        with pytest.raises(Blocked):
            door.check_url(url)


def test_plain_http_goes_to_opened_networks_alone(
    monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    door = Outbound(allowed_networks=["10.1.0.0/16"])
    names_lead_to(monkeypatch, ["8.8.8.8"])
    with pytest.raises(Blocked, match="https"):
        door.post("http://siem.port/", b"", {})
    names_lead_to(monkeypatch, ["10.1.2.3", "8.8.8.8"])
    with pytest.raises(Blocked, match="https"):
        door.post("http://siem.port/", b"", {})
    assert dialled == []
    names_lead_to(monkeypatch, ["10.1.2.3"])
    with pytest.raises(OutboundError, match="refused"):
        door.post("http://siem.port/", b"", {})
    assert dialled == ["10.1.2.3"]


def test_a_network_written_wrongly_is_an_error_at_the_start() -> None:
    with pytest.raises(ValueError, match="host bits"):
        Outbound(allowed_networks=["10.0.0.1/8"])


# --- rebinding -----------------------------------------------------------------------------------


def test_a_name_that_changes_its_answer_is_asked_once_and_dialled_as_judged(
    monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    asked = names_lead_to(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    with pytest.raises(OutboundError, match="refused"):
        Outbound().post("https://rebind.example/", b"", {})
    assert (asked, dialled) == (["rebind.example"], ["93.184.216.34"])
    with pytest.raises(Blocked):
        Outbound().post("https://rebind.example/", b"", {})
    assert dialled == ["93.184.216.34"]


def test_the_socket_really_goes_to_the_judged_address(
    receiver: Any, demo: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = names_lead_to(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    url = f"http://rebind.example:{receiver.server_port}/ok"
    assert demo.post(url, b"", {}).status == 200
    assert demo.post(url, b"", {}).status == 200  # over the kept connection, without a lookup
    assert asked == ["rebind.example"]
    assert receiver.requests[0][1]["Host"] == f"rebind.example:{receiver.server_port}"


@pytest.mark.parametrize("order", [1, -1])
def test_one_closed_answer_among_public_ones_closes_the_name(
    order: int, monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    names_lead_to(monkeypatch, ["93.184.216.34", "127.0.0.1", "2606:4700::1111"][::order])
    with pytest.raises(Blocked):
        Outbound().post("https://mixed.example/", b"", {})
    assert dialled == []


def test_the_next_address_is_tried_when_one_is_down(
    monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    names_lead_to(monkeypatch, ["2606:4700::1111", "93.184.216.34"])
    with pytest.raises(OutboundError, match="refused"):
        Outbound().post("https://two.example/", b"", {})
    assert dialled == ["2606:4700::1111", "93.184.216.34"]


def test_proxy_variables_are_ignored(
    receiver: Any, demo: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert demo.get(receiver.url + "/ok", {}).status == 200


# --- exchanges -----------------------------------------------------------------------------------


def test_a_post_arrives_whole_and_its_answer_comes_back(receiver: Any, demo: Outbound) -> None:
    answer = demo.post(receiver.url + "/ok?a=b", b"\x00body", {"Webhook-Id": "msg_1"})
    assert (answer.status, answer.body, answer.truncated) == (200, b"taken", False)
    assert answer.headers["x-receipt"] == answer.headers["X-Receipt"] == "7"
    assert 0 < answer.elapsed_ms < 5000
    path, headers, body = receiver.requests[0]
    assert (path, body, headers["Webhook-Id"]) == ("/ok?a=b", b"\x00body", "msg_1")
    assert headers["User-Agent"] == "port-cyber-resilience-hub"
    assert headers["Accept-Encoding"] == "identity"


def test_the_caller_may_name_another_user_agent(receiver: Any, demo: Outbound) -> None:
    demo.get(receiver.url + "/ok", {"user-agent": "ours/1"})
    assert [v for k, v in receiver.requests[0][1].items() if k.lower() == "user-agent"] == [
        "ours/1"
    ]


@pytest.mark.parametrize("path", ["/ok", "/chunked", "/busy", "/redirect"])
def test_one_connection_carries_many_requests(path: str, receiver: Any, demo: Outbound) -> None:
    for _ in range(5):
        demo.post(receiver.url + path, b"x", {})
    assert receiver.connections == 1
    demo.close()
    demo.post(receiver.url + path, b"x", {})
    assert receiver.connections == 2


@pytest.mark.parametrize(("path", "status"), [("/redirect", 302), ("/elsewhere", 307)])
def test_a_redirect_is_an_answer_and_is_not_followed(
    path: str, status: int, receiver: Any, demo: Outbound
) -> None:
    assert demo.post(receiver.url + path, b"", {}).status == status
    assert demo.get(receiver.url + path, {}).status == status
    assert [seen[0] for seen in receiver.requests] == [path, path]


def test_a_busy_receiver_is_not_asked_again(receiver: Any, demo: Outbound) -> None:
    answer = demo.post(receiver.url + "/busy", b"", {})
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert len(receiver.requests) == 1


def test_a_compressed_body_stays_compressed(receiver: Any, demo: Outbound) -> None:
    assert demo.get(receiver.url + "/bomb", {}).body == b"\x1f\x8bnot really gzip"


def test_a_body_of_exactly_the_limit_is_whole(receiver: Any, hasty: Outbound) -> None:
    answer = hasty.get(receiver.url + "/exact", {})
    assert (len(answer.body), answer.truncated) == (1000, False)


def test_an_endless_body_is_cut_and_its_connection_dropped(receiver: Any, hasty: Outbound) -> None:
    hasty.total_timeout = 2 * PATIENCE  # only its size can end it
    with without_a_hang():
        answer = hasty.post(receiver.url + "/endless", b"", {})
    assert (answer.status, answer.body, answer.truncated) == (200, b"x" * 1000, True)
    assert hasty.post(receiver.url + "/ok", b"", {}).body == b"taken"
    assert receiver.connections == 2


def test_a_body_that_breaks_off_is_truncated(receiver: Any, hasty: Outbound) -> None:
    answer = hasty.get(receiver.url + "/cut", {})
    assert (answer.status, answer.body, answer.truncated) == (200, b"half", True)


@pytest.mark.parametrize("path", ["/drip", "/drip_chunks", "/drip_trailers"])
def test_a_dripping_body_ends_with_the_time(path: str, receiver: Any, hasty: Outbound) -> None:
    with without_a_hang():
        answer = hasty.get(receiver.url + path, {})
    assert (answer.status, answer.truncated) == (200, True)
    assert answer.elapsed_ms > 500
    assert len(answer.body) < 1000


@pytest.mark.parametrize("path", ["/drip_headers", "/drip_continue", "/silent"])
def test_an_answer_that_does_not_begin_is_out_of_time(
    path: str, receiver: Any, hasty: Outbound
) -> None:
    with (
        without_a_hang(),
        pytest.raises(OutboundError, match="did not answer in time") as caught,
    ):
        hasty.post(f"{receiver.url}{path}?{SECRET}", b"", {})
    assert not caught.value.permanent
    assert SECRET not in caught.value.reason


def test_a_receiver_that_stops_reading_is_out_of_time(receiver: Any, hasty: Outbound) -> None:
    hasty.post(receiver.url + "/ok", b"", {})
    with without_a_hang(), pytest.raises(OutboundError, match="did not answer in time"):
        hasty.post(receiver.url + "/unread", b"x" * 50_000_000, {})
    assert receiver.connections == 1


def test_many_silent_addresses_share_the_time(
    hasty: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []

    def connect(self: socket.socket, address: Any) -> None:
        waited.append(self.gettimeout() or 0)
        time.sleep(waited[-1])
        raise TimeoutError

    monkeypatch.setattr(outbound._PlainSocket, "connect", connect)
    names_lead_to(monkeypatch, ["93.184.216.34"] * 9)
    hasty.connect_timeout = 0.4
    with pytest.raises(OutboundError, match="did not answer in time"):
        hasty.post("https://silent.example/", b"", {})
    assert len(waited) > 1
    assert sum(waited) <= hasty.total_timeout


def test_time_used_up_by_one_call_is_given_anew_to_the_next(receiver: Any, hasty: Outbound) -> None:
    hasty.get(receiver.url + "/drip", {})
    assert hasty.get(receiver.url + "/ok", {}).status == 200


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/hang_up", "127.0.0.1 closed the connection without answering."),
        ("/gibberish", "127.0.0.1 gave an answer the hub cannot read."),
        ("/too_many_headers", "127.0.0.1 gave an answer the hub cannot read."),
    ],
)
def test_a_failed_exchange_is_told_in_plain_words(
    path: str, reason: str, receiver: Any, demo: Outbound
) -> None:
    with pytest.raises(OutboundError) as caught:
        demo.post(f"{receiver.url}{path}?{SECRET}", b"", {})
    assert (caught.value.reason, caught.value.permanent) == (reason, False)


def test_a_closed_port_is_told(demo: Outbound) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(OutboundError, match="refused the connection") as caught:
        demo.post(f"http://127.0.0.1:{port}/{SECRET}", b"", {})
    assert not caught.value.permanent
    assert SECRET not in caught.value.reason


def test_a_name_nobody_knows_is_told_and_may_be_tried_again(
    demo: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*args: Any, **kwargs: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OutboundError, match=r"The name gone\.example could not be found") as caught:
        demo.post(f"https://gone.example/{SECRET}", b"", {})
    assert not caught.value.permanent
    assert SECRET not in caught.value.reason


@pytest.mark.parametrize("path", ["/ok", "/broken_headers", "/hang_up", "/redirect"])
def test_no_log_line_holds_the_secret_part_of_an_address(
    path: str, receiver: Any, demo: Outbound, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), contextlib.suppress(OutboundError):
        demo.post(f"{receiver.url}{path}?{SECRET}", b"", {})
    assert receiver.requests
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("X-A", "1\r\nX-B: 2"), ("X-A", "1\r\n X-B: 2"), ("X-A", "1\nX-B: 2"), ("X-A", "\x00")),
        *(("X-A", "停泊"), ("X-A\r\nX-B", "1"), ("X-A: 1\r\nX-B", "1"), ("", "1"), ("X A", "1")),
        *(("Host", "other"), ("content-length", "0"), ("Transfer-Encoding", "chunked")),
    ],
)
def test_a_header_that_would_forge_another_is_refused(
    name: str, value: str, receiver: Any, demo: Outbound
) -> None:
    with pytest.raises(OutboundError) as caught:
        demo.post(receiver.url + "/ok", b"", {name: value})
    assert caught.value.permanent
    assert receiver.connections == 0


def test_sixteen_threads_share_one_door(receiver: Any, demo: Outbound) -> None:
    def call(number: int) -> tuple[int, bytes]:
        path = "/ok" if number % 4 else "/exact"
        answer = demo.post(receiver.url + path, str(number).encode(), {"X-N": str(number)})
        return answer.status, answer.body

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(call, range(400)))
    assert answers == [(200, b"taken" if n % 4 else b"x" * 1000) for n in range(400)]
    assert sorted(int(body) for _, _, body in receiver.requests) == list(range(400))
    assert all(headers["X-N"] == body.decode() for _, headers, body in receiver.requests)
    assert receiver.connections <= 16


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of siem.port, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "siem.port")])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.DNSName("siem.port")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "siem.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(pem)
    )
    return path


@pytest.fixture
def siem(certificate: Path) -> Iterator[Any]:
    """A receiver that speaks TLS and notes the names it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked: list[str | None] = []
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    with serving(context) as server:
        server.asked = asked
        yield server


@pytest.fixture
def trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbound]:
    """Trusts the siem's certificate; every name leads to this machine."""
    names_lead_to(monkeypatch, ["127.0.0.1"])
    made = Outbound(
        allowed_networks=[LOOPBACK],
        ca_file=str(certificate),
        read_timeout=0.5,
        total_timeout=1,
        max_body=1000,
    )
    yield made
    made.close()


def test_tls_is_checked_against_the_name_not_the_address(siem: Any, trusting: Outbound) -> None:
    for _ in range(3):
        answer = trusting.post(f"https://siem.port:{siem.server_port}/ok", b"hello", {})
        assert (answer.status, answer.body) == (200, b"taken")
    assert siem.asked == ["siem.port"]
    assert siem.connections == 1
    assert siem.requests[0][1]["Host"] == f"siem.port:{siem.server_port}"


def test_a_self_signed_certificate_is_told(siem: Any, demo: Outbound) -> None:
    with pytest.raises(OutboundError, match=r"certificate of 127\.0\.0\.1.*self-signed") as caught:
        demo.post(f"{siem.url}/{SECRET}", b"", {})
    assert not caught.value.permanent
    assert SECRET not in caught.value.reason
    assert siem.requests == []


def test_another_hosts_certificate_is_told(siem: Any, trusting: Outbound) -> None:
    with pytest.raises(OutboundError, match=r"certificate of other\.port.*mismatch"):
        trusting.post(f"https://other.port:{siem.server_port}/{SECRET}", b"", {})
    assert siem.requests == []


def test_a_plain_server_on_a_tls_address_is_told(receiver: Any, demo: Outbound) -> None:
    with pytest.raises(OutboundError, match="does not speak TLS"):
        demo.post(receiver.url.replace("http:", "https:") + "/ok", b"", {})


@pytest.mark.parametrize("path", ["/drip", "/endless", "/drip_headers"])
def test_time_and_size_are_bounded_over_tls_too(path: str, siem: Any, trusting: Outbound) -> None:
    with without_a_hang(), contextlib.suppress(OutboundError):
        assert trusting.get(f"https://siem.port:{siem.server_port}{path}", {}).truncated


def test_a_receiver_that_stops_reading_over_tls_is_out_of_time(
    siem: Any, trusting: Outbound
) -> None:
    url = f"https://siem.port:{siem.server_port}"
    trusting.post(url + "/ok", b"", {})
    with without_a_hang(), pytest.raises(OutboundError, match="did not answer in time"):
        trusting.post(url + "/unread", b"x" * 50_000_000, {})
    assert siem.connections == 1


def test_a_slow_connection_leaves_less_time_for_the_handshake(
    trusting: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(self: socket.socket, address: Any) -> None:
        time.sleep(0.7)
        socket.socket.connect(self, address)

    allowed = []

    def do_handshake(self: ssl.SSLSocket) -> None:
        allowed.append(self.gettimeout() or PATIENCE)
        ssl.SSLSocket.do_handshake(self)

    monkeypatch.setattr(outbound._PlainSocket, "connect", connect)
    monkeypatch.setattr(outbound._TlsSocket, "do_handshake", do_handshake, raising=False)
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        pytest.raises(OutboundError, match="did not answer in time"),
    ):
        trusting.get(f"https://siem.port:{deaf.getsockname()[1]}/", {})
    assert max(allowed, default=0) <= 0.3


# --- plain sockets -------------------------------------------------------------------------------


def test_a_socket_for_syslog_passes_the_same_guard(demo: Outbound) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        sock = demo.open_socket("127.0.0.1", port)
        peer, _ = server.accept()
        with sock, peer:
            sock.sendall(b"<13>1 - - - - - -")
            assert peer.recv(100) == b"<13>1 - - - - - -"
            assert sock.gettimeout() == 10
    with pytest.raises(OutboundError, match="refused"):
        demo.open_socket("127.0.0.1", port)


def test_a_socket_can_be_wrapped_in_tls(siem: Any, trusting: Outbound) -> None:
    sock = trusting.open_socket("siem.port", siem.server_port)
    with trusting.tls.wrap_socket(sock, server_hostname="siem.port") as wrapped:
        wrapped.sendall(b"GET /ok HTTP/1.0\r\n\r\n")
        assert wrapped.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("host", "port"),
    [
        *(("127.0.0.1", 514), ("::1", 514), ("::ffff:10.0.0.1", 514), ("2130706433", 514)),
        *(("localhost", 514), ("good.example/x", 514), ("a@127.0.0.1", 514), ("", 514)),
        *(("good.example", 0), ("good.example", 65536), ("good.example", -1), ("[::1]", 514)),
    ],
)
def test_a_socket_to_a_closed_or_odd_address_is_refused(
    host: str, port: int, strict: Outbound, dialled: list[str]
) -> None:
    with pytest.raises(Blocked):
        strict.open_socket(host, port)
    assert dialled == []


def test_the_table_of_public_addresses_agrees_with_python() -> None:
    for address in PUBLIC[:-2]:
        assert ipaddress.ip_address(address).is_global
