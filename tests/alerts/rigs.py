"""The other end of every channel: real servers on the loopback that take, refuse, or ask to wait.

A new channel gets a rig here, and all of tests/alerts/test_channels.py runs over it.
"""

import contextlib
import datetime as dt
import email
import email.policy
import http.server
import ipaddress
import json
import re
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alerts.channels.inbox import topic
from crc import broker

BASE = "https://hub.port.example"
# Markup of every channel, line ends, a terminal's command, and places of the operator's template.
HOSTILE = (
    "<!channel> <!here|x> <@U1> @all @channel [click](https://evil.example) "
    "![x](https://evil.example/x.png) <img src=https://evil.example/x.png> <at>everyone</at> "
    "*b* a|b=c\\ {secret} ${id} \x1b[31m\r\nBcc: x@evil.example\r\n\r\n"
    "<13>1 - - - - - - CEF:0|x\u2028y"
)


class Rig:
    """Where one channel's sends end. ``got`` holds what was taken, the whole of each message."""

    address = ""
    # What the protocol knows besides taking a message.
    refuses = True
    asks_for_peace = False
    calls_out = True

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.mood = "good"

    @contextlib.contextmanager
    def running(self, settings: Any) -> Iterator["Rig"]:
        """The server, and what the operator has set."""
        raise NotImplementedError

    def down(self) -> None:
        """Nothing listens any more."""
        raise NotImplementedError

    def at(self, host: str, settings: Any) -> str:
        """An address of the channel's form that leads to ``host``."""
        raise NotImplementedError

    def check_harmless(self, raw: bytes) -> None:
        """That HOSTILE, as title and body, did nothing in this message."""
        raise NotImplementedError


