"""The TAXII side beside its peers and its limit, in one run on one machine.

``python -m bench.taxii [--objects 1000000] [--seconds 5] [--grow 10000,10000000] [--quick]``.
``--quick`` tries everything at a small size; it judges nothing and keeps nothing.
"""

import argparse
import gzip
import itertools
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import databases, growth, load, peers, servers, stores
from bench.databases import Server
from bench.indicators import envelopes
from bench.record import Row, record, row, skipped, table
from bench.servers import Site
from bench.stores import SEED, Hub

FULL: Final = 1_000_000
FULL_POST_SECONDS: Final = 10.0
MEMORY: Final = "memory of a server process after all that"
# More than any server here takes, so that the load does not run dry.
POSTED_A_SECOND: Final = 30_000
PEER_POSTED_A_SECOND: Final = 3_000
TOOLS: Final = {"wrk": "wrk", "nginx": "nginx-light"}
OPENTAXII: Final = "OpenTAXII 0.9.3, spared authentication, its issue 243 worked around"


@dataclass
class Run:
    """What this run is asked for, where it works, and what it has found."""

    objects: int
    seconds: float
    grow: list[int]
    folder: Path
    missing: list[str]
    rows: list[Row] = field(default_factory=list)

    @property
    def judged(self) -> bool:
        """Whether it is large enough for the targets."""
        return self.objects >= FULL

    @property
    def post_seconds(self) -> float:
        """How long posts go on."""
        return max(self.seconds, FULL_POST_SECONDS) if self.judged else self.seconds

    def add(self, *rows: Row) -> None:
        """Keep rows, and say so."""
        self.rows += rows
        for one in rows:
            told = "skipped" if one["value"] is None else f"{one['value']:,g} {one['unit']}"
            print(f"  {one['work']}: {told}", flush=True)


