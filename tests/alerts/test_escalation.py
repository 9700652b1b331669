"""The ladder: climbed while nobody answers, once, whatever befalls clock, broker or workers."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import orjson
import pytest
import time_machine
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from alerts import answers, escalation, ladder, outbox, sending
from alerts.channels import signing
from alerts.models import Alert, Corroboration, Delivery, Endpoint, Escalation
from crc.members.models import AuditEntry, Contact, User
from crc.members.roles import UserRole
from sharing.models import Door, Submission
from tests.conftest import Port, Receiver
from tests.flows.test_the_bad_day import _url

State = Escalation.State
START = datetime(2026, 11, 25, 3, 0, tzinfo=timezone.get_default_timezone())


def warn(port: Port) -> Alert:
    """A critical warning to everybody but its source, with its first mails gone."""
    port.file("north", warn_now="yes")
    port.sweep()
    mail.outbox.clear()
    [alert] = Alert.objects.filter(severity="critical", kind="warning")
    return alert


def of(port: Port, slug: str, alert: Alert | None = None) -> Escalation:
    """One member's."""
    rows = Escalation.objects.filter(organisation=port.organisations[slug])
    return rows.get(alert=alert) if alert else rows.get()


def calls(port: Port, slug: str) -> list[tuple[int, str]]:
    """Step and address of every call on a member's ladder, in order."""
    rows = Delivery.objects.filter(organisation=port.organisations[slug], step__gt=0)
    return list(rows.order_by("step", "address").values_list("step", "address"))


def person(port: Port, slug: str, email: str, role: str = "member") -> None:
    """One more user."""
    User.objects.create_user(
        email, "harbour-lantern-42", organisation=port.organisations[slug], role=role
    )


def test_the_ladder_is_climbed_to_its_end_and_the_desk_is_told_once(port: Port) -> None:
    person(port, "south", "night@south.example")
    person(port, "south", "gate@south.example")
    with time_machine.travel(START, tick=False) as clock:
        alert = warn(port)
        assert calls(port, "south") == []
        clock.shift(timedelta(minutes=5))
        port.sweep()
        assert calls(port, "south") == [(1, "gate@south.example"), (1, "night@south.example")]
        clock.shift(timedelta(minutes=9))
        port.sweep()
        assert len(calls(port, "south")) == 2
        clock.shift(timedelta(minutes=1))
        port.sweep()
        assert calls(port, "south")[2:] == [(2, "duty@south.example")]
        third = [sent for sent in mail.outbox if sent.to == ["duty@south.example"]][-1]
        assert "3rd call" in third.subject
        assert "3rd call: nobody has answered yet." in third.body
        clock.shift(timedelta(minutes=5))
        port.sweep()
        port.sweep()
        # Those with nobody but a member admin: their ladders ended together, so it is one word.
        [word] = Alert.objects.filter(about=alert)
        assert (word.title[:9], word.only) == ("4 members", port.organisations["desk"])
        clock.shift(timedelta(minutes=10))
        port.sweep()
        port.sweep()
    assert of(port, "south").state == State.ENDED
    assert Alert.objects.filter(about=alert).count() == 2
    desk_mail = [sent for sent in mail.outbox if sent.to == ["duty@desk.example"]]
    assert len(desk_mail) == 2
    assert "South Basin" not in desk_mail[-1].body
    assert "Are you affected" not in desk_mail[-1].body
    queue = port.client("desk").get("/desk/").content.decode()
    assert "Everybody was called, nobody has answered" in queue
    assert f"/desk/warnings/{alert.pk}/south/" in queue
    assert not Escalation.objects.filter(state=State.ENDED, told=False).exists()


def test_an_answer_ends_it_also_for_a_call_that_is_due_already(port: Port) -> None:
    with time_machine.travel(START, tick=False) as clock:
        alert = warn(port)
        clock.shift(timedelta(minutes=5))
        escalation.climb()
        claimed = outbox.claim("email", 50, avoiding=[], allowance=lambda host: 50)
        assert calls(port, "south")
        # Between the claim and the sending.
        port.client("south").post(f"/warnings/{alert.pk}/", {"choice": "seen"})
        Delivery.objects.filter(pk__in=[row.pk for row in claimed]).update(
            state=Delivery.State.DUE, lease_until=None
        )
        sending.drain("email")
        assert not [sent for sent in mail.outbox if sent.to == ["duty@south.example"]]
        [call] = Delivery.objects.filter(organisation=port.organisations["south"], step=1)
        assert (call.state, call.reason) == (Delivery.State.SKIPPED, "already answered")
        clock.shift(timedelta(hours=3))
        port.sweep()
    assert of(port, "south").state == State.ANSWERED
    assert len(calls(port, "south")) == 1