class HttpRig(Rig):
    """A web server."""

    asks_for_peace = True
    path = "/hook"

    @contextlib.contextmanager
    def running(self, settings: Any) -> Iterator["Rig"]:
        settings.CHAT_HOSTS = ["127.0.0.1"]
        rig = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = {"good": 200, "gone": 410, "refuses": 404, "busy": 429}[rig.mood]
                if status == 200:
                    rig.got.append(body)
                self.send_response(status)
                if status == 429:
                    self.send_header("retry-after", "900")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.netloc = f"127.0.0.1:{self.server.server_port}"
        self.address = f"http://{self.netloc}{self.path}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        yield self
        self.down()

    def down(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def at(self, host: str, settings: Any) -> str:
        settings.CHAT_HOSTS = [host.strip("[]")]
        return f"https://{host}{self.path}"


class WebhookRig(HttpRig):
    """A member's own receiver: a machine, to which the title is data."""

    def check_harmless(self, raw: bytes) -> None:
        event = json.loads(raw)
        assert set(event) == {"type", "timestamp", "data"}
        assert event["data"]["title"] == HOSTILE
        assert event["data"]["link"].startswith(BASE)


class SlackRig(HttpRig):
    """Slack's door for incoming webhooks."""

    path = "/services/T0000/B0000/verysecretending"

    def check_harmless(self, raw: bytes) -> None:
        sent = json.loads(raw)
        assert "<" not in sent["text"]
        assert (sent["unfurl_links"], sent["unfurl_media"]) == (False, False)
        for element in everything(sent["blocks"]):
            assert element.get("type") != "image"
            if element.get("type") == "mrkdwn":
                assert links(r"<([^|>]*)\|[^<>]*>", element["text"]) != []
                assert "evil" not in element["text"]
                assert "@" not in element["text"]


class MattermostRig(HttpRig):
    """A Mattermost server."""

    path = "/hooks/verysecretending"

    def check_harmless(self, raw: bytes) -> None:
        sent = json.loads(raw)
        assert not sent.get("text"), "links in a post's text get previews"
        [attachment] = sent["attachments"]
        assert not {"image_url", "thumb_url", "author_icon", "footer_icon"} & set(attachment)
        for text in (attachment["title"], attachment["text"], attachment["fallback"]):
            assert not re.search("@(?!\u200b)", text)
            assert not re.search(r"(?<!\\)[!<`*]", text)
            for url in links(r"(?<!\\)\]\(([^)]*)\)", text):
                assert url.startswith(BASE)


class TeamsRig(HttpRig):
    """A Teams workflow."""

    path = "/workflows/abc/triggers/manual/paths/invoke?sig=verysecretending"

    def check_harmless(self, raw: bytes) -> None:
        [attachment] = json.loads(raw)["attachments"]
        for element in everything(attachment["content"]):
            assert element.get("type") not in {"TextBlock", "Image", "FactSet"}
            assert "entities" not in element
            assert element.get("url", BASE).startswith(BASE)


class SmsRig(HttpRig):
    """An SMS gateway."""

    address = "+819012345678"

    @contextlib.contextmanager
    def running(self, settings: Any) -> Iterator["Rig"]:
        with super().running(settings):
            settings.SMS_URL, self.address = self.address, SmsRig.address
            settings.SMS_SECRET = "gateway-password"
            yield self

    def at(self, host: str, settings: Any) -> str:
        settings.SMS_URL = f"https://{host}/send"
        return SmsRig.address

    def check_harmless(self, raw: bytes) -> None:
        sent = json.loads(raw)
        assert set(sent) == {"to", "text"}
        assert "gateway-password" not in sent["text"]
        assert sent["text"].isprintable()


class EmailRig(Rig):
    """A mail server."""

    address = "control@south.example"
    calls_out = False

    @contextlib.contextmanager
    def running(self, settings: Any) -> Iterator["Rig"]:
        rig = self

        class Handler:
            async def handle_RCPT(self, server: Any, session: Any, envelope: Any, to: str, *_: Any):
                if rig.mood != "good":
                    return "550 no such person" if rig.mood == "refuses" else "450 later"
                envelope.rcpt_tos.append(to)
                return "250 OK"

            async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
                rig.got.append(envelope.content)
                assert envelope.rcpt_tos == [rig.address]
                return "250 OK"

        with socket.create_server(("127.0.0.1", 0)) as probe:
            settings.EMAIL_PORT = probe.getsockname()[1]
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST = "127.0.0.1"
        self.server = Controller(Handler(), hostname="127.0.0.1", port=settings.EMAIL_PORT)
        self.server.start()
        yield self
        self.down()

    def down(self) -> None:
        if self.server.server:
            self.server.stop()

    def check_harmless(self, raw: bytes) -> None:
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        assert mail["to"] == self.address
        assert mail["bcc"] is None
        assert HOSTILE.split("\r")[0].replace("\x1b", "")[:60] in str(mail["subject"])
        [html] = [part for part in mail.walk() if part.get_content_type() == "text/html"]
        markup = html.get_content()
        assert "<img" not in markup
        assert "src=" not in re.sub(r"&lt;img.*?&gt;", "", markup)
        for url in links(r'href="([^"]*)"', markup):
            assert url.startswith(BASE)


class SyslogRig(Rig):
    """A log collector behind TLS."""

    refuses = False

    @contextlib.contextmanager
    def running(self, settings: Any) -> Iterator["Rig"]:
        rig = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with (
                    contextlib.suppress(OSError),
                    rig.tls.wrap_socket(self.request, server_side=True) as line,
                ):
                    heard = b""
                    while piece := line.recv(65536):
                        heard += piece
                    if heard:
                        rig.got.append(heard)

        folder = Path(tempfile.mkdtemp(prefix="crc-tls-"))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate(folder))
        settings.OUTBOUND_CA_FILE = str(folder / "server.pem")
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.address = f"tls://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        yield self
        self.down()

    def down(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def at(self, host: str, settings: Any) -> str:
        return f"tls://{host}:6514"

    def check_harmless(self, raw: bytes) -> None:
        length, _, message = raw.partition(b" ")
        assert int(length) == len(message), "one frame, as long as it says"
        line = message.decode()
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", line)
        head, event = line.split(" - CEF:0|", 1)
        assert re.fullmatch(r"<1[0-9]{2}>1 \S+ \S+ crc-hub - [a-z]+", head)
        fields = re.split(r"(?<!\\)\|", event.replace("\\\\", "\0"), maxsplit=6)
        assert fields[5] == "8", "the severity stands where it belongs"
        keys = links(r"(\w+)(?<!\\)=", fields[6])
        expected = "rt externalId request msg cs1Label cs1 cs2Label cs2".split()
        assert keys == expected


class InboxRig(Rig):
    """The hub's own broker: open pages hear an id, and a send never fails."""

    address = "south"
    refuses = calls_out = False

    @contextlib.contextmanager
    def running(self, settings: Any) -> Iterator["Rig"]:
        folder = Path(tempfile.mkdtemp(prefix="b"))
        self.server = subprocess.Popen(
            broker.command(broker.find_binary(), folder), stdout=subprocess.DEVNULL
        )
        settings.REDIS_URL = broker.embedded_url(folder)
        broker.wait_ready(settings.REDIS_URL)
        self.client = redis.Redis.from_url(settings.REDIS_URL)
        heard = self.client.pubsub(ignore_subscribe_messages=True)
        heard.subscribe(**{topic(self.address): lambda message: self.got.append(message["data"])})
        listener = heard.run_in_thread(0.02, daemon=True, exception_handler=lambda *_: None)
        try:
            yield self
        finally:
            listener.stop()
            self.down()

    def down(self) -> None:
        self.server.kill()
        self.server.wait()

    def check_harmless(self, raw: bytes) -> None:
        assert re.fullmatch(b"[0-9a-f-]{36}", raw), "an id, none of the words"


def certificate(folder: Path) -> Path:
    """A key and the certificate for 127.0.0.1 that signs itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "collector")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(secret + made.public_bytes(pem))
    return path


def everything(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a JSON value."""
    if isinstance(tree, dict):
        yield tree
    for inner in (
        tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    ):
        yield from everything(inner)


def links(pattern: str, text: str) -> list[str]:
    """What the pattern catches."""
    return re.findall(pattern, text)


def wait_until(done: Any) -> None:
    """For what another thread does; the guard against hanging is generous."""
    until = time.monotonic() + 30
    while not done():
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.01)


RIGS: dict[str, type[Rig]] = {
    "inbox": InboxRig,
    "email": EmailRig,
    "sms": SmsRig,
    "slack": SlackRig,
    "teams": TeamsRig,
    "mattermost": MattermostRig,
    "syslog": SyslogRig,
    "webhook": WebhookRig,
}
