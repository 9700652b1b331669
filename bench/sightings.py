"""Sightings at full speed over TAXII, and what a web page takes meanwhile.

``python -m bench.sightings [--seconds N] [--members N] [--senders N] [--rate N]``: as fast as the
hub answers, or with a rate as many sightings a second as asked for and no more. The hub runs on a
PostgreSQL database of its own (server as tests/backends.py finds it) in two processes, granian's
where it is installed, else uvicorn's; the envelopes of 1,000 come from this process.
"""

import argparse
import contextlib
import http.client
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from bench import results_file
from bench.results_file import ROOT
from tests.backends import postgresql, redis_server
from tests.hub import free_port

BATCH = 1_000
THINGS = 500
TARGET_A_SECOND = 10_000
TARGET_PAGE_MS = 300
PAGE_EVERY = 0.2
MEDIA = "application/taxii+json;version=2.1"
OBJECTS = "/crc/collections/sightings/objects/"
PLACE = b"deadbeef"


@dataclass
class Seen:
    """What the clients saw; ``posts`` holds when each was answered, and how long it took."""

    posts: list[tuple[float, float]] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@contextlib.contextmanager
def hub(environment: dict[str, str], port: int) -> Iterator[str]:
    """A server on an empty hub; yields its name."""
    for words in (["migrate", "--noinput", "-v", "0"], ["bootstrap", "--json"]):
        manage(environment, *words)
    if importlib.util.find_spec("granian"):
        name = "granian, WSGI, 2 processes"
        words = ["granian", "--interface", "wsgi", "--workers", "2", "--blocking-threads", "8",
                 "--host", "127.0.0.1", "--port", str(port), "--no-ws", "--log-level", "warning",
                 "crc.wsgi:application"]  # fmt: skip
    else:
        name = "uvicorn, 2 processes"
        words = ["uvicorn", "--workers", "2", "--host", "127.0.0.1", "--port", str(port),
                 "--log-level", "warning", "crc.asgi:app"]  # fmt: skip
    server = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=environment)
    try:
        for _ in range(150):
            with contextlib.suppress(OSError):
                page_time(port)
                break
            time.sleep(0.2)
        yield name
        if server.poll() is not None:
            raise RuntimeError(f"the server ended by itself, status {server.returncode}")
    finally:
        server.terminate()
        server.wait(20)


def manage(environment: dict[str, str], *words: str) -> str:
    """One of the operator's commands; what it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def page_time(port: int) -> float:
    """Seconds for the log-in page, which reads the session and renders the frame."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/accounts/login/")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise OSError(f"the page answers {answer.status}")
    return time.perf_counter() - started


def envelope(things: list[str], identity: str) -> bytes:
    """1,000 sightings of one member; PLACE in each id is replaced to make a new envelope."""
    said = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}"
    objects = [
        {
            "type": "sighting",
            "spec_version": "2.1",
            "id": f"sighting--{PLACE.decode()}-{str(uuid.uuid4())[9:]}",
            "created_by_ref": identity,
            "created": said,
            "modified": said,
            "first_seen": said,
            "last_seen": said,
            "count": 1 + number % 7,
            "sighting_of_ref": things[number % len(things)],
            "where_sighted_refs": [identity],
        }
        for number in range(BATCH)
    ]
    return json.dumps({"objects": objects}).encode()


def send(
    port: int,
    key: str,
    body: bytes,
    *,
    turns: Iterator[tuple[int, float]],
    until: float,
    seen: Seen,
) -> None:
    """Post one envelope after the other, none before its turn; a broken connection ends it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Accept": MEDIA, "Content-Type": MEDIA}
    while time.perf_counter() < until:
        number, due = next(turns)
        fresh = body.replace(PLACE, b"%08x" % number)
        time.sleep(max(0.0, due - time.perf_counter()))
        started = time.perf_counter()
        try:
            connection.request("POST", OBJECTS, fresh, headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            seen.wrong.append(f"{type(error).__name__} {error}")
            return
        ended = time.perf_counter()
        if answer.status == 202 and json.loads(said)["success_count"] == BATCH:
            seen.posts.append((ended, ended - started))
        else:
            seen.wrong.append(f"{answer.status} {said[:200]!r}")


def look(port: int, until: float, seen: Seen) -> None:
    """Open a page every now and then, as somebody at a desk would."""
    while time.perf_counter() < until:
        try:
            seen.pages.append(page_time(port))
        except (OSError, http.client.HTTPException) as error:
            seen.wrong.append(f"page: {type(error).__name__} {error}")
        time.sleep(PAGE_EVERY)


@contextlib.contextmanager
def database() -> Iterator[str]:
    """A PostgreSQL database for this run alone."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    with postgresql() as url:
        with psycopg.connect(url, autocommit=True) as control:
            control.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield f"{url.rpartition('/')[0]}/{name}"
        finally:
            with psycopg.connect(url, autocommit=True) as control:
                control.execute(
                    sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
                )