@dataclass(frozen=True)
class Peer:
    """What OpenTAXII did; None where it could not be had."""

    pages: float | None = None
    posted: float | None = None


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and write bench/results/taxii.json."""
    asked = _asked(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    server = databases.find()
    with tempfile.TemporaryDirectory(prefix="crc-bench-") as name:
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        run = Run(asked.objects, asked.seconds, asked.grow, Path(name), missing)
        _say_missing(run, server)
        _medallion(run)
        if server:
            peak = _hub_and_peers(run, server)
            if run.grow:
                rows, grown = growth.measure(run.grow, run.folder, server)
                run.add(*rows)
                peak = max(peak, grown)
            run.add(row(MEMORY, peak, "MB, peak RSS", at_most=250, judged=run.judged))
        else:
            others = [("growth", "ms"), (MEMORY, "MB")]
            for work, unit in [*_names(run), *others]:
                run.add(skipped(work, unit, "no PostgreSQL answers"))
    print()
    table(run.rows)
    if asked.quick:
        print("A quick run: nothing is kept.")
        return
    kept = record("taxii", run.rows, postgresql=server.version if server else "")
    print(f"Written: {kept.name}")


def _asked(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.taxii", description=__doc__)
    parser.add_argument("--objects", type=int, default=FULL)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row")
    parser.add_argument("--grow", default="10000,10000000", help="sizes; empty for none")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args(words)
    asked.grow = sorted(int(size) for size in asked.grow.split(",") if size)
    if asked.quick:
        asked.objects, asked.seconds, asked.grow = 20_000, 1.0, [2_000, 20_000]
    if asked.objects < 2_000 or any(size < 1_000 for size in asked.grow):
        parser.error("--objects must be 2000 or more, and sizes to grow to 1000 or more")
    return asked


def _say_missing(run: Run, server: Server | None) -> None:
    for tool in run.missing:
        print(f"!!! {tool} is MISSING: apt-get install {TOOLS[tool]}. Its rows are skipped.")
    if server is None:
        print(
            "!!! PostgreSQL is MISSING: apt-get install postgresql and start it, or name a server"
            " in CRC_BENCH_DATABASE_URL. Its rows are skipped."
        )


def _names(run: Run) -> list[tuple[str, str]]:
    """The rows on PostgreSQL, with their units."""
    size = f"{run.objects:,}"
    return [
        (f"page of 1,000 of {size}, first time", "pages/s"),
        (f"page of 1,000 of {size}, first time, gzip", "pages/s"),
        ("the same page again, nothing changed", "pages/s"),
        ("the same page again, nothing changed, gzip", "pages/s"),
        ("poll with nothing new", "polls/s"),
        (f"posted in envelopes of 1,000 to {size}", "objects/s"),
    ]


def _medallion(run: Run) -> None:
    """Its memory backend bears no more than this."""
    count = peers.MEDALLION_OBJECTS
    with peers.medallion(run.folder, SEED) as (site, path):
        _holds_a_thousand(site, load.get(site, path))
        taken = load.milliseconds(site, itertools.repeat((path, None), 3))
    work = f"medallion 3.0.0, memory backend: page of 1,000 of {count:,}"
    run.add(row(work, taken / 1000, "s, median of 3", note="a size it can bear; no target"))


def _hub_and_peers(run: Run, server: Server) -> float:
    """OpenTAXII on the hub's objects, then the hub; the hub's largest process in MB."""
    with stores.empty(run.folder, server) as env:
        print(f"Loading {run.objects:,} objects into the hub ...", flush=True)
        told = stores.fill(env, "load", str(run.objects), str(SEED))
        with stores.serving(run.folder, env, told) as hub:
            peer = _opentaxii(run, server, hub)
            stores.settle(server)
            if "wrk" in run.missing:
                for work, unit in _names(run)[:-1]:
                    run.add(skipped(work, unit, "wrk is missing"))
            else:
                _first_time(run, hub, peer)
                _again(run, hub)
                _nothing_new(run, hub)
            _posts(run, hub, peer)
            return servers.memory(hub.site)["peak_rss"]


def _opentaxii(run: Run, server: Server, hub: Hub) -> Peer:
    """Pages from the same starts, then posts. It answers the same objects, or nothing counts."""
    try:
        with (
            databases.fresh(server, databases.PEER) as database,
            peers.opentaxii(run.folder, server, database) as site,
        ):
            print(f"Loading {run.objects:,} objects into OpenTAXII ...", flush=True)
            peers.load(server, database, run.objects, SEED, hub.start)
            stores.settle(server)
            paths = [page.replace(hub.path, peers.objects_path()) for page in hub.pages()]
            ours, theirs = load.get(hub.site, hub.pages()[0]), load.get(site, paths[0])
            if load.objects_of(ours) != load.objects_of(theirs):
                raise load.WrongAnswer("the two stores do not answer the same objects")
            pages = load.patiently(site, paths, run.seconds)
            return Peer(pages, _posted(run, site, peers.objects_path(), PEER_POSTED_A_SECOND))
    except (peers.NoPeer, servers.DidNotStart, OSError) as problem:
        print(f"!!! OpenTAXII is MISSING, and the ratios to it: {problem}")
        return Peer()


def _first_time(run: Run, hub: Hub, peer: Peer) -> None:
    """Random pages, far more of them than a process remembers."""
    pages = hub.pages()
    _holds_a_thousand(hub.site, load.get(hub.site, pages[0]))
    for packed, (work, unit) in enumerate(_names(run)[:2]):
        rate = load.wrk(hub.site, pages, run.seconds, packed=bool(packed))
        run.add(
            row(
                work,
                rate,
                unit,
                ratio_at_least=100,
                peer=OPENTAXII + (", which does not compress" if packed else ""),
                peer_value=peer.pages,
                judged=run.judged,
            )
        )


def _again(run: Run, hub: Hub) -> None:
    """One page all the time, beside nginx with the very bytes of it in a file."""
    path = hub.pages()[0]
    names = _names(run)[2:4]
    if "nginx" in run.missing:
        run.add(*(skipped(work, unit, "nginx is missing") for work, unit in names))
        return
    plain, packed = load.get(hub.site, path), load.get(hub.site, path, packed=True)
    if gzip.decompress(packed) != plain:
        raise load.WrongAnswer("a compressed page is another than the plain one")
    with servers.static(run.folder, {"page": plain, "page.gz": packed}) as nginx:
        for is_packed, ((work, unit), file) in enumerate(
            zip(names, ("page", "page.gz"), strict=True)
        ):
            limit = load.wrk(nginx, [f"/{file}"], run.seconds)
            rate = load.wrk(hub.site, [path], run.seconds, packed=bool(is_packed))
            told = {"peer": "nginx, the same bytes in a file", "peer_value": limit}
            run.add(row(work, rate, unit, ratio_at_least=0.25, judged=run.judged, **told))


def _nothing_new(run: Run, hub: Hub) -> None:
    path = hub.page(hub.newest)
    if load.objects_of(load.get(hub.site, path)):
        raise load.WrongAnswer("a poll with nothing new finds something")
    work, unit = _names(run)[4]
    rate = load.wrk(hub.site, [path], run.seconds)
    run.add(row(work, rate, unit, at_least=3_000, judged=run.judged))


def _posts(run: Run, hub: Hub, peer: Peer) -> None:
    """One measurement, two targets: a rate, and a ratio."""
    work, unit = _names(run)[5]
    rate = _posted(run, hub.site, hub.path, POSTED_A_SECOND)
    run.add(row(work, rate, unit, at_least=10_000, judged=run.judged))
    run.add(
        row(
            f"{work}, beside its peer",
            rate,
            unit,
            ratio_at_least=30,
            peer=OPENTAXII,
            peer_value=peer.posted,
            judged=run.judged,
        )
    )


def _posted(run: Run, site: Site, path: str, at_most: int) -> float:
    """Objects a second, each validated and committed. Both stores are sent the same envelopes."""
    count = round(run.post_seconds * at_most / 1_000) + load.POSTERS
    stored, elapsed = load.post(site, path, envelopes(count, SEED + 1), run.post_seconds)
    return stored / elapsed


def _holds_a_thousand(site: Site, page: bytes) -> None:
    if len(load.objects_of(page)) != 1_000:
        raise load.WrongAnswer(f"{site.name}: a page that does not hold 1,000 objects")


if __name__ == "__main__":
    main()
