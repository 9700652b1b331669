"""Parts of the hub killed at random moments while reports come in; then everything settles, and
nothing may be lost: ``python -m bench.drill [--rounds 200] [--seed 1] [--on embedded,postgresql]``.

Each round ends when the hub is whole again and every officer has another receipt; what the killed
hold is waited for at the end. Then single faults. ``--short`` leaves out the one that takes long.
"""

import argparse
import contextlib
import json
import random
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis

from bench import databases
from bench.drill_clock import COMPILER, Clock
from bench.drill_hub import PARTS, Hooks, Hub, Mails, Officer, wait_until
from bench.record import ROOT, Row, record, row, skipped, table
from bench.servers import environment, process
from crc import broker, runner

EMBEDDED, POSTGRESQL = "embedded", "postgresql"
ROUNDS: Final = 200
OFFICERS: Final = 2
# A kill comes so long after the round began, at most.
LATEST_KILL: Final = 1.5
# Longer than a lease (alerts.outbox.LEASE) by some sweeps.
PAUSE_SECONDS: Final = 40.0
# Longer than anything waits here, and than the drill waits for it.
CLOCK_JUMP_SECONDS: Final = 3_600


@dataclass
class Drill:
    """One hub under fire."""

    hub: Hub
    hooks: Hooks
    mails: Mails
    officers: list[Officer]
    database: databases.Own | None
    clock: Clock | None
    folder: Path
    seconds: list[float] = field(default_factory=list)

    def receipts(self) -> list[str]:
        """What the officers were promised. Raises what made one of them give up."""
        for officer in self.officers:
            if officer.failure:
                raise officer.failure
        return [reference for officer in self.officers for reference in officer.receipts]

    def another_receipt_each(self) -> None:
        """The hub is whole and takes reports: two each, for the first may be from before."""
        wait_until(self.hub.whole, "the hub has all its parts again")
        wanted = [len(officer.receipts) + 2 for officer in self.officers]

        def all_there() -> bool:
            self.receipts()
            pairs = zip(self.officers, wanted, strict=True)
            return all(len(officer.receipts) >= count for officer, count in pairs)

        wait_until(all_there, "reports are taken again")

    def kill(self, target: str) -> None:
        """kill -9."""
        if target == "everything":
            self.hub.kill_all()
        elif target == "database" and self.database:
            self.database.kill()
            time.sleep(0.5)
            self.database.start()
        else:
            self.hub.signal(target)

    def settled(self) -> dict[str, Any]:
        """What the rows say when nobody reports and everything due has been sent."""
        with contextlib.ExitStack() as stack:
            for officer in self.officers:
                stack.enter_context(officer.turn)
            told: dict[str, Any] = json.loads(_rows(self.hub, "settle"))
        self.receipts()
        return told


