"""The door out, tried with real servers on the loopback; nothing here leaves the machine."""

import asyncio
import contextlib
import datetime as dt
import http.server
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crc.outbound import Blocked, Outbound, OutboundError, Response, host_of

LOOPBACK = "127.0.0.1/32"
SECRET = "T0PSECRET"
HANGS = 20  # seconds: no deadline tried here is a tenth of it, and no receiver gives up before


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers by path; the server remembers connections, requests and TLS names."""

    protocol_version = "HTTP/1.1"
    server: Any

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        if self.path == "/unread":
            self.unread()
            return
        length = int(self.headers.get("content-length") or 0)
        self.server.requests.append((self.path, dict(self.headers), self.rfile.read(length)))
        with contextlib.suppress(OSError):
            getattr(self, "at_" + self.path.split("?")[0].strip("/"), self.at_ok)()

    do_GET = do_POST

    def unread(self) -> None:
        """Reads nothing until told to; then notes how much had been sent."""
        self.server.read_on.wait(2 * HANGS)
        self.close_connection = True
        with contextlib.suppress(OSError):
            while piece := self.rfile.read1(1 << 20):
                self.server.late_bytes += len(piece)
        self.server.read_out.set()

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

    def at_cookie(self) -> None:
        self.reply(200, set_cookie="a=1")

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

    def at_flood(self) -> None:
        while True:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000)

    def at_drip_trailers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        self.drip(b"X-More: 1\r\n")

    def at_silent(self) -> None:
        self.server.over.wait(2 * HANGS)

    def at_bad_chunk(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\ntaken\r\nno number\r\n")
        self.server.over.wait(2 * HANGS)

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
    server.read_on, server.read_out, server.late_bytes = threading.Event(), threading.Event(), 0
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
        server.read_on.set()
        server.shutdown()
        thread.join()
        server.socket.close()


@pytest.fixture
def receiver() -> Iterator[Any]:
    with serving() as server:
        yield server


class Door:
    """An ``Outbound`` on an event loop of its own, which runs while a call does."""

    def __init__(self, loop_factory: Any = None, **settings: Any) -> None:
        self.runner = asyncio.Runner(loop_factory=loop_factory)
        self.outbound = Outbound(**settings)
        self.check_url = self.outbound.check_url
        self.run(self.outbound.__aenter__())

    def run(self, step: Awaitable[Any]) -> Any:
        async def taken() -> Any:
            return await step

        return self.runner.run(taken())

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Response:
        return self.run(self.outbound.post(url, body, headers))

    def get(self, url: str, headers: dict[str, str]) -> Response:
        return self.run(self.outbound.get(url, headers))

    def open_stream(self, host: str, port: int, tls: bool = True) -> Any:
        return self.run(self.outbound.open_stream(host, port, tls=tls))

    def reopen(self) -> None:
        self.run(self.outbound.__aexit__())
        self.run(self.outbound.__aenter__())

    def close(self) -> None:
        self.run(self.outbound.__aexit__())
        self.runner.close()


@pytest.fixture(params=[None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loops(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def strict() -> Iterator[Door]:
    """The door as it comes: public addresses, https."""
    with contextlib.closing(Door()) as made:
        yield made


@pytest.fixture
def demo(loops: Any) -> Iterator[Door]:
    """The demo's door: open to this machine."""
    with contextlib.closing(Door(loops, allowed_networks=[LOOPBACK], max_body=1000)) as made:
        yield made


@pytest.fixture
def hasty(loops: Any) -> Iterator[Door]:
    """No single wait is longer than 0.5 s, no exchange than 1 s."""
    times = {"read_timeout": 0.5, "total_timeout": 1, "max_body": 1000}
    with contextlib.closing(Door(loops, allowed_networks=[LOOPBACK], **times)) as made:
        yield made


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

    async def sock_connect(self: Any, sock: socket.socket, address: Any) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", sock_connect)
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
    *("64:ff9b::808:808", "::ffff:808:808"),
]


def url_of(address: str) -> str:
    return f"https://[{address}]/" if ":" in address else f"https://{address}/"


