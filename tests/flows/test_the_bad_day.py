"""Broker down, worker killed, two reports at one instant: nothing lost, nothing twice."""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from alerts import outbox, sending, tasks
from alerts.channels import signing
from alerts.models import Alert, Delivery, Endpoint
from sharing.models import Report, Submission
from tests.conftest import Port, Receiver
from tests.patience import without_a_hang


def test_with_the_broker_down_the_report_is_taken_and_sent_later(
    port: Port,
    settings: object,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: object,
) -> None:
    monkeypatch.undo()  # the real doorbell, with nobody behind it
    from crc.celery import app

    monkeypatch.setattr(app.conf, "broker_url", "redis+socket:///nowhere/broker.sock")
    # Closing the pool would only make it refuse, and prove nothing about a broker that is down.
    monkeypatch.setattr(app, "_pool", None)
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    with without_a_hang(), django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        report = port.file("north", warn_now="yes")
    receipt = f"/reports/{report.submission.reference}/"
    assert "Being passed on" in port.client("north").get(receipt).content.decode()
    late = report.submission.received_at - timedelta(seconds=5)
    Submission.objects.filter(pk=report.pk).update(received_at=late)
    page = port.client("north").get(receipt).content.decode()
    assert "passing it on is delayed" in page
    assert not Alert.objects.exists()

    monkeypatch.setattr(tasks, "ring", lambda *a: False)
    assert port.sweep() == {"opened": 0, "triaged": 1, "sent": 10, "jumps": 0}
    assert len(mail.outbox) == 5
    page = port.client("north").get(f"/reports/{report.submission.reference}/").content.decode()
    assert "Members have been warned" in page


def test_a_worker_that_dies_while_sending_leaves_a_row_that_is_sent_again(
    port: Port, receiver: Receiver
) -> None:
    Endpoint.objects.create(
        organisation=port.organisations["anchor"],
        address=receiver.url,
        secret=signing.new_secret(),
        verified_at=timezone.now(),
    )
    port.file("north", warn_now="yes")
    tasks.triage.triage(str(Report.objects.get().pk))
    row = Delivery.objects.get(channel="webhook")
    assert claim() == [row]  # and here the worker dies
    port.sweep()
    assert not receiver.got
    assert claim() == []

    Delivery.objects.filter(pk=row.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    port.sweep()
    port.sweep()
    [(headers, _)] = receiver.got
    assert headers["webhook-id"] == str(row.pk)
    row.refresh_from_db()
    assert (row.state, row.attempts) == (Delivery.State.SENT, 2)


def claim() -> list[Delivery]:
    """As a worker does."""
    return outbox.claim("webhook", 10, avoiding=[], allowance=lambda host: 10)


_KILLED = """
import asyncio, contextlib
import django
django.setup()
from alerts import sending
from alerts.channels import CHANNELS
class Dies(type(CHANNELS["webhook"])):
    @contextlib.asynccontextmanager
    async def open(self):
        async def send(notice):
            print("claimed", flush=True)
            await asyncio.sleep(60)
        yield send
CHANNELS["webhook"] = Dies()
sending.drain("webhook")
"""


def test_a_process_killed_between_claim_and_send(busy_port: Port, receiver: Receiver) -> None:
    port = busy_port
    endpoint = Endpoint.objects.create(
        organisation=port.organisations["anchor"],
        address=receiver.url,
        secret=signing.new_secret(),
        verified_at=timezone.now(),
    )
    port.file("north", warn_now="yes")
    tasks.triage.triage(str(Report.objects.get().pk))
    row = Delivery.objects.get(channel="webhook", address=endpoint.address)
    name = connection.settings_dict["NAME"]
    worker = subprocess.Popen(
        [sys.executable, "-c", _KILLED],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": _url(str(name)),
        },
    )
    assert worker.stdout
    assert worker.stdout.readline() == "claimed\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    row.refresh_from_db()
    assert row.state == Delivery.State.SENDING

    Delivery.objects.filter(pk=row.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    port.sweep()
    port.sweep()
    [(headers, _)] = receiver.got
    assert headers["webhook-id"] == str(row.pk)


def _url(name: str) -> str:
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    url = os.environ["DATABASE_URL"]
    return f"{url.rpartition('/')[0]}/{name}"


def test_two_corroborating_reports_at_the_same_instant_make_one_warning(busy_port: Port) -> None:
    port = busy_port
    reports = [port.file(slug, warn_now="yes") for slug in ("north", "rail")]
    start = threading.Barrier(2)
    failures: list[Exception] = []

    def work(report: Report) -> None:
        try:
            start.wait()
            tasks.triage.triage(str(report.pk))
        except Exception as failure:
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(report,)) for report in reports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    kinds = sorted(alert.kind for alert in port.warnings())
    assert kinds == ["corroboration", "warning", "warning"]


def test_two_sweeps_at_once_send_each_row_once(busy_port: Port, receiver: Receiver) -> None:
    port = busy_port
    Endpoint.objects.create(
        organisation=port.organisations["anchor"],
        address=receiver.url,
        secret=signing.new_secret(),
        verified_at=timezone.now(),
    )
    port.file("north", warn_now="yes")
    tasks.triage.triage(str(Report.objects.get().pk))
    threads = [threading.Thread(target=_sweep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.got) == 1
    assert not Delivery.objects.exclude(state=Delivery.State.SENT).exists()


def _sweep() -> None:
    for channel in outbox.channels_due():
        sending.drain(channel)
    connection.close()


def test_a_receiver_that_fails_is_tried_again_later_and_a_refusal_is_final(
    port: Port, receiver: Receiver
) -> None:
    Endpoint.objects.create(
        organisation=port.organisations["anchor"],
        address=receiver.url,
        secret=signing.new_secret(),
        verified_at=timezone.now(),
    )
    port.file("north", warn_now="yes")
    receiver.status = 503
    port.sweep()
    row = Delivery.objects.get(channel="webhook")
    assert row.state == Delivery.State.WAITING
    assert row.next_try_at > timezone.now()
    assert row.reason == "the receiver answered 503"
    receiver.status = 410
    Delivery.objects.filter(pk=row.pk).update(next_try_at=timezone.now())
    port.sweep()
    row.refresh_from_db()
    assert row.state == Delivery.State.FAILED


def test_sending_asks_again_whether_the_member_may_still_see_it(port: Port) -> None:
    port.file("north", warn_now="yes")
    tasks.triage.triage(str(Report.objects.get().pk))
    rail, south = port.organisations["rail"], port.organisations["south"]
    rail.is_active = False
    rail.save()
    south.ceiling = "CLEAR"
    south.save()
    port.sweep()
    assert {m.to[0] for m in mail.outbox} == {
        "duty@anchor.example",
        "duty@kestrel.example",
        "duty@repair.example",
    }
    reasons = set(Delivery.objects.filter(state="skipped").values_list("reason", flat=True))
    assert reasons == {"no longer a member", "no longer cleared for it"}
