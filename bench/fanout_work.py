"""The work that bench.fanout measures, in the environment of one hub: prints its figures as JSON.

The hub's own worker and sender run as the processes they are; this one only raises warnings, rings,
and reads from the rows when each delivery was recorded.
"""

import argparse
import asyncio
import io
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp  # noqa: TID251 - the peer
import django
import orjson
import uvloop

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import Max, Min  # noqa: E402
from django.utils import timezone  # noqa: E402

from alerts import fanout, notices, sending, tasks  # noqa: E402
from alerts.audience import Address  # noqa: E402
from alerts.channels import signing, webhook  # noqa: E402
from alerts.channels.base import Notice  # noqa: E402
from alerts.models import Alert, Delivery, Endpoint  # noqa: E402
from alerts.severity import Severity  # noqa: E402
from bench.servers import process  # noqa: E402
from bench.sinks import Sinks, loopback  # noqa: E402
from crc import runner  # noqa: E402
from crc.celery import ring  # noqa: E402
from crc.members.models import Group, Organisation, User  # noqa: E402
from crc.members.roles import PortRole, UserRole  # noqa: E402
from sharing.models import Release, Submission  # noqa: E402

BODY_BYTES = 700


def seed(members: int, sinks: Sinks) -> None:
    """Members with one officer and one webhook each."""
    call_command("migrate", "--noinput", "-v", "0")
    call_command("bootstrap", "--json", stdout=io.StringIO())
    Organisation.objects.bulk_create(
        Organisation(slug=f"m{n}", name=f"Member {n}", port_role=PortRole.TRUCKING)
        for n in range(members)
    )
    made = list(Organisation.objects.filter(slug__startswith="m").order_by("pk"))
    User.objects.bulk_create(
        User(email=f"duty@m{n}.example", password="!", organisation=made[n], role=UserRole.MEMBER)
        for n in range(members)
    )
    Endpoint.objects.bulk_create(
        Endpoint(
            organisation=made[n],
            address=f"http://{loopback(n)}:{sinks.quick}/hub",
            secret=signing.new_secret(),
            verified_at=timezone.now(),
        )
        for n in range(members)
    )


def a_release() -> Release:
    """What a warning is about."""
    source = Organisation.objects.filter(slug__startswith="m").first()
    submission = Submission.objects.create(source=source, triaged_at=timezone.now())
    return Release.objects.create(
        submission=submission,
        group=Group.objects.get(slug="community"),
        tlp="GREEN",
        title="Ransomware in a yard system",
        advice="x" * BODY_BYTES,
    )


def an_alert(release: Release, severity: Severity, ago: float = 0.0) -> Alert:
    """A warning that nobody is sent yet."""
    return Alert.objects.create(
        release=release,
        kind=Alert.Kind.CORROBORATION,
        severity=severity.value,
        tlp=release.tlp,
        group=release.group,
        title=release.title,
        body=release.advice,
        raised_at=timezone.now() - timedelta(seconds=ago),
    )


def webhooks(count: int) -> list[Address]:
    """The first ``count`` members' webhooks."""
    rows = Endpoint.objects.order_by("pk").values_list("organisation_id", "address")[:count]
    return [Address(pk, "webhook", address) for pk, address in rows]


def settle(seconds: float, done: Callable[[], bool]) -> None:
    """Wait until it is done. Raises RuntimeError after so many seconds."""
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            states = Delivery.objects.order_by().values_list("state", "channel").distinct()
            raise RuntimeError(f"not done after {seconds} s: {list(states)}")
        time.sleep(0.05)


def unsent(**which: Any) -> Callable[[], bool]:
    """Whether all of these deliveries were sent."""
    rows = Delivery.objects.filter(**which).exclude(state=Delivery.State.SENT)
    return lambda: not rows.exists()


def release_to_last(rounds: int, release: Release) -> dict[str, Any]:
    """One warning to everybody on every channel: seconds from release to each delivery."""
    waits: list[float] = []
    lasts: list[float] = []
    for _ in range(rounds):
        with transaction.atomic():
            alert = fanout.raise_alert(
                release,
                kind=Alert.Kind.CORROBORATION,
                severity=Severity.CRITICAL,
                group=release.group,
                title=release.title,
                body=release.advice,
            )
        tasks.ring_for(alert)
        settle(120, unsent(alert=alert))
        sent = alert.deliveries.values_list("sent_at", flat=True)
        took = [(at - alert.raised_at).total_seconds() for at in sent if at]
        waits += took
        lasts.append(max(took))
    return {
        "rows": len(waits) // rounds,
        "p99": statistics.quantiles(waits, n=100)[98],
        "last": sorted(lasts),
    }


def rate(alerts: Sequence[Alert], **which: Any) -> float:
    """Deliveries recorded a second, between the first and the last of them."""
    rows = Delivery.objects.filter(alert__in=alerts, state=Delivery.State.SENT, **which)
    span = rows.aggregate(first=Min("sent_at"), last=Max("sent_at"))
    return rows.count() / (span["last"] - span["first"]).total_seconds()


def burst(release: Release, alerts: int, to: Sequence[Address]) -> list[Alert]:
    """So many warnings to the same addresses, and the bell."""
    made = [an_alert(release, Severity.HIGH, ago=n / 1000) for n in range(alerts)]
    with transaction.atomic():
        for alert in made:
            fanout.deliver(alert, to)
    ring(tasks.deliver, "webhook")
    return made


