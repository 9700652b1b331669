"""Corrections among choices, digests, storms and ladders: told to whom the warning was told."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.core import mail
from django.utils import timezone

from alerts import answers, corrections, escalation, notices, outbox
from alerts.channels import signing
from alerts.channels.base import Notice
from alerts.models import Alert, Answer, Delivery, Endpoint, Escalation
from crc.members.models import User
from sharing.models import Release, Report
from tests.alerts.test_subscriptions import NOON, OVERLOAD, PHISHING, again, choose, mailed, row
from tests.conftest import Port, Receiver

State = Delivery.State
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> Iterator[Any]:
    """Stands still at noon until a test moves it."""
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def release(report: Report) -> Release:
    return Release.objects.get(submission=report.submission)


def withdraw(port: Port, report: Report) -> Alert:
    return corrections.withdraw(release(report), "A false alarm.", actor=port.users["desk"])


def test_a_correction_waits_for_nothing_that_was_chosen_and_no_filter_keeps_it_back(
    port: Port, clock: Any
) -> None:
    report = port.file("north", **OVERLOAD)
    port.sweep()
    choose(
        port,
        "south",
        floor="critical",
        attacks=["phishing"],
        own_assets_only="on",
        digest="daily",
        quiet_from="00:00",
        quiet_until="23:59",
    )
    clock.shift(MINUTE)  # within the storm's window, too
    corrections.update(release(report), "Two more sites.", actor=port.users["desk"])
    port.sweep()
    clock.shift(MINUTE)
    corrections.all_clear(release(report), "It is over.", actor=port.users["desk"])
    port.sweep()
    subjects = [message.subject for message in mailed()]
    assert ["Update: " in subjects[1], "All clear: " in subjects[2]] == [True, True]
    assert len({message.extra_headers["References"] for message in mailed()}) == 1


def test_who_was_not_told_by_choice_is_not_told_that_it_is_over(port: Port, clock: Any) -> None:
    choose(port, "south", floor="critical")
    report = port.file("north", **OVERLOAD)
    port.sweep()
    clock.shift(MINUTE)
    withdraw(port, report)
    port.sweep()
    assert mailed() == []
    assert len(mailed("rail")) == 2
    # The inbox had it.
    assert "Withdrawn" in port.client("south").get("/warnings/").content.decode()


def test_what_still_waits_when_it_is_withdrawn_never_goes_out_and_nothing_is_owed(
    port: Port, clock: Any
) -> None:
    choose(port, "south", digest="hourly")
    report = port.file("north", **PHISHING)
    port.sweep()
    clock.shift(MINUTE)
    correction = withdraw(port, report)
    late = row(port, alert=port.warnings()[0])
    assert (late.state, late.reason) == (State.SKIPPED, "withdrawn before it was sent")
    assert not correction.deliveries.filter(address="duty@south.example").exists()
    clock.shift(HOUR)
    port.sweep()
    assert mailed() == []
    assert len(mailed("rail")) == 2


def fold(port: Port, first: Alert, second: Alert) -> None:
    """Make one message of both, which waits: the mail server was down when the digest was due."""
    message = row(port, alert=second)
    Delivery.objects.filter(pk=message.pk).update(bundle="", next_try_at=timezone.now() + HOUR)
    Delivery.objects.filter(pk=row(port, alert=first).pk).update(
        bundle="", state=State.FOLDED, folded_into=message
    )


def test_what_is_folded_into_a_message_that_waits_is_taken_out_of_it(
    port: Port, clock: Any
) -> None:
    choose(port, "south", digest="hourly")
    report = port.file("north", **PHISHING)
    port.sweep()
    clock.shift(MINUTE)
    port.file("rail", **OVERLOAD)
    port.sweep()
    first, second = port.warnings()
    fold(port, first, second)
    withdraw(port, report)
    assert row(port, alert=first).reason == "withdrawn before it was sent"
    clock.shift(HOUR)
    port.sweep()
    [digest] = mailed()
    assert second.title in digest.subject
    assert first.title not in f"{digest.subject} {digest.body}"


def test_a_message_that_is_withdrawn_lets_go_of_what_was_folded_into_it(
    port: Port, clock: Any
) -> None:
    choose(port, "south", digest="hourly")
    port.file("north", **PHISHING)
    port.sweep()
    clock.shift(MINUTE)
    report = port.file("rail", **OVERLOAD)
    port.sweep()
    first, second = port.warnings()
    fold(port, first, second)
    clock.shift(MINUTE)
    withdraw(port, report)
    port.sweep()
    [alone] = mailed()
    assert first.title in alone.subject
    assert second.title not in f"{alone.subject} {alone.body}"


def test_who_got_it_in_a_digest_hears_of_it_in_the_thread_of_the_digest(
    port: Port, clock: Any, receiver: Receiver
) -> None:
    south = port.organisations["south"]
    Endpoint.objects.create(
        organisation=south,
        address=receiver.url,
        secret=signing.new_secret(),
        verified_at=timezone.now(),
    )
    choose(port, "south", digest="hourly")
    report = port.file("north", **PHISHING)
    port.sweep()
    clock.shift(MINUTE)
    port.file("rail", **OVERLOAD)
    port.sweep()
    first = port.warnings()[0]
    clock.shift(HOUR)
    port.sweep()
    assert row(port, alert=first).state == State.FOLDED
    withdraw(port, report)
    port.sweep()
    digest, correction = mailed()
    assert correction.subject.endswith(f"Withdrawn: {first.title}")
    assert correction.extra_headers["In-Reply-To"] == digest.extra_headers["References"]
    assert "Are you affected" not in correction.body
    event = orjson.loads(receiver.got[-1][1])
    assert (event["type"], event["data"]["about"]) == ("alert.withdrawal", str(first.pk))


def test_an_update_of_what_still_waits_waits_with_it_and_comes_in_the_same_message(
    port: Port, clock: Any
) -> None:
    choose(port, "south", digest="hourly")
    report = port.file("north", **PHISHING)
    port.sweep()
    clock.shift(MINUTE)
    corrections.update(release(report), "One more sender.", actor=port.users["desk"])
    port.sweep()
    assert mailed() == []
    assert len(mailed("rail")) == 2
    clock.shift(HOUR)
    port.sweep()
    [digest] = mailed()
    assert "Update: " in digest.subject
    assert "and 1 more" in digest.subject
    # The warning asks; the update does not.
    assert "Are you affected" not in digest.body
    assert str(digest.alternatives[0][0]).count("Answer this one") == 1


def test_what_waits_for_the_end_of_a_storm_is_called_off_too(port: Port, clock: Any) -> None:
    report = port.file("north", **OVERLOAD)
    port.sweep()
    clock.shift(MINUTE)
    again(port.warnings()[0], "Seen by more")
    port.sweep()
    clock.shift(MINUTE)
    withdraw(port, report)
    port.sweep()
    clock.shift(HOUR)
    port.sweep()
    assert [("Withdrawn" in message.subject) for message in mailed()] == [False, True]


def test_a_withdrawal_ends_all_calls_and_is_no_reason_to_call(port: Port, clock: Any) -> None:
    report = port.file("north", warn_now="yes")
    port.sweep()
    [alert] = Alert.objects.filter(severity="critical")
    clock.shift(timedelta(minutes=5))
    assert escalation.climb() > 0  # the calls are due, and not sent
    clock.shift(MINUTE)
    mail.outbox.clear()
    correction = withdraw(port, report)
    states = set(alert.escalations.values_list("state", "by"))
    assert states == {(Escalation.State.STOPPED, "withdrawn")}
    assert not correction.escalations.exists()
    page = port.client("desk").get(f"/desk/warnings/{alert.pk}/").content.decode()
    assert "nobody is called for this warning any more" in page
    assert "stopped: withdrawn" in page
    for _ in range(4):
        port.sweep()
        clock.shift(HOUR)
    assert {("Withdrawn: " in message.subject) for message in mail.outbox} == {True}
    assert not Delivery.objects.filter(step__gt=0, state=State.SENT).exists()


def test_a_correction_that_is_late_itself_gives_way_to_the_last_word(
    port: Port, clock: Any
) -> None:
    report = port.file("north", **OVERLOAD)
    port.sweep()
    clock.shift(MINUTE)
    corrections.update(release(report), "More.", actor=port.users["desk"])
    claimed = outbox.claim("email", 100, avoiding=(), allowance=lambda _host: 100)
    assert {held.alert.kind for held in claimed} == {"update"}
    clock.shift(MINUTE)
    withdraw(port, report)
    clock.shift(HOUR)  # the worker that had the update is gone
    port.sweep()
    assert [("Withdrawn" in message.subject) for message in mailed()] == [False, True]


def test_a_first_message_that_comes_back_unsent_is_owed_no_correction(
    port: Port, clock: Any
) -> None:
    report = port.file("north", **OVERLOAD)
    port.sweep()
    first = row(port)
    Delivery.objects.filter(pk=first.pk).update(
        state=State.SENDING, lease_until=timezone.now() + MINUTE
    )
    mail.outbox.clear()
    clock.shift(MINUTE / 2)
    correction = withdraw(port, report)
    # The sender gave it back without a try.
    Delivery.objects.filter(pk=first.pk).update(
        state=State.WAITING, lease_until=None, next_try_at=timezone.now() + HOUR, attempts=0
    )
    port.sweep()
    assert row(port, alert=correction).reason == "what it corrects was never sent"
    clock.shift(HOUR)
    port.sweep()
    assert row(port, alert=first.alert).reason == "withdrawn before it was sent"
    assert mailed() == []


@pytest.mark.parametrize("state", [State.DUE, State.WAITING])
def test_what_was_tried_may_have_arrived_and_is_owed_its_correction(
    port: Port, clock: Any, state: str
) -> None:
    report = port.file("north", **OVERLOAD)
    port.sweep()
    # The answer was lost: nobody knows whether the mail server took it.
    first = row(port)
    Delivery.objects.filter(pk=first.pk).update(
        state=state, attempts=1, sent_at=None, next_try_at=timezone.now() + HOUR
    )
    mail.outbox.clear()
    clock.shift(MINUTE)
    withdraw(port, report)
    assert row(port, alert=first.alert).reason == "withdrawn before it was sent"
    port.sweep()
    assert ["Withdrawn: " in message.subject for message in mailed()] == [True]


def test_an_update_waits_for_the_warning_that_it_updates(port: Port, clock: Any) -> None:
    report = port.file("north", **OVERLOAD)
    port.sweep()
    first = row(port)
    Delivery.objects.filter(pk=first.pk).update(
        state=State.WAITING, attempts=0, sent_at=None, next_try_at=timezone.now() + HOUR
    )
    mail.outbox.clear()
    clock.shift(MINUTE)
    update = corrections.update(release(report), "Two more sites.", actor=port.users["desk"])
    port.sweep()
    assert mailed() == []
    assert len(mailed("rail")) == 1
    held = row(port, alert=update)
    assert (held.state, held.attempts) == (State.WAITING, 0)
    clock.shift(HOUR)
    for _ in range(3):
        port.sweep()
        clock.shift(MINUTE)
    assert ["Update: " in message.subject for message in mailed()] == [False, True]


def test_an_update_of_what_never_went_does_not_go_either(port: Port, clock: Any) -> None:
    report = port.file("north", **OVERLOAD)
    port.sweep()
    first = row(port)
    Delivery.objects.filter(pk=first.pk).update(
        state=State.WAITING, attempts=0, sent_at=None, next_try_at=timezone.now() + HOUR
    )
    mail.outbox.clear()
    clock.shift(MINUTE)
    update = corrections.update(release(report), "Two more sites.", actor=port.users["desk"])
    port.sweep()
    Delivery.objects.filter(pk=first.pk).update(state=State.FAILED)
    clock.shift(HOUR + MINUTE)
    port.sweep()
    assert row(port, alert=update).reason == "what it corrects was never sent"
    assert mailed() == []


def test_what_is_closed_takes_no_answers(port: Port, clock: Any) -> None:
    report = port.file("north", **OVERLOAD)
    port.sweep()
    first = row(port)
    link = answers.link(first, "affected")
    path = link[link.index("/answer/") :]
    south = port.client("south")
    assert south.get(path).status_code == 200
    clock.shift(MINUTE)
    corrections.all_clear(release(report), "It is over.", actor=port.users["desk"])
    for page in (south.get(path), south.post(path, {"choice": "affected"})):
        assert "all-clear" in page.content.decode()
    page = south.post(f"/warnings/{first.alert_id}/", {"choice": "affected"}, follow=True)
    assert "asks for no answer any more" in page.content.decode()
    assert not Answer.objects.exists()


def test_only_a_correction_is_about_what_its_reader_got(port: Port, clock: Any) -> None:
    report = port.file("north", **OVERLOAD)
    port.sweep()
    clock.shift(HOUR)
    further = again(port.warnings()[0], "Seen by more")
    corrections.update(release(report), "More.", actor=port.users["desk"])
    claimed = outbox.claim("email", 100, avoiding=(), allowance=lambda _host: 100)
    told = [made for _held, made in notices.prepare(claimed) if isinstance(made, Notice)]
    assert {(made.kind, made.about != "") for made in told} == {
        ("corroboration", False),
        ("update", True),
    }
    assert {made.thread_id for made in told if not made.about} == {str(further.pk)}


def test_above_green_a_correction_says_what_it_is_and_no_more(port: Port, clock: Any) -> None:
    report = port.file("north", tlp="AMBER", **{**OVERLOAD, "warn_now": "no"})
    port.sweep()
    fields = {"group": "community", "tlp": "AMBER", "title": "Loud words", "advice": ""}
    path = f"/desk/{report.submission.reference}/release/"
    released = port.client("desk").post(path, fields)
    assert released.status_code == 302, released.context["release_form"].errors
    port.sweep()
    clock.shift(MINUTE)
    withdraw(port, report)
    port.sweep()
    last = mailed()[-1]
    assert last.subject.endswith("A TLP:AMBER warning was withdrawn")
    assert "Loud words" not in f"{last.subject} {last.body} {last.alternatives[0][0]}"


def test_a_correction_is_read_in_the_readers_language(port: Port, clock: Any) -> None:
    User.objects.filter(email="duty@south.example").update(language="ja")
    report = port.file("north", **OVERLOAD)
    port.sweep()
    clock.shift(MINUTE)
    withdraw(port, report)
    port.sweep()
    last = mailed()[-1]
    assert "撤回：港の参加組織で" in last.subject
    assert "ハブはこの警報を撤回します" in last.body
    assert "A false alarm." in last.body
    page = port.client("south").get("/warnings/").content.decode()
    assert "撤回済み" in page