def measure(port: int, keys: list[str], asked: argparse.Namespace) -> tuple[Seen, float]:
    """Run the clients; what they saw, and for how long they sent."""
    things = [f"indicator--{uuid.uuid4()}" for _ in range(THINGS)]
    bodies = [envelope(things, f"identity--{uuid.uuid4()}") for _ in keys]
    seen, started = Seen(), time.perf_counter()
    until = started + asked.seconds
    apart = BATCH / asked.rate if asked.rate else 0.0
    turns = iter([(number, started + number * apart) for number in range(100_000)])
    clients = [
        threading.Thread(
            target=send,
            args=(port, keys[n % len(keys)], bodies[n % len(keys)]),
            kwargs={"turns": turns, "until": until, "seen": seen},
        )
        for n in range(asked.senders)
    ]
    clients.append(threading.Thread(target=look, args=(port, until, seen)))
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return seen, max(ended for ended, _ in seen.posts) - started


def main() -> None:
    """Print the table and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--rate", type=int, default=0)
    asked = parser.parse_args()
    port = free_port()
    with database() as database_url, redis_server() as redis_url:
        environment = {
            **os.environ,
            "CRC_DATA_DIR": tempfile.mkdtemp(prefix="crc-bench-"),
            "CRC_BASE_URL": f"http://127.0.0.1:{port}",
            "CRC_LOG_LEVEL": "ERROR",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
        }
        with hub(environment, port) as server:
            keys = []
            for number in range(asked.members):
                slug = f"member-{number}"
                manage(environment, "add_member", slug, "--slug", slug, "--role", "terminal")
                words = ["issue_key", "--member", slug, "--scope", "sightings:write", "--json"]
                issued = manage(environment, *words)
                keys.append(json.loads(issued)["key"])
            load = os.getloadavg()[0]
            seen, took = measure(port, keys, asked)
            with psycopg.connect(database_url) as control:
                size = control.execute(
                    "SELECT count(*), pg_total_relation_size('sharing_sightingcount') "
                    "FROM sharing_sightingcount"
                ).fetchone()
    assert size
    report(seen, took, asked, server=server, load=load, rows=size[0], size=size[1])


def report(
    seen: Seen,
    took: float,
    asked: argparse.Namespace,
    *,
    server: str,
    load: float,
    rows: int,
    size: int,
) -> None:
    """Say it, and write it."""
    rate = len(seen.posts) * BATCH / took
    pages = statistics.quantiles((seconds * 1000 for seconds in seen.pages), n=100)
    posts = statistics.quantiles((seconds * 1000 for _, seconds in seen.posts), n=100)
    whole = took >= 59 and not seen.wrong
    found = [
        {
            "work": f"sightings taken in over TAXII, envelopes of {BATCH:,}, {took:.0f} s",
            "value": round(rate),
            "unit": "sightings a second",
            "target": TARGET_A_SECOND,
            "met": whole and rate >= TARGET_A_SECOND,
        },
        {
            "work": "a web page meanwhile, 99th percentile",
            "value": round(pages[98], 1),
            "unit": "ms",
            "target": TARGET_PAGE_MS,
            "met": whole and pages[98] < TARGET_PAGE_MS,
        },
        {"work": "a web page meanwhile, median", "value": round(pages[49], 1), "unit": "ms"},
        {"work": "one post, median", "value": round(posts[49], 1), "unit": "ms"},
        {"work": "one post, 99th percentile", "value": round(posts[98], 1), "unit": "ms"},
        {"work": "count rows written", "value": rows, "unit": "rows"},
        {"work": "their size with indexes", "value": round(size / 1e6, 2), "unit": "MB"},
        {
            "work": "requests not answered as they should be",
            "value": len(seen.wrong),
            "unit": "requests",
        },
    ]
    for row in found:
        print(f"{row['work']:<60} {row['value']:>10,} {row['unit']}")
    print(*seen.wrong[:3], sep="\n")
    results_file.write(
        "sightings",
        found,
        server=server,
        load_before=round(load, 2),
        members=asked.members,
        senders=asked.senders,
        rate_asked=asked.rate or "full speed",
        seconds=asked.seconds,
    )


if __name__ == "__main__":
    main()
