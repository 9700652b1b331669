"""What the drill plays with: the whole hub, officers who report, receivers that count."""

import contextlib
import functools
import hashlib
import http.client
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path
from typing import Any, Final

from aiosmtpd.controller import Controller

from bench.record import ROOT
from bench.servers import DidNotStart, children, end, end_with, free_port
from crc.demo.actors import Browser
from crc.demo.step import StepFailed, find

# By what each part's command line is known.
PARTS: Final = {
    "web": "crc.asgi:app",
    "worker": "-Q celery",
    "sender 1": "-n sender-1@",
    "sender 2": "-n sender-2@",
    "beat": "beat -s",
    "broker": "broker.sock",
}
# Seconds. Far more than anything takes on a quiet machine; then something hangs.
PATIENCE: Final = 240.0


def _complaint(page: str) -> str:
    """What a refused form says of its fields; empty for any other page."""
    return "; ".join(re.findall(r'class="errorlist"[^>]*><li>([^<]+)<', page))


def wait_until(done: Callable[[], object], what: str) -> None:
    """Raises RuntimeError when it is not so in time."""
    until = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > until:
            raise RuntimeError(f"{what}: not within {PATIENCE:g} s")
        time.sleep(0.05)


class Hub:
    """The one-command hub, whose parts can be found, stopped and killed."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.env = {**env, "CRC_BASE_URL": self.base, "CRC_DATA_DIR": str(folder / "hub")}
        self.log = (folder / "hub.log").open("ab")

    def start(self) -> None:
        """Return when all parts run and the pages answer. Raises RuntimeError, DidNotStart."""
        self._runner = subprocess.Popen(
            [sys.executable, "-m", "crc.runner", "--port", str(self.port)],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            preexec_fn=functools.partial(end_with, os.getpid()),
        )
        wait_until(self.whole, "the hub has all its parts")
        wait_until(self.answers, "the hub answers")

    def parts(self) -> dict[str, int]:
        """The parts that run, by name."""
        found = {}
        for pid in children(self._runner.pid):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                found |= {name: pid for name, mark in PARTS.items() if mark in words}
        return found

    def whole(self) -> bool:
        """Whether no part is missing. Raises DidNotStart when the runner gave up."""
        self._still_runs()
        return self.parts().keys() == PARTS.keys()

    def _still_runs(self) -> None:
        if self._runner.poll() is not None:
            last = Path(self.log.name).read_text(errors="replace").splitlines()[-20:]
            raise DidNotStart("\n".join(["the runner ended; it said at the end:", *last]))

    def answers(self) -> bool:
        """Whether the pages do. Raises DidNotStart when the runner gave up."""
        self._still_runs()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def signal(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """To one part, or to all of one kind ("sender"), as far as they run."""
        kind = f"{part} "
        end([pid for name, pid in self.parts().items() if f"{name} ".startswith(kind)], number)

    def kill_all(self) -> None:
        """kill -9 of the runner and everything it started, and start it again."""
        everything = [self._runner.pid, *self.parts().values()]
        end(everything)
        self._runner.wait()
        self.start()

    def stop(self) -> None:
        """In order."""
        self._runner.terminate()
        self._runner.wait(PATIENCE)
        self.log.close()


class Officer(threading.Thread):
    """Reports on and on, each until its receipt is on the screen, as a browser's user would.

    The form's token makes a second click the same report. Hold ``turn`` to keep the officer from
    beginning the next one.
    """

    def __init__(self, base: str, email: str, password: str) -> None:
        super().__init__(name=email, daemon=True)
        self.turn = threading.Lock()
        self.over = threading.Event()
        self.receipts: list[str] = []
        self.tries = 0
        self.failure: Exception | None = None
        self._browser = Browser(base)
        self._insist(lambda: self._browser.log_in(email, password).page, "Log out")

    def run(self) -> None:
        """Until it is over."""
        try:
            while not self.over.wait(0.4):
                with self.turn:
                    self.receipts.append(self._report())
        except Exception as failure:  # told by the drill, in the main thread
            self.failure = failure

    def _report(self) -> str:
        form = self._insist(lambda: self._browser.get("/report/"), r'name="token"')
        when = r'name="noticed_at" value="([^"]+)"'
        fields = {
            "token": find(r'name="token" value="([^"]+)"', form, "a form without its token"),
            "attack": "ransomware",
            "system_yard": "down",
            # As the hub filled it in: its clock may be another than ours.
            "noticed_at": find(when, form, "a form without a time"),
            "time_zone": "UTC",
            "narrative": "A printer printed a ransom note.",
            "technical": f"sha256 {hashlib.sha256(uuid.uuid4().bytes).hexdigest()}",
            "warn_now": "yes",
            "tlp": "GREEN",
        }

        def send() -> str:
            self._browser.page = form
            answer = self._browser.post("/report/", fields)
            if _complaint(answer):
                # Noticed in the future, by a clock that has been set back since.
                fields["noticed_at"] = find(when, self._browser.get("/report/"), "no time")
            return answer

        receipt = self._insist(send, 'class="reference"')
        return find(r'class="reference">([^<]+)<', receipt, "a receipt without its reference")

    def _insist(self, ask: Callable[[], str], wanted: str) -> str:
        """Ask until the page holds it. Raises RuntimeError after a long while."""
        until = time.monotonic() + PATIENCE
        page = ""
        while time.monotonic() < until:
            self.tries += 1
            try:
                page = ask()
            except (OSError, http.client.HTTPException, StepFailed) as trouble:
                page = repr(trouble)
                self._browser.connection.close()
            if re.search(wanted, page):
                return page
            time.sleep(0.1)
        raise RuntimeError(
            f"{self.name} asked in vain; the last answer was: {_complaint(page) or page[:300]}"
        )


class Hooks:
    """A webhook receiver: which bodies came under which id, and how often.

    ``once``: what is to be done, one time, right after an answer; ``endless``: how many of the
    next answers have no end.
    """

    def __init__(self) -> None:
        self.bodies: defaultdict[str, list[str]] = defaultdict(list)
        self.once: Callable[[], None] | None = None
        self.endless = 0
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._server.server_close()

    def note(self, message_id: str, body: bytes) -> tuple[Callable[[], None] | None, bool]:
        """Remember one request; what to do after the answer, and whether it is to be endless."""
        with self._lock:
            self.bodies[message_id].append(hashlib.sha256(body).hexdigest())
            endless = self.endless > 0
            self.endless -= endless
            once, self.once = self.once, None
            return once, endless

    def _handler(hooks) -> type[http.server.BaseHTTPRequestHandler]:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                once, endless = hooks.note(self.headers["webhook-id"], body)
                self.send_response(200)
                with contextlib.suppress(OSError):
                    self.end_headers()
                    while endless:
                        self.wfile.write(b"x" * 65536)
                if once:
                    once()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        return Handler


class Mails:
    """A mail server that remembers each Message-ID."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """aiosmtpd's hook."""
        self.ids.append(str(message_from_bytes(envelope.content)["Message-ID"]))
        return "250 kept"

    def stop(self) -> None:
        """Close it."""
        self._controller.stop()