def healthy(members: int) -> dict[str, Any]:
    """The deliveries to those whom no trouble is made for: all but the first fifth."""
    rows = Endpoint.objects.order_by("pk").values_list("organisation_id", flat=True)
    return {"organisation__in": list(rows[members // 5 : members])}


def webhook_rate(release: Release, alerts: int, members: int) -> dict[str, Any]:
    """Signed webhooks delivered and recorded a second: to all, and to those healthy later, too."""
    made = burst(release, alerts, webhooks(members))
    settle(600, unsent(alert__in=made))
    return {
        "rows": alerts * members,
        "rate": rate(made),
        "healthy": rate(made, **healthy(members)),
    }


def with_trouble(release: Release, alerts: int, members: int, sinks: Sinks) -> dict[str, Any]:
    """The same while a tenth of the receivers hang and a tenth refuse."""
    endpoints = list(Endpoint.objects.order_by("pk")[:members])
    tenth = members // 10
    for number, endpoint in enumerate(endpoints[: 2 * tenth]):
        port = sinks.hanging if number < tenth else sinks.refusing
        endpoint.address = f"http://{loopback(number)}:{port}/hub"
    Endpoint.objects.bulk_update(endpoints[: 2 * tenth], ["address"])
    made = burst(release, alerts, webhooks(members))
    well = healthy(members)
    settle(600, unsent(alert__in=made, **well))
    found = rate(made, **well)
    Delivery.objects.filter(alert__in=made).exclude(state=Delivery.State.SENT).delete()
    for endpoint in endpoints[: 2 * tenth]:
        endpoint.address = endpoint.address.rsplit(":", 1)[0] + f":{sinks.quick}/hub"
        endpoint.is_active = True
    Endpoint.objects.bulk_update(endpoints[: 2 * tenth], ["address", "is_active"])
    return {"rows": alerts * members, "rate": found}


def backlog(release: Release, count: int, members: int) -> dict[str, Any]:
    """After an outage: so many due rows, a tenth of them critical and the newest of all."""
    to = webhooks(members)
    alerts = []
    for number in range(count // members):
        severity = Severity.CRITICAL if number % 10 == 0 else Severity.MEDIUM
        alerts.append(an_alert(release, severity, ago=3600 - number))
    with transaction.atomic():
        for alert in alerts:
            fanout.deliver(alert, to)
    ring(tasks.deliver, "webhook")
    settle(900, unsent(alert__in=alerts))
    rows = Delivery.objects.filter(alert__in=alerts)
    critical = rows.filter(rank=Severity.CRITICAL.rank)
    first = rows.aggregate(at=Min("sent_at"))["at"]
    return {
        "rows": rows.count(),
        "rate": rate(alerts),
        "critical_done": (critical.aggregate(at=Max("sent_at"))["at"] - first).total_seconds(),
        "all_done": (rows.aggregate(at=Max("sent_at"))["at"] - first).total_seconds(),
    }


def statements(release: Release, alerts: int, members: int) -> dict[str, Any]:
    """Database statements for each delivered row, counted in this process."""
    made = [an_alert(release, Severity.HIGH) for _ in range(alerts)]
    with transaction.atomic():
        for alert in made:
            fanout.deliver(alert, webhooks(members))
    asked = 0

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        nonlocal asked
        asked += 1
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        ended = sending.drain("webhook")
    return {"rows": ended, "each": asked / ended}


def posted() -> bytes:
    """What one of the webhooks carried."""
    row = Delivery.objects.filter(channel="webhook").first()
    assert row
    [(_, notice)] = notices.prepare([row])
    assert isinstance(notice, Notice)
    return orjson.dumps(webhook.event(notice))


def unheard(ids: Path) -> int:
    """Webhooks that the rows call sent and no receiver noted."""
    time.sleep(1.0)  # nginx writes ten times a second
    noted = {line.partition(" ")[0] for line in ids.read_text().splitlines()}
    sent = Delivery.objects.filter(channel="webhook", state=Delivery.State.SENT)
    return sum(str(pk) not in noted for pk in sent.values_list("pk", flat=True).iterator())


def bare(body: bytes, members: int, count: int, port: int) -> float:
    """The limit: a bare aiohttp loop posting the same body, unsigned and unrecorded."""
    urls = [f"http://{loopback(n)}:{port}/hub" for n in range(members)]

    async def run() -> float:
        numbers = iter(range(count))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def work() -> None:
                for number in numbers:
                    async with session.post(urls[number % members], data=body) as answer:
                        await answer.read()

            begun = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(128)))
            return count / (time.perf_counter() - begun)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        return loop.run(run())


@contextmanager
def hub(folder: Path) -> Iterator[None]:
    """Worker, senders and beat, as the runner starts them."""
    with ExitStack() as stack:
        for child in (runner.worker(), *runner.senders(), runner.beat(folder)):
            stack.enter_context(
                process(child.command, folder / f"{child.name}.log", env=os.environ)
            )
        yield


def main() -> None:
    """Measure everything once and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sinks", required=True)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--burst", type=int, default=20)
    parser.add_argument("--backlog", type=int, default=100_000)
    options = parser.parse_args()
    told = json.loads(options.sinks)
    sinks = Sinks(**{**told, "ids": Path(told["ids"])})
    folder = Path(os.environ["CRC_DATA_DIR"])
    (folder / "run").mkdir(parents=True, exist_ok=True)
    seed(options.members, sinks)
    release = a_release()
    members, alerts = options.members, options.burst
    figures: dict[str, Any] = {"statements": statements(release, alerts, members)}
    figures["bare"] = bare(posted(), members, 20 * members, sinks.quick)
    with hub(folder):
        # The hub runs when the bad day comes: what its start takes is not the fan-out's.
        release_to_last(1, release)
        figures["release"] = release_to_last(options.rounds, release)
        figures["webhooks"] = webhook_rate(release, alerts, members)
        figures["trouble"] = with_trouble(release, alerts, members, sinks)
        figures["backlog"] = backlog(release, options.backlog, members)
    figures["unheard"] = unheard(sinks.ids)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
