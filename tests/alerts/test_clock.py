"""The machine's clock is set back: nothing waits until it has caught up."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import celery
import pytest
import time_machine
from django.conf import settings
from django.utils import timezone

from alerts import outbox
from alerts.models import Delivery, Pulse
from alerts.storms import BUNDLE
from alerts.subscriptions import DIGEST
from crc.beat import Scheduler
from crc.clock import SKEW
from sharing import envelopes
from sharing.collections import inbox
from sharing.models import Envelope, Release, StixObject
from sharing.release import add_sightings
from tests.alerts.test_sending import claim, post
from tests.alerts.test_subscriptions import NOON, OVERLOAD, again, choose
from tests.conftest import Port

State = Delivery.State
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> Iterator[Any]:
    """Stands still at noon until a test moves it."""
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def test_a_retry_comes_as_soon_as_if_the_clock_had_been_right(port: Port, clock: Any) -> None:
    (row,) = post(port.organisations["south"], "http://127.0.0.1:9/hook")
    outbox.keep_up()
    waits = Delivery.objects.filter(pk=row.pk)
    waits.update(state=State.WAITING, next_try_at=timezone.now() + 30 * SECOND)
    clock.shift(-HOUR)
    assert outbox.keep_up() == HOUR
    assert outbox.keep_up() == timedelta(0)
    clock.shift(29 * SECOND)
    assert outbox.promote() == 0
    clock.shift(SECOND)
    assert outbox.promote() == 1
    assert waits.get().state == State.DUE


def test_what_a_dead_worker_claimed_in_the_future_is_given_out_again(
    port: Port, clock: Any
) -> None:
    (row,) = post(port.organisations["south"], "http://127.0.0.1:9/hook")
    assert [one.pk for one in claim()] == [row.pk]
    clock.shift(-SKEW)
    assert outbox.promote() == 0, "clocks of two machines differ by so much"
    clock.shift(-SECOND)
    assert outbox.promote() == 1


def test_clocks_that_differ_a_little_change_nothing(port: Port, clock: Any) -> None:
    (row,) = post(port.organisations["south"], "http://127.0.0.1:9/hook")
    then = timezone.now() + 30 * SECOND
    Delivery.objects.filter(pk=row.pk).update(state=State.WAITING, next_try_at=then)
    for away in (-14, 14, -14, 14):
        clock.shift(away * SECOND)
        assert outbox.keep_up() == timedelta(0)
    assert Delivery.objects.get(pk=row.pk).next_try_at == then
    assert Pulse.objects.count() == 1


def test_the_window_of_a_case_is_no_longer_and_a_digest_keeps_its_hour(
    port: Port, clock: Any
) -> None:
    window = timedelta(minutes=settings.STORM_MINUTES)
    choose(port, "rail", digest="daily", digest_hour="18")
    port.file("north", **OVERLOAD)
    port.sweep()
    again(port.warnings()[0], "Seen by more")
    port.sweep()
    waiting = Delivery.objects.filter(state=State.WAITING)
    digests = dict(waiting.filter(bundle=DIGEST).values_list("pk", "next_try_at"))
    case = waiting.filter(bundle__startswith=BUNDLE)
    assert digests
    joined = case.count()
    assert joined
    clock.shift(-HOUR)
    port.sweep()
    assert dict(waiting.filter(bundle=DIGEST).values_list("pk", "next_try_at")) == digests
    assert case.filter(next_try_at__lte=timezone.now() + window).count() == joined
    clock.shift(window)
    port.sweep()
    assert not case.exists()
    # What was sent in the future opens no window that reaches there.
    clock.shift(-HOUR)
    again(port.warnings()[0], "Seen by others")
    assert case.exists()
    assert case.count() == case.filter(next_try_at__lte=timezone.now() + window).count()


def test_an_envelope_in_a_dead_workers_hands_is_opened_after_its_lease(
    port: Port, clock: Any
) -> None:
    left = Envelope.objects.create(
        source=port.organisations["north"],
        collection=inbox(port.organisations["north"]),
        actor="key:test",
        objects_sent=1,
        body=b"{}",
        lease_until=timezone.now() + envelopes.LEASE,
    )
    assert envelopes.waiting() == []
    clock.shift(-HOUR)
    assert envelopes.waiting() == [str(left.pk)]


def test_the_next_version_of_a_sighting_is_later_than_the_last(port: Port, clock: Any) -> None:
    port.file("north", warn_now="yes", tlp="GREEN")
    port.sweep()
    made = Release.objects.get()
    indicator = StixObject.objects.filter(release=made, type="indicator").get().stix_id
    add_sightings(made, {indicator: 2})
    clock.shift(-HOUR)
    add_sightings(made, {indicator: 3})
    counts = StixObject.objects.filter(release=made, type="sighting").order_by("-version")
    assert [json.loads(row.body)["count"] for row in counts] == [3, 2]


def test_beat_does_not_wait_for_the_hour_of_its_last_run(tmp_path: Path, clock: Any) -> None:
    app = celery.Celery("beating", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"sweep": {"task": "sweep", "schedule": 5.0}}
    ran = []

    class Noted(Scheduler):
        def apply_entry(self, entry: Any, producer: Any = None) -> None:
            ran.append(entry.name)

    def beat() -> Noted:
        return Noted(app=app, schedule_filename=str(tmp_path / "beat"))

    first = beat()
    first.tick()
    clock.shift(6 * SECOND)
    first.tick()
    assert ran == ["sweep"]
    clock.shift(-HOUR)
    assert first.tick() <= 5
    clock.shift(6 * SECOND)
    first.tick()
    assert ran == ["sweep"] * 2
    first.close()
    clock.shift(-HOUR)
    second = beat()
    assert second.tick() <= 5, "it found its last run in the file"
    clock.shift(6 * SECOND)
    second.tick()
    assert ran == ["sweep"] * 3
    second.close()