def test_less_than_critical_climbs_nothing(port: Port) -> None:
    port.file("north", warn_now="yes", attack="phishing", system_yard="", system_email="watching")
    port.sweep()
    assert Alert.objects.exists()
    assert not Escalation.objects.exists()


def test_steps_of_its_own_the_same_address_twice_and_one_that_is_gone(
    port: Port, receiver: Receiver
) -> None:
    south = port.organisations["south"]
    hook = Endpoint.objects.create(
        organisation=south,
        address=receiver.url,
        secret=signing.new_secret(),
        label="Pager",
        verified_at=timezone.now(),
    )
    gone = Contact.objects.create(organisation=south, email="gone@south.example")
    ladder.replace(
        south,
        [
            ("email", "gone@south.example", 2),
            ("webhook", hook.address, 2),
            ("webhook", hook.address, 0),
        ],
        actor="operator",
    )
    gone.delete()
    with time_machine.travel(START, tick=False) as clock:
        warn(port)
        clock.shift(timedelta(minutes=5))
        port.sweep()
        clock.shift(timedelta(minutes=2))
        port.sweep()
    assert calls(port, "south") == [(2, hook.address), (3, hook.address)]
    ids = {headers["webhook-id"] for headers, _ in receiver.got}
    assert len(receiver.got) == len(ids) == 3
    assert b"Call 4" in receiver.got[-1][1]
    page = port.client("desk").get(f"/desk/warnings/{Alert.objects.get().pk}/south/")
    assert "then the desk is told" in page.content.decode()
    assert "with the next" not in page.content.decode()


def test_steps_are_verified_addresses_and_are_named_without_what_is_secret(port: Port) -> None:
    south = port.organisations["south"]
    phone = Endpoint.objects.create(organisation=south, channel="sms", address="+81312345678")
    with pytest.raises(ladder.NotPossible):
        ladder.replace(south, [("sms", phone.address, 10)], actor="operator")
    Endpoint.objects.update(verified_at=timezone.now())
    ladder.replace(south, [("sms", phone.address, 10)], actor="operator")
    page = port.client("south").get("/ladder/").content.decode()
    assert "+81 … " in page
    phone.delete()
    gone = port.client("south").get("/ladder/").content.decode()
    assert "+81 … " in gone
    assert phone.address not in page + gone


def test_with_the_broker_down_the_sweep_by_hand_climbs(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alerts import tasks

    with time_machine.travel(START, tick=False) as clock:
        warn(port)
        monkeypatch.setattr(tasks, "ring", lambda *a: False)
        clock.shift(timedelta(minutes=6))
        call_command("sweep", "--json", stdout=StringIO())
    assert len([sent for sent in mail.outbox if "2nd call" in sent.subject]) == 5


def test_two_sweeps_at_once_make_one_call(busy_port: Port) -> None:
    warn(busy_port)
    Escalation.objects.update(next_at=timezone.now() - timedelta(seconds=1))
    start = threading.Barrier(4)
    moved: list[int] = []

    def work() -> None:
        start.wait()
        moved.append(escalation.climb())
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) == Escalation.objects.count() == 5
    assert Delivery.objects.filter(step=1).count() == 5


