"""Many writers, two pollers, and a web process that is killed: does a poller miss an object?

``python -m tests.taxii.writers_and_pollers [--seconds 30] [--runs 20]``; DATABASE_URL and REDIS_URL
as for the hub, the embedded default without. tests/taxii/test_faults.py runs the short form.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg

from tests.hub import RunningHub, running_hub

TAXII = "application/taxii+json;version=2.1"
PATIENCE = 20.0


@dataclass
class Tally:
    """What was acknowledged, and what each poller has seen."""

    stored: set[str] = field(default_factory=set)
    by_next: list[str] = field(default_factory=list)
    by_date: list[str] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    written: threading.Event = field(default_factory=threading.Event)

    def missing(self, seen: list[str]) -> set[str]:
        """Acknowledged, and never served to this poller."""
        return self.stored - set(seen)


class Client:
    """One connection, made anew when the server goes."""

    def __init__(self, base: str, key: str) -> None:
        self._host = urlsplit(base).netloc
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Accept": TAXII,
            "Content-Type": TAXII,
            "Accept-Encoding": "identity",
        }
        self._line: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[dict[str, Any], Any]:
        """The answer's JSON and headers; asked again until the server is back."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._line = self._line or http.client.HTTPConnection(self._host, timeout=10)
                self._line.request(method, path, body, self._headers)
                answer = self._line.getresponse()
                content = answer.read()
                if answer.status < 500:
                    assert answer.status in {200, 202}, content
                    return json.loads(content), answer.headers
            except (OSError, http.client.HTTPException):
                if self._line:
                    self._line.close()
                self._line = None
            if time.monotonic() > until:
                raise TimeoutError(f"{method} {path}: no answer")
            time.sleep(0.05)


def write(client: Client, path: str, tally: Tally, seed: int) -> None:
    """Post small envelopes until told to stop."""
    chance = random.Random(seed)
    while not tally.stop.is_set():
        ids = [f"identity--{uuid.uuid4()}" for _ in range(chance.randrange(1, 12))]
        objects = [
            {
                "type": "identity",
                "spec_version": "2.1",
                "id": stix_id,
                "created": "2026-01-01T00:00:00.000Z",
                "modified": "2026-01-01T00:00:00.000Z",
                "name": "written",
            }
            for stix_id in ids
        ]
        status, _ = client.ask("POST", path, json.dumps({"objects": objects}).encode())
        assert status["success_count"] == len(ids), status
        with tally.guard:
            tally.stored |= set(ids)


def poll(client: Client, path: str, tally: Tally, seen: list[str], *, by_next: bool) -> None:
    """Poll until the writers have stopped and nothing is left."""
    query = "limit=40"
    while True:
        finished = tally.written.is_set()
        page, headers = client.ask("GET", f"{path}?{query}")
        seen += [obj["id"] for obj in page.get("objects", [])]
        last = headers.get("X-TAXII-Date-Added-Last")
        if by_next and page.get("more"):
            query = f"limit=40&next={quote(page['next'])}"
        elif last:
            query = f"limit=40&added_after={last}"
        if not page.get("more"):
            if finished and not page.get("objects"):
                return
            time.sleep(0.02)


def kill_the_web(hub: RunningHub) -> None:
    """kill -9 of the process that serves; the runner starts it again."""
    for pid in hub.processes():
        with contextlib.suppress(OSError):
            if b"crc.asgi:app" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def own_database() -> Iterator[dict[str, str]]:
    """Settings for a hub beside the one under test: a database of its own on the same server."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        yield {}
        return
    name = f"crc_faults_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield {"DATABASE_URL": urlsplit(url)._replace(path=f"/{name}").geturl()}
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def once(seconds: float, writers: int = 16, kills: int = 1) -> Tally:
    """One run on a hub of its own."""
    with own_database() as settings, running_hub(**settings) as hub:
        # Two members: of one, no more than eight posts may wait at a time.
        slugs = [f"w{uuid.uuid4().hex[:8]}" for _ in range(2)]
        for slug in slugs:
            hub.manage("add_member", f"Writers {slug}", "--slug", slug, "--role", "authority")
        hub.manage("set_writers", "community-green", "--members", ",".join(slugs))
        scopes = ("--scope", "taxii:read", "--scope", "taxii:write")
        keys = [hub.manage("issue_key", "--member", slug, *scopes).strip() for slug in slugs]
        tally, path = Tally(), "/crc/collections/community-green/objects/"
        writing = [
            threading.Thread(
                target=write, args=(Client(hub.base, keys[number % 2]), path, tally, number)
            )
            for number in range(writers)
        ]
        polling = [
            threading.Thread(
                target=poll,
                args=(Client(hub.base, keys[0]), path, tally, seen),
                kwargs={"by_next": by_next},
            )
            for seen, by_next in ((tally.by_next, True), (tally.by_date, False))
        ]
        for thread in [*writing, *polling]:
            thread.start()
        for _ in range(kills):
            time.sleep(seconds / (kills + 1))
            kill_the_web(hub)
        time.sleep(seconds / (kills + 1))
        for event, threads in ((tally.stop, writing), (tally.written, polling)):
            event.set()
            for thread in threads:
                thread.join(60)
            assert not any(thread.is_alive() for thread in threads)
    return tally


def main() -> int:
    """0 when no run missed anything."""
    parser = argparse.ArgumentParser(prog="writers_and_pollers")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    bad = 0
    for number in range(1, options.runs + 1):
        tally = once(options.seconds)
        missing = (len(tally.missing(tally.by_next)), len(tally.missing(tally.by_date)))
        bad += any(missing)
        print(
            f"run {number}: {len(tally.stored)} stored, missing by next {missing[0]}, "
            f"by added_after {missing[1]}",
            flush=True,
        )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
