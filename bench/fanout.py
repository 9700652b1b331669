"""Warnings to a thousand members: how fast, next to a bare HTTP client; with trouble; after an
outage. On PostgreSQL and Redis and on the embedded default, in one run."""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import databases, sinks
from bench.record import ROOT, Row, record, row, skipped, table
from bench.servers import environment, process
from crc import broker

EMBEDDED, SERVERS = "embedded", "PostgreSQL and Redis"


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[dict[str, str]]:
    """SQLite, and the packaged broker."""
    with process(broker.command(broker.find_binary(), folder), folder / "broker.log"):
        broker.wait_ready(broker.embedded_url(folder))
        yield {"CRC_DATA_DIR": str(folder)}


@contextlib.contextmanager
def servers(folder: Path, server: databases.Server) -> Iterator[dict[str, str]]:
    """PostgreSQL, and Redis where it is installed."""
    binary = shutil.which("redis-server") or str(broker.find_binary())
    command = [binary, *broker.command(Path(binary), folder)[1:]]
    with (
        databases.fresh(server, "crc_bench_fanout") as name,
        process(command, folder / "broker.log"),
    ):
        url = broker.embedded_url(folder)
        broker.wait_ready(url)
        yield {
            "CRC_DATA_DIR": str(folder),
            "DATABASE_URL": server.url(name),
            "REDIS_URL": url,
        }


def figures(env: dict[str, str], to: sinks.Sinks, words: Sequence[str]) -> dict[str, Any]:
    """One hub's figures. Raises CalledProcessError."""
    told = json.dumps({**vars(to), "ids": str(to.ids)})
    done = subprocess.run(
        [sys.executable, "-m", "bench.fanout_work", "--sinks", told, *words],
        cwd=ROOT,
        env=environment(
            DJANGO_SETTINGS_MODULE="crc.settings",
            CRC_OUTBOUND_ALLOWED_NETWORKS="127.0.0.0/8",
            CRC_SMTP_URL=f"smtp://127.0.0.1:{to.mail}",
            CRC_BASE_URL="http://127.0.0.1:8000",
            CRC_LOG_LEVEL="ERROR",
            # All warnings here are of one case; gathered into one message they would measure less.
            CRC_STORM_MINUTES="0",
            **env,
        ),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(where: str, found: dict[str, Any], *, small: bool) -> list[Row]:
    """The table's rows for one hub."""
    limit = 10.0 if where == EMBEDDED else 5.0
    release, webhooks, backlog = found["release"], found["webhooks"], found["backlog"]

    def made(work: str, value: float, unit: str, **more: Any) -> Row:
        return row(f"{work} ({where})", value, unit, judged=not small, **more)

    return [
        made(
            f"one warning to {release['rows']:,} addresses, p99",
            release["p99"],
            "s",
            at_most=limit,
            last_of_each_round=release["last"],
        ),
        made("the last of them, worst round", max(release["last"]), "s", at_most=limit),
        made("signed webhooks delivered and recorded", webhooks["rate"], "per s", at_least=2000),
        made(
            "the same against a bare aiohttp loop",
            webhooks["rate"],
            "per s",
            ratio_at_least=0.25,
            peer="bare aiohttp",
            peer_value=found["bare"],
        ),
        made(
            "the healthy 80 % while 10 % hang and 10 % refuse",
            found["trouble"]["rate"],
            "per s",
            ratio_at_least=0.8,
            peer="the same members, all healthy",
            peer_value=webhooks["healthy"],
        ),
        made(
            f"backlog of {backlog['rows']:,} drained",
            backlog["rate"],
            "per s",
            at_least=1000,
            critical_done_after_s=backlog["critical_done"],
            all_done_after_s=backlog["all_done"],
        ),
        made(
            "database statements for each delivered row",
            found["statements"]["each"],
            "",
            at_most=3,
        ),
        made("webhooks sent, by the rows alone", found["unheard"], "", at_most=0),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and write the result file."""
    parser = argparse.ArgumentParser(prog="bench.fanout", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    options = parser.parse_args(arguments)
    words = (
        ["--members", "100", "--rounds", "3", "--burst", "10", "--backlog", "5000"]
        if options.quick
        else []
    )
    made: list[Row] = []
    server = databases.find()
    with tempfile.TemporaryDirectory(prefix="crc-fan-") as name:
        base = Path(name)
        base.chmod(0o755)  # nginx's own worker writes its log there
        with sinks.running(base) as to:
            for where in (SERVERS, EMBEDDED):
                folder = base / where.split()[0].lower()
                folder.mkdir()
                if where == SERVERS and server is None:
                    made.append(skipped("the fan-out on PostgreSQL", "s", "no server answers"))
                    continue
                place = servers(folder, server) if where == SERVERS and server else embedded(folder)
                with place as env:
                    made += rows(where, figures(env, to, words), small=options.quick)
                time.sleep(1)
    table(made)
    if not options.quick:
        record("fanout", made, postgresql=server.version if server else "")


if __name__ == "__main__":
    main()