@pytest.mark.parametrize("address", CLOSED)
def test_a_closed_address_is_refused_typed_or_behind_a_name(
    address: str, strict: Door, monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    with pytest.raises(Blocked):
        strict.check_url(url_of(address))
    names_lead_to(monkeypatch, [address])
    with pytest.raises(Blocked) as caught:
        strict.post("https://hooks.example/", b"", {})
    assert caught.value.permanent
    assert address not in caught.value.reason  # what a name leads to inside is nobody's business
    with pytest.raises(Blocked):
        strict.open_stream("logs.example", 6514)
    assert dialled == []


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_dialled(
    address: str, strict: Door, monkeypatch: pytest.MonkeyPatch, dialled: list[str]
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
    *("https://ⓛocalhost/", "https://a／b.example/", "https://℀.example/"),
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
def test_an_address_that_is_refused_when_typed(url: str, strict: Door, dialled: list[str]) -> None:
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
        ("https://[64:ff9b::8.8.8.8]/", "https://[64:ff9b::808:808]/"),
        ("https://3com.example/", "https://3com.example/"),
        # what the receiver may have signed stays as it is
        ("https://good.example/a%2Fb%3B?s=a%2fb%20+", "https://good.example/a%2Fb%3B?s=a%2fb%20+"),
        ("https://good.example/100%?q=%zz[é", "https://good.example/100%25?q=%25zz%5B%C3%A9"),
        ("https://good.example/./a//b/..?../.", "https://good.example/a//?../."),
        ("https://0x7f.example/", "https://0x7f.example/"),
    ],
)
def test_an_address_is_kept_in_normal_form(typed: str, kept: str, strict: Door) -> None:
    assert strict.check_url(typed) == kept
    assert strict.check_url(kept) == kept


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Good.Example./Hook", "good.example:443"),
        ("https://good.example:8443/", "good.example:8443"),
        ("http://10.1.2.3/x", "10.1.2.3:80"),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]:443"),
    ],
)
def test_a_host_is_named_with_its_port(url: str, host: str) -> None:
    assert host_of(url) == host


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
    with contextlib.closing(Door(allowed_networks=["10.1.0.0/16"])) as door:
        for leads in (["8.8.8.8"], ["10.1.2.3", "8.8.8.8"]):
            names_lead_to(monkeypatch, leads)
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
    strict: Door, monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    asked = names_lead_to(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    with pytest.raises(OutboundError, match="refused"):
        strict.post("https://rebind.example/", b"", {})
    assert (asked, dialled) == (["rebind.example"], ["93.184.216.34"])
    with pytest.raises(Blocked):
        strict.post("https://rebind.example/", b"", {})
    assert dialled == ["93.184.216.34"]


def test_the_socket_really_goes_to_the_judged_address(
    receiver: Any, demo: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = names_lead_to(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    url = f"http://rebind.example:{receiver.server_port}/ok"
    assert demo.post(url, b"", {}).status == 200
    assert demo.post(url, b"", {}).status == 200  # over the kept connection, without a lookup
    assert asked == ["rebind.example"]
    assert receiver.requests[0][1]["Host"] == f"rebind.example:{receiver.server_port}"


@pytest.mark.parametrize("order", [1, -1])
def test_one_closed_answer_among_public_ones_closes_the_name(
    order: int, strict: Door, monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    names_lead_to(monkeypatch, ["93.184.216.34", "127.0.0.1", "2606:4700::1111"][::order])
    with pytest.raises(Blocked):
        strict.post("https://mixed.example/", b"", {})
    assert dialled == []


def test_the_next_address_is_tried_when_one_is_down(
    strict: Door, monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    names_lead_to(monkeypatch, ["2606:4700::1111", "93.184.216.34"])
    with pytest.raises(OutboundError, match="refused"):
        strict.post("https://two.example/", b"", {})
    assert dialled == ["2606:4700::1111", "93.184.216.34"]


def test_calls_at_once_share_a_lookup(
    strict: Door, monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    asked = names_lead_to(monkeypatch, ["93.184.216.34"])
    answer, all_wait = socket.getaddrinfo, threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        all_wait.wait(HANGS)
        return answer(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def together() -> list[Any]:
        calls = [strict.outbound.get("https://slow.example/", {}) for _ in range(20)]
        asyncio.get_running_loop().call_later(0.1, all_wait.set)
        return await asyncio.gather(*calls, return_exceptions=True)

    assert {str(error) for error in strict.run(together())} == {
        "slow.example refused the connection."
    }
    assert asked == ["slow.example"]
    assert dialled == ["93.184.216.34"] * 20


def test_proxy_variables_are_ignored(
    receiver: Any, demo: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert demo.get(receiver.url + "/ok", {}).status == 200
    assert receiver.requests[0][0] == "/ok"  # a proxy is sent the whole URL


# --- exchanges -----------------------------------------------------------------------------------


def test_a_post_arrives_whole_and_its_answer_comes_back(receiver: Any, demo: Door) -> None:
    answer = demo.post(receiver.url + "/ok?a=b", b"\x00body", {"Webhook-Id": "msg_1"})
    assert (answer.status, answer.body, answer.truncated) == (200, b"taken", False)
    assert answer.headers["x-receipt"] == answer.headers["X-Receipt"] == "7"
    assert 0 < answer.elapsed_ms < 5000
    path, headers, body = receiver.requests[0]
    assert (path, body, headers["Webhook-Id"]) == ("/ok?a=b", b"\x00body", "msg_1")
    assert headers["User-Agent"] == "port-cyber-resilience-hub"
    assert headers["Accept-Encoding"] == "identity"


def test_the_caller_may_name_another_user_agent(receiver: Any, demo: Door) -> None:
    demo.get(receiver.url + "/ok", {"user-agent": "ours/1"})
    assert [v for k, v in receiver.requests[0][1].items() if k.lower() == "user-agent"] == [
        "ours/1"
    ]


@pytest.mark.parametrize("path", ["/ok", "/chunked", "/busy", "/redirect"])
def test_one_connection_carries_many_requests(path: str, receiver: Any, demo: Door) -> None:
    for _ in range(5):
        demo.post(receiver.url + path, b"x", {})
    assert receiver.connections == 1
    demo.reopen()
    demo.post(receiver.url + path, b"x", {})
    assert receiver.connections == 2


@pytest.mark.parametrize(("path", "status"), [("/redirect", 302), ("/elsewhere", 307)])
def test_a_redirect_is_an_answer_and_is_not_followed(
    path: str, status: int, receiver: Any, demo: Door
) -> None:
    assert demo.post(receiver.url + path, b"", {}).status == status
    assert demo.get(receiver.url + path, {}).status == status
    assert [seen[0] for seen in receiver.requests] == [path, path]


def test_a_busy_receiver_is_not_asked_again(receiver: Any, demo: Door) -> None:
    answer = demo.post(receiver.url + "/busy", b"", {})
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert len(receiver.requests) == 1


def test_a_request_is_not_sent_again_when_a_kept_connection_breaks(
    receiver: Any, demo: Door
) -> None:
    assert demo.get(receiver.url + "/ok", {}).status == 200
    with pytest.raises(OutboundError, match="closed the connection"):
        demo.get(receiver.url + "/hang_up", {})
    assert [seen[0] for seen in receiver.requests] == ["/ok", "/hang_up"]


def test_cookies_are_not_kept(receiver: Any, demo: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    names_lead_to(monkeypatch, ["127.0.0.1"])
    for _ in range(2):
        demo.get(f"http://siem.port:{receiver.server_port}/cookie", {})
    assert "Cookie" not in receiver.requests[1][1]


def test_a_compressed_body_stays_compressed(receiver: Any, demo: Door) -> None:
    assert demo.get(receiver.url + "/bomb", {}).body == b"\x1f\x8bnot really gzip"


def test_a_body_of_exactly_the_limit_is_whole(receiver: Any, demo: Door) -> None:
    answer = demo.get(receiver.url + "/exact", {})
    assert (len(answer.body), answer.truncated) == (1000, False)


def test_an_endless_body_is_cut_and_its_connection_dropped(receiver: Any, demo: Door) -> None:
    answer = demo.post(receiver.url + "/endless", b"", {})
    assert (answer.status, answer.body, answer.truncated) == (200, b"x" * 1000, True)
    assert answer.elapsed_ms < 10_000  # by its size, not by the deadline of 15 s
    assert demo.post(receiver.url + "/ok", b"", {}).body == b"taken"
    assert receiver.connections == 2


def test_a_body_that_breaks_off_is_truncated(receiver: Any, demo: Door) -> None:
    answer = demo.get(receiver.url + "/cut", {})
    assert (answer.status, answer.body, answer.truncated) == (200, b"half", True)


def test_a_garbled_body_is_truncated_or_told_in_time(receiver: Any, hasty: Door) -> None:
    started = time.monotonic()
    with contextlib.suppress(OutboundError):
        assert hasty.get(receiver.url + "/bad_chunk", {}).truncated
    assert time.monotonic() - started < HANGS


@pytest.mark.parametrize("path", ["/drip", "/drip_chunks", "/drip_trailers"])
def test_a_dripping_body_ends_with_the_time(path: str, receiver: Any, hasty: Door) -> None:
    started = time.monotonic()
    answer = hasty.get(receiver.url + path, {})
    assert 0.9 < time.monotonic() - started < HANGS
    assert (answer.status, answer.truncated) == (200, True)
    assert len(answer.body) < 1000


@pytest.mark.parametrize("path", ["/drip_headers", "/drip_continue", "/silent"])
def test_an_answer_that_does_not_begin_is_out_of_time(
    path: str, receiver: Any, hasty: Door
) -> None:
    started = time.monotonic()
    with pytest.raises(OutboundError, match="did not answer in time") as caught:
        hasty.post(f"{receiver.url}{path}?{SECRET}", b"", {})
    assert time.monotonic() - started < HANGS
    assert not caught.value.permanent
    assert SECRET not in caught.value.reason


def test_a_flood_of_answers_is_cut_off(receiver: Any, demo: Door) -> None:
    """Not at the deadline: until then it would fill the memory."""
    with pytest.raises(OutboundError, match="closed the connection"):
        demo.post(receiver.url + "/flood", b"", {})


def test_a_receiver_that_stops_reading_is_out_of_time(receiver: Any, hasty: Door) -> None:
    hasty.post(receiver.url + "/ok", b"", {})
    started = time.monotonic()
    with pytest.raises(OutboundError, match="did not answer in time"):
        hasty.post(receiver.url + "/unread", b"x" * 50_000_000, {})
    assert time.monotonic() - started < HANGS
    assert receiver.connections == 1
    # Nothing is kept for it to take later.
    receiver.read_on.set()
    assert hasty.run(asyncio.to_thread(receiver.read_out.wait, HANGS))
    assert receiver.late_bytes < 50_000_000


def test_many_silent_addresses_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sock_connect(self: Any, sock: socket.socket, address: Any) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", sock_connect)
    names_lead_to(monkeypatch, ["93.184.216.34"] * 9)
    with contextlib.closing(Door(connect_timeout=0.4, total_timeout=0.6)) as door:
        started = time.monotonic()
        with pytest.raises(OutboundError, match="did not answer in time"):
            door.post("https://silent.example/", b"", {})
        assert time.monotonic() - started < HANGS


def test_a_name_that_is_not_answered_is_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(2 * HANGS))
    with contextlib.closing(Door(total_timeout=0.2)) as door:
        started = time.monotonic()
        with pytest.raises(OutboundError, match="did not answer in time"):
            door.post("https://silent.example/", b"", {})
        assert time.monotonic() - started < HANGS
        over.set()


def test_time_used_up_by_one_call_is_given_anew_to_the_next(receiver: Any, hasty: Door) -> None:
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
    path: str, reason: str, receiver: Any, demo: Door
) -> None:
    with pytest.raises(OutboundError) as caught:
        demo.post(f"{receiver.url}{path}?{SECRET}", b"", {})
    assert (caught.value.reason, caught.value.permanent) == (reason, False)


def test_a_closed_port_is_told(demo: Door) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(OutboundError, match="refused the connection") as caught:
        demo.post(f"http://127.0.0.1:{port}/{SECRET}", b"", {})
    assert not caught.value.permanent
    assert SECRET not in caught.value.reason


def test_a_name_nobody_knows_is_told_and_may_be_tried_again(
    demo: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*args: Any, **kwargs: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OutboundError, match=r"The name gone\.example could not be found") as caught:
        demo.post(f"https://gone.example/{SECRET}", b"", {})
    assert not caught.value.permanent
    assert SECRET not in caught.value.reason


@pytest.mark.parametrize("path", ["/ok", "/broken_headers", "/hang_up", "/redirect", "/cookie"])
def test_no_log_line_holds_the_secret_part_of_an_address(
    path: str, receiver: Any, demo: Door, caplog: pytest.LogCaptureFixture
) -> None:
    loop = demo.runner.get_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0  # asyncio writes a line for every step
    with caplog.at_level(logging.DEBUG), contextlib.suppress(OutboundError):
        demo.post(f"{receiver.url}{path}?{SECRET}", b"", {})
    assert receiver.requests
    assert "asyncio" in {record.name for record in caplog.records}
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
    name: str, value: str, receiver: Any, demo: Door
) -> None:
    with pytest.raises(OutboundError) as caught:
        demo.post(receiver.url + "/ok", b"", {name: value})
    assert caught.value.permanent
    assert receiver.connections == 0


def test_hundreds_of_calls_share_one_door(receiver: Any, demo: Door) -> None:
    async def call(number: int, at_once: asyncio.Semaphore) -> tuple[int, bytes]:
        path = "/ok" if number % 4 else "/exact"
        async with at_once:
            answer = await demo.outbound.post(
                receiver.url + path, str(number).encode(), {"X-N": str(number)}
            )
        return answer.status, answer.body

    async def calls() -> list[tuple[int, bytes]]:
        at_once = asyncio.Semaphore(16)
        return await asyncio.gather(*(call(number, at_once) for number in range(400)))

    assert demo.run(calls()) == [(200, b"taken" if n % 4 else b"x" * 1000) for n in range(400)]
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
def trusts(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings to trust the siem's certificate; every name leads to this machine."""
    names_lead_to(monkeypatch, ["127.0.0.1"])
    return {"allowed_networks": [LOOPBACK], "ca_file": str(certificate), "max_body": 1000}


@pytest.fixture
def trusting(loops: Any, trusts: dict[str, Any]) -> Iterator[Door]:
    with contextlib.closing(Door(loops, **trusts)) as made:
        yield made


@pytest.fixture
def trusting_hasty(loops: Any, trusts: dict[str, Any]) -> Iterator[Door]:
    with contextlib.closing(Door(loops, **trusts, read_timeout=1, total_timeout=1.5)) as made:
        yield made


def test_tls_is_checked_against_the_name_not_the_address(siem: Any, trusting: Door) -> None:
    for _ in range(3):
        answer = trusting.post(f"https://siem.port:{siem.server_port}/ok", b"hello", {})
        assert (answer.status, answer.body) == (200, b"taken")
    assert siem.asked == ["siem.port"]
    assert siem.connections == 1
    assert siem.requests[0][1]["Host"] == f"siem.port:{siem.server_port}"


def test_a_self_signed_certificate_is_told(siem: Any, demo: Door) -> None:
    with pytest.raises(OutboundError, match=r"certificate of 127\.0\.0\.1.*self-signed") as caught:
        demo.post(f"{siem.url}/{SECRET}", b"", {})
    assert not caught.value.permanent
    assert SECRET not in caught.value.reason
    assert siem.requests == []


def test_another_hosts_certificate_is_told(siem: Any, trusting: Door) -> None:
    with pytest.raises(OutboundError, match=r"certificate of other\.port.*mismatch"):
        trusting.post(f"https://other.port:{siem.server_port}/{SECRET}", b"", {})
    assert siem.requests == []


def test_a_plain_server_on_a_tls_address_is_told(receiver: Any, demo: Door) -> None:
    with pytest.raises(OutboundError, match="does not speak TLS"):
        demo.post(receiver.url.replace("http:", "https:") + "/ok", b"", {})


@pytest.mark.parametrize("path", ["/drip", "/endless", "/drip_headers"])
def test_time_and_size_are_bounded_over_tls_too(path: str, siem: Any, trusting_hasty: Door) -> None:
    started = time.monotonic()
    with contextlib.suppress(OutboundError):
        assert trusting_hasty.get(f"https://siem.port:{siem.server_port}{path}", {}).truncated
    assert time.monotonic() - started < HANGS


def test_a_receiver_that_stops_reading_over_tls_is_out_of_time(
    siem: Any, trusting_hasty: Door
) -> None:
    url = f"https://siem.port:{siem.server_port}"
    trusting_hasty.post(url + "/ok", b"", {})
    started = time.monotonic()
    with pytest.raises(OutboundError, match="did not answer in time"):
        trusting_hasty.post(url + "/unread", b"x" * 50_000_000, {})
    assert time.monotonic() - started < HANGS
    assert siem.connections == 1
    siem.read_on.set()
    assert trusting_hasty.run(asyncio.to_thread(siem.read_out.wait, HANGS))
    assert siem.late_bytes < 50_000_000


@pytest.mark.parametrize("times", [{"connect_timeout": 0.3}, {"total_timeout": 0.3}])
def test_the_handshake_is_bounded_too(
    times: dict[str, float], loops: Any, trusts: dict[str, Any]
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        contextlib.closing(Door(loops, **trusts, **times)) as door,
    ):
        port = deaf.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(OutboundError, match=r"siem\.port did not answer in time"):
            door.get(f"https://siem.port:{port}/", {})
        with pytest.raises(OutboundError, match=r"siem\.port did not answer in time"):
            door.open_stream("siem.port", port)
        assert time.monotonic() - started < 5  # the deadlines as they come are 5 and 15 s


# --- streams -------------------------------------------------------------------------------------


def test_a_stream_for_syslog_passes_the_same_guard(demo: Door) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _, writer = demo.open_stream("127.0.0.1", port, tls=False)
        peer, _ = server.accept()
        with peer:
            writer.write(b"<13>1 - - - - - -")
            demo.run(writer.drain())
            assert peer.recv(100) == b"<13>1 - - - - - -"
            writer.close()
            demo.run(writer.wait_closed())
            assert peer.recv(100) == b""
    with pytest.raises(OutboundError, match="refused"):
        demo.open_stream("127.0.0.1", port, tls=False)


def test_a_stream_in_plain_text_goes_to_opened_networks_alone(
    strict: Door, monkeypatch: pytest.MonkeyPatch, dialled: list[str]
) -> None:
    names_lead_to(monkeypatch, ["8.8.8.8"])
    with pytest.raises(Blocked, match="TLS"):
        strict.open_stream("logs.example", 514, tls=False)
    assert dialled == []


def test_a_stream_over_tls_is_checked_against_the_name(siem: Any, trusting: Door) -> None:
    reader, writer = trusting.open_stream("siem.port", siem.server_port)
    writer.write(b"GET /ok HTTP/1.0\r\n\r\n")
    assert trusting.run(reader.readexactly(15)) == b"HTTP/1.1 200 OK"
    writer.close()
    with pytest.raises(OutboundError, match=r"certificate of other\.port.*mismatch"):
        trusting.open_stream("other.port", siem.server_port)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        *(("127.0.0.1", 514), ("::1", 514), ("::ffff:10.0.0.1", 514), ("2130706433", 514)),
        *(("localhost", 514), ("good.example/x", 514), ("a@127.0.0.1", 514), ("", 514)),
        *(("good.example", 0), ("good.example", 65536), ("good.example", -1), ("[::1]", 514)),
    ],
)
def test_a_stream_to_a_closed_or_odd_address_is_refused(
    host: str, port: int, strict: Door, dialled: list[str]
) -> None:
    with pytest.raises(Blocked):
        strict.open_stream(host, port)
    assert dialled == []


def test_the_table_of_public_addresses_agrees_with_python() -> None:
    for address in PUBLIC[:-2]:
        assert ipaddress.ip_address(address).is_global