def test_ladders_that_end_while_two_sweep_are_one_word_to_the_desk(busy_port: Port) -> None:
    alert = warn(busy_port)
    Escalation.objects.update(state=State.ENDED)
    threads = [
        threading.Thread(target=lambda: (escalation.climb(), connection.close())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [word] = Alert.objects.filter(about=alert)
    assert "5 members" in word.title


def test_a_clock_that_jumps_makes_one_call_and_a_clock_that_goes_back_stops_none(
    port: Port,
) -> None:
    person(port, "south", "night@south.example")
    with time_machine.travel(START, tick=False) as clock:
        warn(port)
        clock.shift(timedelta(hours=30))
        port.sweep()
        port.sweep()
        assert len(calls(port, "south")) == 1
        clock.shift(timedelta(hours=-30))
        port.sweep()
        port.sweep()
        assert len(calls(port, "south")) == 1
        clock.shift(timedelta(minutes=10))
        port.sweep()
        assert len(calls(port, "south")) == 2


_KILLED = """
import time
import django
django.setup()
from alerts import escalation, fanout
real = fanout.deliver
def dies(*args, **kwargs):
    real(*args, **kwargs)
    print("called", flush=True)
    time.sleep(60)
fanout.deliver = dies
escalation.climb()
"""


def test_a_worker_killed_in_the_middle_of_a_call_leaves_it_to_the_next(busy_port: Port) -> None:
    warn(busy_port)
    Escalation.objects.update(next_at=timezone.now() - timedelta(seconds=1))
    worker = subprocess.Popen(
        [sys.executable, "-c", _KILLED],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": _url(str(connection.settings_dict["NAME"])),
        },
    )
    assert worker.stdout
    assert worker.stdout.readline() == "called\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    assert not Delivery.objects.filter(step=1).exists()
    assert set(Escalation.objects.values_list("rung", flat=True)) == {0}
    # The server takes a moment to notice that its client is gone, and to let go of the rows.
    until = time.monotonic() + 30
    while not escalation.climb() and time.monotonic() < until:
        time.sleep(0.1)
    assert Delivery.objects.filter(step=1).count() == 5


def test_a_member_pauses_its_ladder_and_takes_it_up_again(port: Port) -> None:
    south = port.client("south")
    with time_machine.travel(START, tick=False) as clock:
        alert = warn(port)
        south.post("/ladder/pause/", {"hours": "1"})
        assert of(port, "south").state == State.PAUSED
        clock.shift(timedelta(minutes=30))
        port.sweep()
        assert calls(port, "south") == []
        assert "South Basin" in port.client("desk").get("/desk/").content.decode()
        seen = port.client("desk").get(f"/desk/warnings/{alert.pk}/").content.decode()
        assert "duty@south.example" in seen
        south.post("/ladder/pause/", {"hours": "4"})
        page = f"/desk/warnings/{alert.pk}/south/pause/"
        refused = port.client("desk").post(page, {"what": "resume"}, follow=True)
        assert "itself has paused" in refused.content.decode()
        south.post("/ladder/resume/")
        port.sweep()
        assert len(calls(port, "south")) == 1
        # A warning raised in a pause waits for its end, and for nothing after it.
        south.post("/ladder/pause/", {"hours": "4"})
        port.file("rail", warn_now="yes")
        port.sweep()
        clock.shift(timedelta(hours=3))
        port.sweep()
        assert len(calls(port, "south")) == 1
        clock.shift(timedelta(hours=1, seconds=1))
        port.sweep()
    assert len(calls(port, "south")) > 1
    trail = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"ladder.paused", "ladder.resumed"} <= trail


def test_the_desk_pauses_one_member_and_answers_for_it_by_phone(port: Port) -> None:
    desk = port.client("desk")
    with time_machine.travel(START, tick=False) as clock:
        alert = warn(port)
        page = f"/desk/warnings/{alert.pk}/south/"
        desk.post(f"{page}pause/", {"what": "pause", "minutes": "60"})
        clock.shift(timedelta(minutes=50))
        port.sweep()
        assert calls(port, "south") == []
        assert calls(port, "rail")
        desk.post(f"{page}pause/", {"what": "resume"})
        port.sweep()
        assert len(calls(port, "south")) == 1
        assert desk.post(f"{page}answer/", {"choice": "seen"}).status_code == 422
        desk.post(
            f"{page}answer/", {"choice": "affected", "note": "Yard is down", "told_by": "Ms Sato"}
        )
        clock.shift(timedelta(hours=5))
        port.sweep()
    given = answers.current(alert)[port.organisations["south"].pk]
    assert given.by == "Ms Sato by phone, written down by duty@desk.example"
    assert of(port, "south").state == State.ANSWERED
    entry = AuditEntry.objects.filter(action="alert.answered").latest("number")
    assert (entry.actor, entry.detail["on_behalf"]) == ("user:duty@desk.example", 1)
    member = port.client("south").get(f"/warnings/{alert.pk}/").content.decode()
    assert "Ms Sato by phone" in member
    assert port.client("rail").post(f"{page}answer/", {"choice": "seen"}).status_code == 404
    assert desk.get(f"/desk/warnings/{alert.pk}/north/").status_code == 404


