"""The hub with something in it: a database of its own, a broker, its objects, and its servers."""

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from bench import databases, servers
from bench.databases import Server
from bench.peers import moment
from bench.record import ROOT
from bench.servers import Site, environment

SEED: Final = 20_260_101
Environment = dict[str, str]


@dataclass(frozen=True)
class Hub:
    """The hub as it answers, and where in it things are (instants in microseconds)."""

    site: Site
    path: str
    start: int
    newest: int
    borders: list[int]
    sealed: int

    def page(self, after: int) -> str:
        """A page of 1,000."""
        return f"{self.path}?limit=1000&added_after={moment(after)}"

    def pages(self) -> list[str]:
        """Pages of 1,000 from everywhere, in random order."""
        return [self.page(at) for at in random.Random(SEED).sample(self.borders, len(self.borders))]


@contextlib.contextmanager
def empty(folder: Path, server: Server, name: str = databases.HUB) -> Iterator[Environment]:
    """The hub's settings for a database, a broker and a data folder of its own."""
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    with databases.fresh(server, name) as database, servers.redis(data) as redis_url:
        yield environment(
            DATABASE_URL=server.url(database),
            REDIS_URL=redis_url,
            CRC_DATA_DIR=str(data),
            CRC_LOG_LEVEL="WARNING",
        )


def fill(env: Environment, *words: str) -> dict[str, Any]:
    """What bench.fill tells."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.fill", *words],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@contextlib.contextmanager
def serving(folder: Path, env: Environment, told: dict[str, Any]) -> Iterator[Hub]:
    """The hub's servers on what ``fill`` has put there."""
    path = f"/crc/collections/{told['collection']}/objects/"
    with servers.hub(folder, env, told["key"]) as site:
        yield Hub(
            site,
            path,
            told["start"],
            told["newest"],
            told["borders"],
            told.get("sealed", told["newest"]),
        )


def settle(server: Server) -> None:
    """Have PostgreSQL write now what it would else write into the next measurement."""
    with server.connect() as admin, contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        admin.execute("CHECKPOINT")
