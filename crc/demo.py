"""The morning of 4 July 2023, at a port of six invented members: ``python -m crc.demo [--once]``.

Starts the whole hub on its embedded default in a folder of its own and plays the main job on it
over real HTTP and SMTP: a form, a TAXII client, a firewall's list, a webhook receiver, a mail sink.
Every step is checked; one that does not hold makes the exit status 1.
"""

import argparse
import http.client
import http.server
import io
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import django
from aiosmtpd.controller import Controller
from django.core.management import call_command
from standardwebhooks import Webhook
from taxii2client.v21 import Server

ROOT: Final = Path(__file__).resolve().parent.parent
HASH: Final = "9f2c4a7be1d08356f4c1a2b39d7e6058c1f4a90b2d3e5f6718293a4b5c6d7e8f"
NOTE: Final = f"""All your files are locked. Do not call the police.
Write to unlock[at]dark-tide[.]example or hxxps://dark-tide[.]example/pay?id=4471
Printed by NQ-YARD-07.northquay.example at 07:30, ticket INC-88231.
dropper sha256 {HASH}, calls 203.0.113[.]66 and 2001:db8[:]66::1; OpenSSL 3.0.13.1 on 10.20.30.40
"""
# Words that would name the source. None may reach anybody else.
TELLTALES: Final = (
    "North Quay",
    "northquay",
    "NQ-YARD",
    "INC-88231",
    "Mori",
    "07:30",
    "10.20.30.40",
)
MEMBERS: Final = (
    ("north", "North Quay Terminal", "terminal", "AMBER+STRICT"),
    ("south", "South Basin Terminal", "terminal", "AMBER+STRICT"),
    ("anchor", "Blue Anchor Line", "shipping-line", "AMBER+STRICT"),
    ("rail", "Harbour Railway", "railway", "AMBER+STRICT"),
    ("kestrel", "Kestrel Trucking", "trucking", "AMBER"),
    ("authority", "Port Authority", "authority", "AMBER+STRICT"),
)
OUTSIDER: Final = ("outsider", "Outside Supplier", "service-provider", "CLEAR")
PATIENCE: Final = 10.0


class StepFailed(AssertionError):
    """A step of the walk that does not hold."""


def say(text: str) -> None:
    """One line of the story."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def hold(condition: object, what: str) -> None:
    """Raises StepFailed unless the condition holds."""
    if not condition:
        raise StepFailed(what)


def wait_for(find: Callable[[], Any], what: str) -> Any:
    """What ``find`` finds, asked every 10 ms. Raises StepFailed after PATIENCE seconds."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = find()
        if found:
            return found
        time.sleep(0.01)
    raise StepFailed(f"{what}: nothing within {PATIENCE:g} s")


@dataclass
class Clock:
    """Milliseconds since the duty officer's first click."""

    zero: float = field(default_factory=time.monotonic)

    def tell(self, who: str, what: str) -> float:
        """Print one step; returns its milliseconds."""
        elapsed = (time.monotonic() - self.zero) * 1000
        say(f"{elapsed:8.0f} ms  {who:<22} {what}")
        return elapsed


class Browser:
    """Just enough of one: cookies, forms, the CSRF token."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        self.cookies: dict[str, str] = {}
        self.page = ""
        self.status = 0

    def get(self, path: str) -> str:
        """The page at ``path``, redirects followed."""
        return self._ask("GET", path, None)

    def post(self, path: str, fields: dict[str, str]) -> str:
        """Send a form; the token comes from the page before it."""
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.page)
        hold(token, f"{path}: the page before had no form")
        assert token is not None  # noqa: S101 - for the type checker
        return self._ask("POST", path, urlencode({"csrfmiddlewaretoken": token[1], **fields}))

    def _ask(self, method: str, path: str, body: str | None) -> str:
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        self.page, self.status = answer.read().decode(), answer.status
        for line in answer.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        if answer.status in {301, 302, 303}:
            parts = urlsplit(answer.headers["Location"])
            return self.get(parts.path + (f"?{parts.query}" if parts.query else ""))
        return self.page

    def log_in(self, email: str, password: str) -> "Browser":
        """Raises StepFailed when the hub does not let them in."""
        self.get("/accounts/login/")
        self.post("/accounts/login/", {"login": email, "password": password})
        hold("Log out" in self.page, f"{email} could not log in")
        return self


class MailSink:
    """An SMTP server that keeps what it gets."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str, str]] = []
        with socket.socket() as probe:  # aiosmtpd cannot choose a free port by itself
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """aiosmtpd's hook."""
        message = message_from_bytes(envelope.content, policy=policy.default)
        body = message.get_body(("plain",))
        text = body.get_content() if body else ""
        self.mails.append((envelope.rcpt_tos[0], str(message["subject"]), text))
        return "250 kept"

    def start(self) -> None:
        """Listen."""
        self._controller.start()

    def stop(self) -> None:
        """Close it."""
        self._controller.stop()


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
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hub"

    def stop(self) -> None:
        """Close it."""
        self._server.shutdown()


