"""What a request costs when the collection grows: the same four at each size."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench import load, servers, stores
from bench.databases import Server
from bench.indicators import envelopes
from bench.load import Asked
from bench.record import Row, row, skipped
from bench.stores import SEED, Hub

REQUESTS: Final = 200
POSTS: Final = 20
POSTED: Final = 100
NEW: Final = 10
BOUND: Final = 1.2
JUDGED_FROM: Final = 1_000_000
_STEP: Final = 1_000


def measure(sizes: Sequence[int], folder: Path, server: Server) -> tuple[list[Row], float]:
    """The rows, and the largest worker's memory in MB."""
    rows: list[Row] = []
    deltas: list[float] = []
    peak = 0.0
    with stores.empty(folder, server) as env:
        for size in sizes:
            print(f"Growing to {size:,} objects ...", flush=True)
            told = stores.fill(env, "grow", str(size))
            stores.settle(server)
            with stores.serving(folder, env, told) as hub:
                found = _at(hub, size)
                peak = max(peak, servers.memory(hub.site)["peak_rss"])
            deltas.append(found[0]["value"])
            rows += found
    work = f"delta poll at {max(sizes):,} objects beside {min(sizes):,}"
    if len(sizes) < 2:
        return [*rows, skipped(work, "times", "one size alone")], peak
    times = deltas[-1] / deltas[0]
    judged = max(sizes) >= JUDGED_FROM
    return [*rows, row(work, times, "times", at_most=BOUND, judged=judged)], peak


def _at(hub: Hub, size: int) -> list[Row]:
    """The delta poll first; the posts, which change the collection, last."""
    if len(load.objects_of(load.get(hub.site, hub.page(hub.sealed)))) != NEW:
        raise load.WrongAnswer("a delta poll does not find the new objects")
    kinds: tuple[tuple[str, Iterator[Asked], int], ...] = (
        (f"delta poll, {NEW} new", _deltas(hub), REQUESTS),
        ("first page of 1,000", _firsts(hub), REQUESTS),
        ("page of 100, match[type]=indicator", _filtered(hub), REQUESTS),
        (f"post of {POSTED}", _posts(hub, size), POSTS),
    )
    return [
        row(
            f"{work}, {size:,} objects",
            load.milliseconds(hub.site, asked),
            f"ms, median of {count}",
        )
        for work, asked, count in kinds
    ]


# No two requests are alike: the hub would answer the second from memory.


def _deltas(hub: Hub) -> Iterator[Asked]:
    # The new objects came a second after the rest.
    return ((hub.page(hub.sealed + n * _STEP), None) for n in range(1, REQUESTS + 1))


def _firsts(hub: Hub) -> Iterator[Asked]:
    return ((hub.page(hub.start - n * _STEP), None) for n in range(1, REQUESTS + 1))


def _filtered(hub: Hub) -> Iterator[Asked]:
    drawn = random.Random(SEED)
    for _ in range(REQUESTS):
        page = hub.page(drawn.randrange(hub.start, hub.sealed)).replace("limit=1000", "limit=100")
        yield f"{page}&match[type]=indicator", None


def _posts(hub: Hub, size: int) -> Iterator[Asked]:
    return ((hub.path, body) for body in envelopes(POSTS, SEED + size, size=POSTED))
