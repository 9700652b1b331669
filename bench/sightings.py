"""Sightings at full speed over TAXII, and what the desk's page takes meanwhile.

``python -m bench.sightings [--seconds 60] [--members 4] [--senders 4] [--rate N] [--together]``: as
fast as the hub answers, or with a rate as many sightings a second as asked for and no more. The hub
runs as docs/operating.md has it for SOC speed: pages in one process, TAXII in two of its own, and
the worker with beat; on PostgreSQL, all of it on this machine with the load. ``--together`` sends
everything to the one process of the small hub instead. Shorter than a minute, nothing is kept.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench import databases, load, servers, stores
from bench.databases import Server
from bench.record import Row, record, row, skipped, table
from bench.servers import Site
from crc import runner

BATCH: Final = 1_000
THINGS: Final = 500
FULL_SECONDS: Final = 60.0
PAGE_EVERY: Final = 0.1
PATIENCE: Final = 60.0
OBJECTS: Final = "/crc/collections/sightings/objects/"
PAGE: Final = "/desk/"
PLACE: Final = b"deadbeef"
POSTED: Final = f"sightings posted, envelopes of {BATCH:,}"
OPENED: Final = "the desk's page meanwhile, 99th percentile"


@dataclass
class Seen:
    """What the clients saw: per post when it was answered and the seconds it took, and per page."""

    posts: list[tuple[float, float]] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Parts:
    """Where the hub's pages and its TAXII answer, and who asks."""

    pages: Site
    taxii: Site
    keys: list[str]


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and after a full run write bench/results/sightings.json."""
    parser = argparse.ArgumentParser(prog="python -m bench.sightings", description=__doc__)
    parser.add_argument("--seconds", type=float, default=FULL_SECONDS)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--rate", type=int, default=0, help="sightings a second; 0 is full speed")
    parser.add_argument("--together", action="store_true", help="one process for everything")
    asked = parser.parse_args(words)
    server = databases.find()
    if server is None:
        why = "no PostgreSQL answers"
        table([skipped(POSTED, "sightings/s", why), skipped(OPENED, "ms", why)])
        return
    rows = _measured(asked, server)
    table(rows)
    if asked.seconds < FULL_SECONDS or asked.together:
        print("Not the full run: nothing is kept.")
        return
    print(f"Written: {record('sightings', rows, postgresql=server.version).name}")


def _measured(asked: argparse.Namespace, server: Server) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="crc-bench-") as name:
        folder = Path(name)
        with stores.empty(folder, server, databases.SIGHTINGS) as env:
            told = stores.fill(env, "senders", str(asked.members))
            with _hub(folder, env, told, together=asked.together) as parts:
                before = os.getloadavg()[0]
                seen, took = _run(parts, asked)
            with server.connect(databases.SIGHTINGS) as control:
                kept = control.execute(
                    "SELECT count(*), sum(count)::bigint,"
                    " pg_total_relation_size('sharing_sightingcount') FROM sharing_sightingcount"
                ).fetchone()
    assert kept
    return _rows(seen, took, asked, before, kept)


@contextlib.contextmanager
def _hub(
    folder: Path, env: Mapping[str, str], told: dict[str, Any], *, together: bool
) -> Iterator[Parts]:
    """Everything that runs in production but the proxy."""
    port = servers.free_port()
    session = {"Cookie": f"{told['cookie']}={told['session']}"}
    web = servers.web(
        "pages",
        runner.web("127.0.0.1", port).command,
        port,
        folder / "web.log",
        env=env,
        told=session,
    )
    parts = (runner.worker(), runner.beat(Path(env["CRC_DATA_DIR"])))
    with contextlib.ExitStack() as stack:
        pages = stack.enter_context(web)
        (folder / "data" / "run").mkdir(exist_ok=True)
        for part in parts:
            log = folder / f"{part.name}.log"
            stack.enter_context(servers.process(part.command, log, env=env))
        taxii = pages
        if not together:
            taxii = stack.enter_context(servers.hub(folder, env, told["keys"][0]))
        _page(pages)
        yield Parts(pages, taxii, told["keys"])


def _run(parts: Parts, asked: argparse.Namespace) -> tuple[Seen, float]:
    """Run the clients; what they saw, and for how long they sent."""
    things = [f"indicator--{uuid.uuid4()}" for _ in range(THINGS)]
    bodies = [_envelope(things, f"identity--{uuid.uuid4()}") for _ in parts.keys]
    seen, started = Seen(), time.perf_counter()
    until = started + asked.seconds
    apart = BATCH / asked.rate if asked.rate else 0.0
    turns = _turns(started, apart)
    clients = [
        threading.Thread(
            target=_send,
            args=(parts.taxii, parts.keys[n % len(parts.keys)], bodies[n % len(bodies)]),
            kwargs={"turns": turns, "until": until, "seen": seen},
        )
        for n in range(asked.senders)
    ]
    clients.append(threading.Thread(target=_look, args=(parts.pages, until, seen)))
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if not seen.posts:
        sys.exit(f"No post was answered: {seen.wrong[:3]}")
    return seen, max(ended for ended, _ in seen.posts) - started


def _turns(started: float, apart: float) -> Iterator[tuple[int, float]]:
    # itertools alone: an iterator in C may be shared by threads, a generator may not.
    return zip(itertools.count(), itertools.count(started, apart), strict=False)


def _envelope(things: list[str], identity: str) -> bytes:
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


def _send(
    site: Site,
    key: str,
    body: bytes,
    *,
    turns: Iterator[tuple[int, float]],
    until: float,
    seen: Seen,
) -> None:
    """Post one envelope after the other, none before its turn; a broken connection ends it."""
    client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE)
    told = {
        "Authorization": f"Bearer {key}",
        "Accept": load.TAXII,
        "Content-Type": load.TAXII,
    }
    while time.perf_counter() < until:
        number, due = next(turns)
        fresh = body.replace(PLACE, b"%08x" % number)
        time.sleep(max(0.0, due - time.perf_counter()))
        started = time.perf_counter()
        try:
            client.request("POST", OBJECTS, fresh, told)
            answer = client.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            seen.wrong.append(f"{type(error).__name__} {error}")
            return
        ended = time.perf_counter()
        if answer.status == 202 and json.loads(said)["success_count"] == BATCH:
            seen.posts.append((ended, ended - started))
        else:
            seen.wrong.append(f"{answer.status} {said[:200]!r}")


def _look(site: Site, until: float, seen: Seen) -> None:
    """Open a page every now and then, as somebody at the desk would."""
    while time.perf_counter() < until:
        started = time.perf_counter()
        try:
            _page(site)
        except (OSError, http.client.HTTPException, load.WrongAnswer) as error:
            seen.wrong.append(f"page: {type(error).__name__} {error}")
        else:
            seen.pages.append(time.perf_counter() - started)
        time.sleep(PAGE_EVERY)


def _page(site: Site) -> None:
    client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE)
    try:
        client.request("GET", PAGE, headers=site.headers)
        answer = client.getresponse()
        if answer.status != 200 or b"<h1>Desk</h1>" not in answer.read():
            raise load.WrongAnswer(f"{PAGE}: {answer.status}")
    finally:
        client.close()


def _rows(
    seen: Seen,
    took: float,
    asked: argparse.Namespace,
    load_before: float,
    kept: tuple[Any, ...],
) -> list[Row]:
    rows, counted, size = kept
    posted = len(seen.posts)
    expected = posted * sum(1 + number % 7 for number in range(BATCH))
    # Every sighting is in the counts, or the rate says nothing.
    held = not seen.wrong and counted == expected
    full = asked.seconds >= FULL_SECONDS and not asked.together and held
    pages = statistics.quantiles((s * 1000 for s in seen.pages), n=100, method="inclusive")
    posts = statistics.quantiles((s * 1000 for _, s in seen.posts), n=100, method="inclusive")
    return [
        row(
            POSTED,
            posted * BATCH / took,
            "sightings/s",
            at_least=10_000,
            judged=full,
            seconds=round(took, 1),
            load_before=round(load_before, 2),
            members=asked.members,
            senders=asked.senders,
            rate_asked=asked.rate or "full speed",
            first_wrong=seen.wrong[:3],
        ),
        row(OPENED, pages[98], "ms", at_most=300, judged=full, pages=len(seen.pages)),
        row("the desk's page meanwhile, median", pages[49], "ms"),
        row("one post, median", posts[49], "ms"),
        row("one post, 99th percentile", posts[98], "ms"),
        row("requests not answered as they should be", len(seen.wrong), "requests"),
        row("sightings in the counts, of those answered", counted / expected, "of 1"),
        row("count rows written", rows, "rows"),
        row("their size with indexes", size / 1e6, "MB"),
    ]


if __name__ == "__main__":
    main()