def command(name: str, *arguments: str, stdin: str = "") -> str:
    """One of the operator's commands; returns what it printed."""
    out, before = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        call_command(name, *arguments, stdout=out)
    finally:
        sys.stdin = before
    return out.getvalue().strip()


@dataclass
class Cast:
    """Who plays, and what they hold."""

    base: str
    password: str
    south_key: str
    outsider_key: str
    firewall_key: str
    mails: MailSink
    hooks: HookSink

    def browser(self, slug: str) -> Browser:
        """A member's duty officer, logged in."""
        return Browser(self.base).log_in(f"duty@{slug}.example", self.password)


def seed(base: str, mails: MailSink, hooks: HookSink) -> Cast:
    """Members, people, keys and the webhook, by the operator's own commands."""
    password = secrets.token_urlsafe(12)
    for slug, name, role, ceiling in (*MEMBERS, OUTSIDER):
        telltales = ["--telltale", "northquay", "--telltale", "NQ-YARD"] if slug == "north" else []
        command(
            "add_member", name, "--slug", slug, "--role", role, "--ceiling", ceiling, *telltales
        )
        domain = "northquay" if slug == "north" else slug
        command(
            "add_user",
            f"duty@{slug}.example",
            "--member",
            slug,
            "--role",
            "member-admin",
            "--name",
            "K. Mori" if slug == "north" else "Duty officer",
            "--password-stdin",
            stdin=f"{password}\n",
        )
        command(
            "add_member",
            name,
            "--slug",
            slug,
            "--role",
            role,
            "--ceiling",
            ceiling,
            *telltales,
            *(["--contact", f"soc@{domain}.example"] if slug == "north" else []),
        )
    command(
        "add_user",
        "desk@hub.example",
        "--member",
        "desk",
        "--role",
        "desk-admin",
        "--password-stdin",
        stdin=f"{password}\n",
    )
    hooks.secret = command("add_webhook", "--member", "anchor", "--url", hooks.url)
    read = ("--scope", "taxii:read", "--scope", "taxii:write")
    return Cast(
        base=base,
        password=password,
        mails=mails,
        hooks=hooks,
        south_key=command("issue_key", "--member", "south", *read, "--label", "SIEM"),
        outsider_key=command("issue_key", "--member", "outsider", *read),
        firewall_key=command("issue_key", "--member", "kestrel", "--scope", "lists:read"),
    )


def report_fields(page: str, *, warn: bool, technical: str, narrative: str) -> dict[str, str]:
    """The form as the duty officer fills it."""
    token = re.search(r'name="token" value="([^"]+)"', page)
    hold(token, "the form carries no token")
    assert token is not None  # noqa: S101 - for the type checker
    return {
        "token": token[1],
        "attack": "ransomware",
        "system_yard": "down",
        "noticed_at": f"{datetime.now().astimezone():%Y-%m-%dT%H:%M}",
        "time_zone": "UTC",
        "narrative": narrative,
        "technical": technical,
        "warn_now": "yes" if warn else "no",
        "tlp": "AMBER+STRICT",
    }


def green(cast: Cast, key: str) -> Any:
    """The community's TLP:GREEN collection as this key sees it, by taxii2-client unmodified."""
    root = Server(f"{cast.base}/taxii2/", user="siem", password=key).default
    return next((c for c in root.collections if c.title == "Community: TLP:GREEN"), None)


def seen_over_taxii(collection: Any, type_: str) -> list[dict[str, Any]]:
    """Objects of one type on the shelf."""
    found: list[dict[str, Any]] = collection.get_objects(type=type_).get("objects", [])
    return found


