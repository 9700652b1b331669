"""What the members of the story use: a browser, a security tool, a mailbox, a receiver."""

import contextlib
import http.client
import http.server
import json
import socket
import threading
from email import message_from_bytes, policy
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from aiosmtpd.controller import Controller
from standardwebhooks import Webhook
from taxii2client.v21 import Server

from crc.demo.step import find, hold

# A file's name has to fit into 255 bytes.
_LONGEST_NAME: Final = 200


def connect(base: str) -> http.client.HTTPConnection:
    """A connection to the hub, not opened yet."""
    parts = urlsplit(base)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)


class Browser:
    """Just enough of one: cookies, forms, the CSRF token."""

    def __init__(self, base: str) -> None:
        self.connection = connect(base)
        self.cookies: dict[str, str] = {}
        self.page = ""

    def get(self, path: str) -> str:
        """The page at ``path``, redirects followed."""
        return self._ask("GET", path, None)

    def post(self, path: str, fields: dict[str, str]) -> str:
        """Send a form; the token comes from the page before it. Raises StepFailed without one."""
        token = find(
            r'name="csrfmiddlewaretoken" value="([^"]+)"',
            self.page,
            f"{path}: the page before had no form",
        )
        return self._ask("POST", path, urlencode({"csrfmiddlewaretoken": token, **fields}))

    def log_in(self, email: str, password: str) -> "Browser":
        """Raises StepFailed when the hub does not let them in."""
        self.get("/accounts/login/")
        self.post("/accounts/login/", {"login": email, "password": password})
        hold("Log out" in self.page, f"{email} could not log in")
        return self

    def _ask(self, method: str, path: str, body: str | None) -> str:
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        self.page = answer.read().decode()
        for line in answer.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        if answer.status in {301, 302, 303}:
            parts = urlsplit(answer.headers["Location"])
            return self.get(parts.path + (f"?{parts.query}" if parts.query else ""))
        return self.page


class Tool:
    """A security tool with an API key; with an empty one it sends none."""

    def __init__(self, base: str, key: str) -> None:
        self.base, self.key = base, key

    def get(self, path: str) -> tuple[int, str]:
        """Status and body, as a firewall fetches them."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        with contextlib.closing(connect(self.base)) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def community(self) -> Any:
        """The community's TLP:GREEN collection by taxii2-client unmodified; None if not shown."""
        root = Server(f"{self.base}/taxii2/", user="siem", password=self.key).default
        return next((c for c in root.collections if c.title == "Community: TLP:GREEN"), None)


class Mail(NamedTuple):
    """What a recipient sees of one mail."""

    to: str
    subject: str
    text: str


class MailSink:
    """An SMTP server that keeps what it gets, each mail in a file of ``folder`` too."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.mails: list[Mail] = []
        with socket.socket() as probe:  # aiosmtpd cannot choose a free port by itself
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """aiosmtpd's hook."""
        message = message_from_bytes(envelope.content, policy=policy.default)
        body = message.get_body(("plain",))
        text = body.get_content() if body else ""
        to = envelope.rcpt_tos[0]
        self.mails.append(Mail(to, str(message["subject"]), text))
        name = f"{len(self.mails):04d}-{quote(to, safe='@')[:_LONGEST_NAME]}.eml"
        (self.folder / name).write_bytes(envelope.content)
        return "250 kept"

    def start(self) -> None:
        """Listen, in a thread."""
        self._controller.start()

    def stop(self) -> None:
        """Close it, started or not."""
        self._controller.stop(no_assert=True)


class HookSink:
    """The shipping line's receiver: verifies each signature before it believes anything."""

    def __init__(self) -> None:
        self.secret = ""
        self.events: list[dict[str, Any]] = []
        self.forged = 0
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                try:
                    Webhook(sink.secret).verify(body, dict(self.headers.items()))
                    sink.events.append(json.loads(body))
                    self.send_response(204)
                except Exception:  # whatever is wrong with it, it is not from the hub
                    sink.forged += 1
                    self.send_response(401)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hub"

    def start(self) -> None:
        """Answer, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Close it, started or not."""
        if self._thread.is_alive():
            self._server.shutdown()  # waits for ever when nothing serves
        self._server.server_close()
