"""The load: wrk for pages, threads for posts and for peers that take seconds, one client for ms."""

import http.client
import itertools
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from bench.servers import Site

TAXII: Final = "application/taxii+json;version=2.1"
SCRIPT: Final = Path(__file__).with_name("cycle.lua")
# The kernel spreads connections over processes by a hash: a few may all come to one of them.
CONNECTIONS: Final = 32
POSTERS: Final = 8
PATIENCE: Final = 600.0
# A path, and what is posted there, if anything.
Asked = tuple[str, bytes | None]


class WrongAnswer(RuntimeError):
    """A server answered something else than what is being measured."""


def get(site: Site, path: str, *, packed: bool = False) -> bytes:
    """One answer's bytes as they come. Raises WrongAnswer."""
    client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE)
    try:
        return _ask(client, "GET", path, headers(site, packed=packed))
    finally:
        client.close()


def headers(site: Site, *, packed: bool = False) -> dict[str, str]:
    """What a TAXII client sends."""
    told = {"Accept": TAXII, **site.headers}
    return {**told, "Accept-Encoding": "gzip"} if packed else told


def wrk(site: Site, paths: Sequence[str], seconds: float, *, packed: bool = False) -> float:
    """Answers a second, cycling through the paths: one thread, 32 connections.

    Raises WrongAnswer when any request failed.
    """
    binary = shutil.which("wrk")
    assert binary
    lines = [
        word for pair in headers(site, packed=packed).items() for word in ("-H", ": ".join(pair))
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(paths) + "\n")
        file.flush()
        command = [binary, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s"]
        where = [f"http://127.0.0.1:{site.port}/", "--", file.name]
        told = subprocess.run(
            [*command, "--timeout", "30s", *lines, "-s", str(SCRIPT), *where],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    counts = json.loads(told.partition("\nTOLD ")[2])
    if counts["wrong"] or not counts["requests"]:
        raise WrongAnswer(f"{site.name}: {counts}")
    return float(counts["requests"]) * 1_000_000 / counts["micros"]


def patiently(
    site: Site, paths: Sequence[str], seconds: float, *, threads: int = 2, at_least: int = 8
) -> float:
    """Answers a second of a server that may take seconds for one, where wrk would count too few."""
    asked = itertools.cycle(paths)
    guard = threading.Lock()
    until = time.monotonic() + seconds

    def work(
        client: http.client.HTTPConnection, done: list[bytes], all_done: Callable[[], int]
    ) -> None:
        while time.monotonic() < until or all_done() < at_least:
            with guard:
                path = next(asked)
            _ask(client, "GET", path, headers(site))
            done.append(b"")

    count, elapsed = _together(site, threads, work)
    return len(count) / elapsed


def post(site: Site, path: str, envelopes: Sequence[bytes], seconds: float) -> tuple[int, float]:
    """Objects stored, and the seconds it took: eight threads, until time or envelopes run out.

    Every status is looked at when the clock has stopped. Raises WrongAnswer unless each says
    "complete" with as many successes as there were objects.
    """
    waiting = iter(envelopes)
    guard = threading.Lock()
    until = time.monotonic() + seconds

    def work(client: http.client.HTTPConnection, done: list[bytes], _: Callable[[], int]) -> None:
        while time.monotonic() < until:
            with guard:
                body = next(waiting, None)
            if body is None:
                return
            told = headers(site) | {"Content-Type": TAXII}
            done.append(_ask(client, "POST", path, told, body))

    answers, elapsed = _together(site, POSTERS, work)
    return sum(_stored(site, answer) for answer in answers), elapsed


def _stored(site: Site, answer: bytes) -> int:
    status = json.loads(answer)
    total = int(status["total_count"])
    if status["status"] != "complete" or status["success_count"] != total or not total:
        raise WrongAnswer(f"{site.name} stored less than it was sent: {answer[:300]!r}")
    return total


def objects_of(page: bytes) -> list[str]:
    """The ids of a page's objects."""
    return [one["id"] for one in json.loads(page).get("objects", [])]


def milliseconds(site: Site, asked: Iterable[Asked]) -> float:
    """The median of one client's requests, one after the other; those with a body are posts."""
    client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE)
    plain, posting = headers(site), headers(site) | {"Content-Type": TAXII}
    taken, posted = [], []
    for path, body in asked:
        start = time.perf_counter()
        if body is None:
            _ask(client, "GET", path, plain)
        else:
            posted.append(_ask(client, "POST", path, posting, body))
        taken.append((time.perf_counter() - start) * 1000)
    client.close()
    for answer in posted:
        _stored(site, answer)
    return statistics.median(taken)


def _ask(
    client: http.client.HTTPConnection,
    method: str,
    path: str,
    told: dict[str, str],
    body: bytes | None = None,
) -> bytes:
    client.request(method, path, body=body, headers=told)
    answer = client.getresponse()
    content = answer.read()
    if answer.status not in {200, 202}:
        raise WrongAnswer(f"{method} {path}: {answer.status} {content[:300]!r}")
    return content


def _together(site: Site, threads: int, work: Callable[..., Any]) -> tuple[list[bytes], float]:
    """What the threads gathered, and how long all of them took. Raises what any of them raised."""
    done: list[list[bytes]] = [[] for _ in range(threads)]
    wrong: list[BaseException] = []

    def run(mine: list[bytes]) -> None:
        client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE)
        try:
            work(client, mine, lambda: sum(map(len, done)))
        except Exception as error:
            wrong.append(error)
        finally:
            client.close()

    start = time.perf_counter()
    workers = [threading.Thread(target=run, args=(mine,), daemon=True) for mine in done]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - start
    if wrong:
        raise wrong[0]
    return [answer for mine in done for answer in mine], elapsed
