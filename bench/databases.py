"""PostgreSQL for the bench: the server that is named or answers, and databases made anew on it."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import psycopg
from psycopg import sql

HUB: Final = "crc_bench_hub"
PEER: Final = "crc_bench_opentaxii"
SIGHTINGS: Final = "crc_bench_sightings"


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