def _rows(hub: Hub, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bench.drill_rows", *words],
        cwd=ROOT,
        env=hub.env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


# --- kills --------------------------------------------------------------------------------------


def rounds(drill: Drill, count: int, chance: random.Random) -> None:
    """Every target as often as every other, in random order and at random moments."""
    targets = [*PARTS, "everything"] + (["database"] if drill.database else [])
    deck: list[str] = []
    for number in range(1, count + 1):
        if not deck:
            deck = chance.sample(targets, len(targets))
        begun = time.monotonic()
        time.sleep(chance.uniform(0, LATEST_KILL))
        target = deck.pop()
        drill.kill(target)
        drill.another_receipt_each()
        drill.seconds.append(time.monotonic() - begun)
        print(f"round {number}: {target} killed, whole after {drill.seconds[-1]:.1f} s", flush=True)


# --- single faults ------------------------------------------------------------------------------


def broker_emptied(drill: Drill) -> None:
    """Every bell that was rung and not heard is gone, and all that the cache held."""
    with redis.Redis.from_url(broker.embedded_url(drill.folder / "hub")) as client:
        client.flushall()


def endless_answers(drill: Drill) -> None:
    """Receivers that take the message and then do not end their answer."""
    drill.hooks.endless = 6


def asked_again(drill: Drill) -> None:
    """The sender dies when the receiver has answered 200 and nobody has written it down."""
    drill.hooks.once = lambda: drill.hub.signal("sender")
    wait_until(lambda: drill.hooks.once is None, "a webhook was sent")


def sender_paused(drill: Drill) -> None:
    """For longer than its lease, while another takes over; then it goes on as if nothing was."""
    log = drill.folder / "second-sender.log"
    drill.hub.signal("sender", signal.SIGSTOP)
    with process(runner.senders()[0].command, log, env=drill.hub.env):
        time.sleep(PAUSE_SECONDS)
        drill.hub.signal("sender", signal.SIGCONT)
        drill.another_receipt_each()


def clock_jump(drill: Drill) -> None:
    """An hour forward, and back while leases and retries stand in what is then the future."""
    assert drill.clock
    drill.clock.set(CLOCK_JUMP_SECONDS)
    drill.hooks.endless = 6
    wait_until(lambda: not drill.hooks.endless, "webhooks were sent after the jump")
    drill.hub.signal("sender")
    drill.clock.set(0)


FAULTS: Final[dict[str, Callable[[Drill], None]]] = {
    "the broker emptied": broker_emptied,
    "endless answers": endless_answers,
    "the sender killed between 200 and record": asked_again,
    "the clock an hour forward and back": clock_jump,
    "the sender paused for longer than its lease": sender_paused,
}


def faults(drill: Drill, *, short: bool) -> None:
    """One after the other, while reports come in."""
    for name, fault in FAULTS.items():
        if (short and fault is sender_paused) or (fault is clock_jump and not drill.clock):
            continue
        begun = time.monotonic()
        fault(drill)
        drill.another_receipt_each()
        print(f"{name}: reports are taken after {time.monotonic() - begun:.1f} s", flush=True)


# Where the drill's members are warned.
CHANNELS: Final = frozenset({"webhook", "email", "inbox"})

# --- counting -----------------------------------------------------------------------------------


def counts(drill: Drill, told: dict[str, Any]) -> dict[str, int]:
    """What must be zero."""
    receipts, bodies = drill.receipts(), drill.hooks.bodies
    arrived = {"webhook": bodies.keys(), "email": {one[1:37] for one in drill.mails.ids}}
    sent = [(pk, channel) for pk, channel, state in told["deliveries"] if state == "sent"]
    return {
        "reports acknowledged but lost": len({*receipts} - {*told["reports"]}),
        "reports taken twice": len(told["reports"]) - len({*receipts} & {*told["reports"]}),
        "reports acknowledged without a warning": len({*receipts} - {*told["warned"]}),
        "channels that carried nothing": len(CHANNELS - {channel for _, channel in sent}),
        "deliveries not sent": len(told["deliveries"]) - len(sent),
        "sent, by the rows alone": sum(pk not in arrived.get(kind, [pk]) for pk, kind in sent),
        "webhook ids with two different bodies": sum(
            len(set(digests)) > 1 for digests in bodies.values()
        ),
        "stuck rows": told["untriaged"] + told["expired"],
    }


def rows(where: str, drill: Drill, told: dict[str, Any], *, judged: bool) -> list[Row]:
    """The table's rows for one hub."""
    made = [
        row(f"{what} ({where})", count, "", at_most=0, judged=judged)
        for what, count in counts(drill, told).items()
    ]
    return [
        row(f"kill rounds ({where})", len(drill.seconds), ""),
        row(f"median round ({where})", statistics.median(drill.seconds), "s"),
        row(f"longest round ({where})", max(drill.seconds), "s"),
        row(f"reports acknowledged ({where})", len(drill.receipts()), ""),
        row(f"deliveries ({where})", len(told["deliveries"]), ""),
        row(
            f"webhook ids sent more than once, always alike ({where})",
            sum(len(found) > 1 for found in drill.hooks.bodies.values()),
            "",
        ),
        row(f"settled after ({where})", told["seconds"], "s", reasons=told["notes"]),
        *made,
    ]


# --- the whole ----------------------------------------------------------------------------------


@contextlib.contextmanager
def drill_on(where: str, folder: Path) -> Iterator[Drill]:
    """A hub with its officers at work. Raises RuntimeError, DidNotStart."""
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(databases.own()) if where == POSTGRESQL else None
        hooks, mails = Hooks(), Mails()
        stack.callback(hooks.stop)
        stack.callback(mails.stop)
        clock = Clock(folder) if COMPILER else None
        env = environment(
            DJANGO_SETTINGS_MODULE="crc.settings",
            CRC_AUTOMATIC_WARNINGS_PER_HOUR="1000000",
            # A warning each: none is gathered with others of its case.
            CRC_STORM_MINUTES="0",
            CRC_OUTBOUND_ALLOWED_NETWORKS="127.0.0.1/32",
            CRC_SMTP_URL=f"smtp://127.0.0.1:{mails.port}",
            CRC_SWEEP_SECONDS="1",
            CRC_LOG_LEVEL="ERROR",
            **({"DATABASE_URL": database.url} if database else {}),
            **(clock.env if clock else {}),
        )
        hub = Hub(folder, env)
        stack.callback(hub.stop)
        hub.start()
        password = secrets.token_urlsafe(16)
        _rows(hub, "seed", hooks.url, password)
        officers = [
            Officer(hub.base, f"duty{number}@north.example", password) for number in range(OFFICERS)
        ]
        for officer in officers:
            stack.callback(officer.over.set)
            officer.start()
        yield Drill(hub, hooks, mails, officers, database, clock, folder)


def drilled(where: str, options: argparse.Namespace) -> list[Row]:
    """All of it on one kind of hub."""
    with (
        tempfile.TemporaryDirectory(prefix="crc-drill-", ignore_cleanup_errors=True) as name,
        drill_on(where, Path(name)) as drill,
    ):
        rounds(drill, options.rounds, random.Random(options.seed))
        faults(drill, short=options.short)
        print("waiting until everything is sent", flush=True)
        return rows(where, drill, drill.settled(), judged=options.rounds >= ROUNDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 when anything was lost. A whole run writes the result file."""
    parser = argparse.ArgumentParser(prog="bench.drill", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--on", default=f"{EMBEDDED},{POSTGRESQL}", help="which hubs")
    parser.add_argument("--short", action="store_true", help="without the long pause")
    options = parser.parse_args(arguments)
    made: list[Row] = []
    for where in options.on.split(","):
        try:
            made += drilled(where, options)
        except databases.NoServer as missing:
            made.append(skipped(f"the drill on {where}", "", str(missing)))
    if not COMPILER:
        made.append(skipped("a jump of the clock", "", "it takes a C compiler (Debian: gcc)"))
    table(made)
    if options.rounds >= ROUNDS and not options.short:
        record("drill", made)
    return int(any(one["target"] == 0 and one["value"] for one in made))


if __name__ == "__main__":
    sys.exit(main())