def fetch_list(cast: Cast, key: str, kind: str) -> tuple[int, str]:
    """A firewall's request."""
    parts = urlsplit(cast.base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.request("GET", f"/lists/{kind}.txt", headers={"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def first_report(cast: Cast, times: dict[str, float]) -> None:
    """North files; everyone else learns."""
    shelf = green(cast, cast.south_key)
    hold(shelf is not None, "the south terminal sees no community collection")
    north = cast.browser("north")
    page = north.get("/report/")
    fields = report_fields(
        page,
        warn=True,
        technical=NOTE,
        narrative=("North Quay Terminal: the printer of NQ-YARD-07 printed a ransom note. K. Mori"),
    )
    say(
        "        0 ms  North Quay Terminal    presses “Send the report”: the yard system prints a "
        "ransom note"
    )
    clock = Clock()
    north.post("/report/", fields)
    reference = re.search(r"R-[0-9A-Z]{4}-[0-9A-Z]{4}", north.page)
    hold(reference and HASH in north.page, "the receipt shows no reference or nothing understood")
    assert reference is not None  # noqa: S101 - for the type checker
    times["receipt"] = clock.tell("North Quay Terminal", f"has its receipt, {reference[0]}")
    wait_for(
        lambda: [i for i in seen_over_taxii(shelf, "indicator") if HASH in i["pattern"]],
        "the indicator over TAXII",
    )
    times["taxii"] = clock.tell(
        "South Basin Terminal", "its SIEM polls the new indicators over TAXII (taxii2-client)"
    )
    wait_for(lambda: cast.hooks.events, "the webhook")
    times["webhook"] = clock.tell("Blue Anchor Line", "its receiver verified the signed webhook")
    wait_for(lambda: len(cast.mails.mails) >= len(MEMBERS) - 1, "the mails")
    times["mail"] = clock.tell("Everyone else", f"{len(cast.mails.mails)} mails are in the sink")
    status, body = fetch_list(cast, cast.firewall_key, "sha256")
    hold(status == 200 and HASH in body, "the firewall's list lacks the hash")
    clock.tell("Kestrel Trucking", "its firewall fetched /lists/sha256.txt with the new hash")
    hold(
        not any(to.startswith(("duty@north", "soc@north")) for to, _, _ in cast.mails.mails),
        "the source was warned of its own report",
    )


def answers(cast: Cast) -> None:
    """By the link out of the mail, and in the inbox."""
    clock = Clock()
    mail = next(text for to, _, text in cast.mails.mails if to == "duty@rail.example")
    link = re.search(r"Not affected:\s+(\S+)", mail)
    hold(link, "the mail carries no link to answer by")
    assert link is not None  # noqa: S101 - for the type checker
    rail = Browser(cast.base)
    path = urlsplit(link[1]).path
    rail.get(path)
    rail.post(path, {"choice": "not-affected"})
    hold("Thank you" in rail.page, "the one-tap answer was not taken")
    clock.tell("Harbour Railway", "answers from the mail, without a login: not affected")
    south = cast.browser("south")
    inbox = south.get("/warnings/")
    warning = re.search(r'href="(/warnings/[0-9a-f-]{36}/)"', inbox)
    hold(warning, "the south terminal's inbox is empty")
    assert warning is not None  # noqa: S101 - for the type checker
    south.get(warning[1])
    south.post(warning[1], {"choice": "affected", "note": "two machines in the gatehouse"})
    hold("Affected" in south.page, "the inbox answer was not taken")
    clock.tell("South Basin Terminal", "answers in the hub: affected")
    desk = Browser(cast.base).log_in("desk@hub.example", cast.password)
    page = desk.get("/desk/")
    coverage = re.search(r'href="(/desk/warnings/[0-9a-f-]{36}/)"', page)
    hold(coverage, "the desk sees no warning")
    assert coverage is not None  # noqa: S101 - for the type checker
    page = desk.get(coverage[1])
    hold("Not affected" in page and "gatehouse" in page, "the desk does not see who answered")
    clock.tell("The desk", "sees who was sent what, and who has answered")


def corroboration(cast: Cast, times: dict[str, float]) -> None:
    """The railway sees the same hash and keeps its report private; everybody is told it is two."""
    before = len(cast.hooks.events)
    rail = cast.browser("rail")
    fields = report_fields(
        rail.get("/report/"),
        warn=False,
        technical=f"found {HASH}",
        narrative="The same file on the planner's machine.",
    )
    clock = Clock()
    rail.post("/report/", fields)
    hold("What happens next" in rail.page, "the railway has no receipt")
    clock.tell("Harbour Railway", "reports the same hash, privately")
    event = wait_for(lambda: cast.hooks.events[before:], "the corroboration warning")[0]
    hold(
        event["type"] == "alert.corroboration" and "2 members" in event["data"]["title"],
        "the second warning does not say that two members saw it",
    )
    times["corroboration"] = clock.tell(
        "Everyone", f"“{event['data']['title']}” ({event['data']['severity']})"
    )
    time.sleep(1)
    hold(len(cast.hooks.events) == before + 1, "more than one corroboration warning went out")


def hidden(cast: Cast) -> None:
    """What stayed hidden."""
    shelf = green(cast, cast.south_key)
    leaked_in = {
        "TAXII": json.dumps(shelf.get_objects()),
        "webhooks": json.dumps(cast.hooks.events),
        "mails": "\n".join(f"{subject}\n{text}" for _, subject, text in cast.mails.mails),
        "pages": cast.browser("anchor").get("/warnings/"),
        "lists": "".join(
            fetch_list(cast, cast.firewall_key, kind)[1]
            for kind in ("ipv4", "domain", "url", "email", "sha256")
        ),
    }
    for where, text in leaked_in.items():
        for word in TELLTALES:
            # A time of day occurs by chance in our own time stamps; there it must stand alone.
            hold(
                not re.search(rf"(?<![\d:T]){re.escape(word)}(?![\d:])", text, re.IGNORECASE),
                f"“{word}” reached others in {where}",
            )
    say(
        f"             hidden                 none of {len(TELLTALES)} identifying words in "
        f"{', '.join(leaked_in)}"
    )
    hold(green(cast, cast.outsider_key) is None, "the outsider sees the community's collection")
    parts = urlsplit(cast.base)
    for key, expected in ((cast.outsider_key, 404), ("", 401), (f"{cast.south_key}x", 401)):
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        connection.request("GET", f"/crc/collections/{shelf.id}/objects/", headers=headers)
        status = connection.getresponse().status
        hold(status == expected, f"expected {expected} for a wrong caller, got {status}")
    say("             hidden                 outsider's key gets 404, no key 401, a wrong key 401")
    hold(cast.hooks.forged == 0, "a webhook came without a valid signature")
    say(f"             audit                  {command('verify_audit')[:60]}…")


def start_hub(data_dir: Path, port: int) -> "subprocess.Popen[str]":
    """The runner, as ``make run`` starts it; returns when it says that it is ready."""
    runner = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "crc.runner", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdout is not None  # noqa: S101 - for the type checker
    for line in runner.stdout:
        if line.startswith("ready"):
            threading.Thread(target=runner.stdout.read, daemon=True).start()
            return runner
        if not line.startswith("{"):
            say(line.rstrip())
    raise StepFailed("the hub did not start; the lines above say why")


def play(port: int, *, once: bool) -> int:
    """The whole morning; 0 when every step held."""
    data_dir = ROOT / "var" / "demo"
    shutil.rmtree(data_dir, ignore_errors=True)
    mails, hooks = MailSink(), HookSink()
    base = f"http://127.0.0.1:{port}"
    os.environ.update(
        {
            "DJANGO_SETTINGS_MODULE": "crc.settings",
            "CRC_DATA_DIR": str(data_dir),
            "CRC_BASE_URL": base,
            "CRC_SMTP_URL": f"smtp://127.0.0.1:{mails.port}",
            "CRC_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.1/32",
            "CRC_LOG_LEVEL": "WARNING",
            "CRC_HUB_NAME": "Demo Port Cyber Resilience Hub",
        }
    )
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    mails.start()
    runner = start_hub(data_dir, port)
    times: dict[str, float] = {}
    try:
        django.setup()
        started = time.monotonic()
        cast = seed(base, mails, hooks)
        say(
            f"The hub runs at {base} with six members ({time.monotonic() - started:.1f} s to seed)."
            " It is the morning of 4 July 2023.\n"
        )
        first_report(cast, times)
        answers(cast)
        corroboration(cast, times)
        hidden(cast)
        for name, limit in (("taxii", 1000), ("webhook", 2000), ("mail", 3000)):
            hold(times[name] < limit, f"{name} took {times[name]:.0f} ms; {limit} are the limit")
        say("\nEvery step held. " + json.dumps({k: round(v) for k, v in times.items()}))
        if not once:
            keep_serving(cast, runner)
        return 0
    except StepFailed as failure:
        say(f"\nDoes not hold: {failure}")
        return 1
    finally:
        runner.terminate()
        runner.wait(30)
        hooks.stop()
        mails.stop()


def keep_serving(cast: Cast, runner: "subprocess.Popen[str]") -> None:
    """Until Ctrl-C."""
    say(f"\nStill serving at {cast.base}. Log in with the password {cast.password} as")
    for slug, name, _, _ in MEMBERS:
        say(f"  duty@{slug}.example  ({name})")
    say("  desk@hub.example  (the desk)\nStop with Ctrl-C.")
    try:
        runner.wait()
    except KeyboardInterrupt:
        say("Stopping.")


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="crc.demo")
    parser.add_argument("--once", action="store_true", help="exit when the story is told")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(arguments)
    return play(options.port, once=options.once)


if __name__ == "__main__":
    sys.exit(main())