def test_a_drill_says_so_everywhere_climbs_and_ends_with_an_answer(
    port: Port, receiver: Receiver
) -> None:
    south = port.organisations["south"]
    Endpoint.objects.create(
        organisation=south,
        address=receiver.url,
        secret=signing.new_secret(),
        label="Pager",
        verified_at=timezone.now(),
    )
    ladder.replace(
        south,
        [("email", "duty@south.example", 10), ("webhook", receiver.url, 10)],
        actor="operator",
    )
    client = port.client("south")
    with time_machine.travel(START, tick=False) as clock:
        client.post("/ladder/test/", {"speed": "10"})
        port.sweep()
        [first] = mail.outbox
        assert "EXERCISE" in first.subject
        assert "TEST" in first.subject
        assert "This is an exercise" in first.body
        assert "EXERCISE" in client.get("/warnings/").content.decode()
        client.post("/ladder/test/", {"speed": "1"})
        assert Alert.objects.filter(kind="drill").count() == 1
        clock.shift(timedelta(minutes=1))
        port.sweep()
        [(_, body)] = receiver.got
        assert orjson.loads(body)["type"] == "alert.drill"
        assert "EXERCISE" in orjson.loads(body)["data"]["title"]
        clock.shift(timedelta(seconds=20))
        line = next(line for line in first.body.splitlines() if "/answer/" in line)
        Client().post("/" + line.split("/", 3)[3], {"choice": "seen"})
        page = client.get("/ladder/").content.decode()
    assert "Answered after 1 min 20 s" in page
    assert "duty@south.example: called after 0 s" in page
    assert "called after 1 min" in page
    assert receiver.url not in page
    assert {row.organisation for row in Delivery.objects.all()} == {south}
    assert not Escalation.objects.exclude(state=State.ANSWERED).exists()


def test_a_drill_that_nobody_answers_is_not_the_desks(port: Port) -> None:
    with time_machine.travel(START, tick=False) as clock:
        alert = escalation.drill(port.organisations["south"], speed=10, actor=port.users["south"])
        for _ in range(4):
            clock.shift(timedelta(minutes=2))
            port.sweep()
    assert of(port, "south", alert).state == State.ENDED
    assert "nobody answered" in port.client("south").get("/ladder/").content.decode()
    assert not Alert.objects.filter(only=port.organisations["desk"]).exists()
    assert escalation.unanswered(10) == []


def test_only_member_admins_change_the_ladder_and_only_to_their_own_addresses(port: Port) -> None:
    south, client = port.organisations["south"], port.client("south")
    person(port, "south", "clerk@south.example")
    clerk = Client()
    clerk.force_login(
        User.objects.get(email="clerk@south.example"),
        backend="crc.members.backends.ActiveMemberBackend",
    )
    assert "clerk@south.example" in clerk.get("/ladder/").content.decode()
    for what in ("own", "add", "test", "pause"):
        clerk.post(f"/ladder/{what}/", {"whom": "email:clerk@south.example", "minutes": "5"})
    assert not south.ladder.exists()
    assert not Alert.objects.exists()

    client.post("/ladder/own/")
    assert [step.address for step in south.ladder.all()] == [
        "clerk@south.example",
        "duty@south.example",
    ]
    client.post("/ladder/add/", {"whom": "email:clerk@south.example", "minutes": "7"})
    bad = client.post("/ladder/add/", {"whom": "email:duty@rail.example", "minutes": "7"})
    assert bad.status_code == 422
    first, second, third = south.ladder.all()
    client.post("/ladder/change/", {"what": "down", "step": first.pk})
    client.post("/ladder/change/", {"what": "wait", "step": third.pk, "minutes": "3"})
    wait = {"what": "wait", "step": third.pk, "minutes": "-3"}
    refused = client.post("/ladder/change/", wait, follow=True).content.decode()
    assert "A step waits 0 to 1440 minutes" in refused
    client.post("/ladder/change/", {"what": "remove", "step": second.pk})
    client.post("/ladder/change/", {"what": "remove", "step": second.pk})
    assert [(step.pk, step.minutes) for step in south.ladder.all()] == [
        (first.pk, 10),
        (third.pk, 3),
    ]
    other = port.client("rail").post("/ladder/change/", {"what": "remove", "step": first.pk})
    assert other.status_code == 302
    assert south.ladder.count() == 2
    assert client.post("/ladder/nothing/").status_code == 404
    assert port.client("desk").post("/ladder/own/").status_code == 404
    client.post("/ladder/standard/")
    assert not south.ladder.exists()


def test_the_standard_ladder_is_the_officers_then_the_admins(port: Port) -> None:
    south = port.organisations["south"]
    Contact.objects.create(organisation=south, email="Duty@south.example")
    Contact.objects.create(organisation=south, email="phone@south.example")
    person(port, "south", "boss@south.example", UserRole.MEMBER_ADMIN)
    rungs = ladder.rungs_of([south.pk])[south.pk]
    assert [[to.address for to in rung.addresses] for rung in rungs] == [
        ["duty@south.example", "phone@south.example"],
        ["boss@south.example"],
    ]
    assert [rung.wait for rung in rungs] == [timedelta(minutes=10), timedelta(minutes=15)]


def test_where_only_a_tool_saw_it_somebody_is_called(port: Port) -> None:
    with time_machine.travel(START, tick=False) as clock:
        alert = warn(port)
        port.file("south", system_yard="", system_rail="down")
        port.sweep()
        [story] = Corroboration.objects.all()
        [echo] = Alert.objects.filter(kind="corroboration")
        # What the railway's tool has sent joins the story; nobody there may know.
        sent = Submission.objects.create(
            source=port.organisations["rail"], door=Door.TAXII, triaged_at=timezone.now()
        )
        story.submissions.add(sent)
        while Escalation.objects.filter(state__in=Escalation.OPEN).exists():
            clock.shift(timedelta(minutes=30))
            port.sweep()
        called = {(step, to) for step, to in calls(port, "rail")}
        assert called == {(1, "duty@rail.example")}
        assert Delivery.objects.filter(alert=echo, step=1).count() >= 1
        ended = {(one.alert, one.organisation.slug) for one in escalation.unanswered(100)}
        assert (echo, "rail") in ended
        assert (alert, "south") in ended
        assert (echo, "south") not in ended


def test_the_operator_sets_a_ladder(port: Port) -> None:
    said = StringIO()
    steps = ["--step", "email:DUTY@south.example:5", "--step", "email:duty@south.example:10"]
    call_command("set_ladder", "--member", "south", *steps, "--json", stdout=said)
    answer = orjson.loads(said.getvalue())
    assert answer["steps"][1] == {
        "channel": "email",
        "address": "duty@south.example",
        "minutes": 10,
    }
    mine = "email:duty@south.example"
    for bad, why in (
        ("email:x@y:5", "is no address"),
        (mine, "is no step"),
        (f"{mine}:99999", "0 to 1440"),
        (f"{mine}:-3", "0 to 1440"),
    ):
        with pytest.raises(CommandError, match=why):
            call_command("set_ladder", "--member", "south", "--step", bad, stdout=StringIO())
    assert port.organisations["south"].ladder.count() == 2
    call_command("set_ladder", "--member", "south", stdout=StringIO())
    assert port.organisations["south"].ladder.exists()  # it was only shown
    call_command("set_ladder", "--member", "south", "--standard", stdout=StringIO())
    assert not port.organisations["south"].ladder.exists()


def test_a_member_that_left_is_called_no_more_and_a_stop_ends_all(port: Port) -> None:
    with time_machine.travel(START, tick=False) as clock:
        alert = warn(port)
        port.organisations["south"].is_active = False
        port.organisations["south"].save()
        clock.shift(timedelta(minutes=5))
        escalation.climb()
        assert of(port, "south").state == State.STOPPED
        assert escalation.stop(alert, by="withdrawn") == 4
        port.sweep()
        assert mail.outbox == []
        reasons = Delivery.objects.filter(step=1).values_list("reason", flat=True)
        assert set(reasons) == {"the call was stopped"}
