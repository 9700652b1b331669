"""The coverage map: who was reached and who answered, by role and time; what a warning leads to."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from alerts import answers, live
from alerts.coverage import coverage, summaries
from alerts.models import Alert, Answer, Delivery, Escalation
from crc.members.models import Organisation
from sharing.models import Report
from tests.conftest import HASH, Port

START = datetime(2026, 11, 25, 3, 0, tzinfo=timezone.get_default_timezone())


def test_by_role_and_by_time(port: Port) -> None:
    with time_machine.travel(START, tick=False) as clock:
        port.file("north", warn_now="yes")
        clock.shift(timedelta(seconds=20))
        port.sweep()
        [alert] = port.warnings()
        Alert.objects.update(raised_at=START)
        for slug, choice in (("south", "affected"), ("rail", "not-affected"), ("rail", "seen")):
            clock.shift(timedelta(minutes=2))
            port.client(slug).post(f"/warnings/{alert.pk}/", {"choice": choice})
        Delivery.objects.filter(organisation=port.organisations["kestrel"]).update(
            state="failed", sent_at=None, reason="the mail server refused the recipient"
        )
        alert.refresh_from_db()
        found = coverage(alert)
        page = port.client("desk").get(f"/desk/warnings/{alert.pk}/").content.decode()
    assert (found.warned, found.reached, found.answered, found.affected) == (5, 4, 2, 1)
    assert found.to_reach
    assert found.to_reach.last == timedelta(seconds=20)
    assert found.to_answer
    assert (found.to_answer.first, found.to_answer.last) == (
        timedelta(minutes=2, seconds=20),
        timedelta(minutes=4, seconds=20),
    )
    roles = {sums.title: (sums.warned, sums.reached, sums.affected) for sums in found.roles}
    assert roles["Terminal operator"] == (1, 1, 1)
    assert roles["Trucking"] == (1, 0, 0)
    assert found.lines[0].organisation.slug == "south"
    assert "after 2 min 20 s" in page
    assert "refused the recipient" in page
    [summary] = summaries(Alert.objects.all())
    assert (summary.warned, summary.reached, summary.answered, summary.affected) == (5, 4, 2, 1)
    for show, there, gone in (
        ("affected", "South Basin", "Kestrel"),
        ("unanswered", "Kestrel", "South Basin"),
        ("unreached", "Kestrel", "Blue Anchor"),
    ):
        part = port.client("desk").get(f"/desk/warnings/{alert.pk}/?show={show}").content.decode()
        assert there in part, show
        assert gone not in part, show
    role = port.client("desk").get(f"/desk/warnings/{alert.pk}/?role=railway").content.decode()
    assert "Harbour Railway" in role
    assert "Kestrel" not in role
    assert port.client("desk").get(f"/desk/warnings/{alert.pk}/?show=x").status_code == 404
    assert port.client("south").get(f"/desk/warnings/{alert.pk}/").status_code == 404


def test_who_reported_it_is_neither_counted_nor_called(port: Port) -> None:
    for slug in ("north", "anchor"):
        port.file(slug, warn_now="yes", technical=HASH)
        port.sweep()
    alert = Alert.objects.get(kind="corroboration")
    reporters = {port.organisations[slug].pk for slug in ("north", "anchor")}
    # They are told that they are not alone.
    assert Delivery.objects.filter(alert=alert, organisation__in=reporters).count() > 1
    called = set(Escalation.objects.filter(alert=alert).values_list("organisation_id", flat=True))
    assert called
    assert not called & reporters
    found = coverage(alert)
    assert not {line.organisation.pk for line in found.lines} & reporters
    [summary] = summaries(Alert.objects.filter(pk=alert.pk))
    assert summary.warned == found.warned == len(found.lines) > 0
    page = port.client("desk").get(f"/desk/warnings/{alert.pk}/").content.decode()
    assert "Reported it, so not counted here:" in page


def test_a_thousand_members_cost_no_more_questions_than_six(
    port: Port, django_assert_max_num_queries: Any
) -> None:
    port.file("north", warn_now="yes")
    port.sweep()
    [alert] = port.warnings()
    many = Organisation.objects.bulk_create(
        Organisation(slug=f"m{n}", name=f"Member {n}", port_role="terminal") for n in range(1000)
    )
    Delivery.objects.bulk_create(
        Delivery(alert=alert, organisation=one, channel=channel, address=one.slug, state="sent")
        for one in many
        for channel in ("inbox", "email", "webhook")
    )
    Answer.objects.bulk_create(
        Answer(alert=alert, organisation=one, choice="seen", by="x") for one in many[:500]
    )
    Escalation.objects.bulk_create(
        Escalation(alert=alert, organisation=one, next_at=timezone.now()) for one in many
    )
    client = port.client("desk")
    with django_assert_max_num_queries(5):
        assert coverage(alert).warned == 1005
    with django_assert_max_num_queries(12):
        page = client.get(f"/desk/warnings/{alert.pk}/").content.decode()
    assert "805 more are not listed" in page
    with django_assert_max_num_queries(3):
        assert [one.warned for one in summaries(Alert.objects.all())] == [1005]


def test_answers_and_sends_tell_the_desks_open_pages_in_batches(
    port: Port,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(live, "tell_the_desk", lambda: told.append(True))
    port.file("north", warn_now="yes")
    port.sweep()
    # Ten deliveries by two channels.
    assert len(told) == 2
    [alert] = port.warnings()
    with django_capture_on_commit_callbacks(execute=True):
        port.client("south").post(f"/warnings/{alert.pk}/", {"choice": "seen"})
    assert len(told) == 3


def test_affected_opens_a_report_that_is_filled_in(port: Port) -> None:
    port.file("north", warn_now="yes", attack="intrusion")
    port.sweep()
    [alert] = port.warnings()
    client = port.client("south")
    page = client.post(f"/warnings/{alert.pk}/", {"choice": "affected"}, follow=True)
    assert page.request["PATH_INFO"] == "/report/"
    assert page.context["form"].initial["attack"] == "intrusion"
    assert f"/warnings/{alert.pk}/" in page.content.decode()
    # Said again, it leads back to the warning: the report may have been sent already.
    again = client.post(f"/warnings/{alert.pk}/", {"choice": "affected", "note": "Two hosts"})
    assert again.url == f"/warnings/{alert.pk}/"  # type: ignore[attr-defined]
    assert Report.objects.count() == 1
    # What the reader was not warned of tells nothing of itself.
    assert port.client("outsider").get(f"/warnings/{alert.pk}/report/").status_code == 404
    for bad in ("/report/?from=x&attack=x", "/report/?from=%00"):
        assert client.get(bad).context["form"].initial == {}


def test_opening_a_link_answers_nothing_and_a_link_answers_one_warning_for_one_member(
    port: Port,
) -> None:
    port.file("north", warn_now="yes")
    port.file("rail", warn_now="yes", attack="phishing", technical="hxxps://bad[.]example/x")
    port.sweep()
    delivery = Delivery.objects.filter(channel="email", organisation__slug="south").first()
    assert delivery
    path = "/" + answers.link(delivery, "affected").split("/", 3)[3]
    for method in ("get", "head"):
        page = getattr(Client(), method)(path)
        assert page.status_code == 200
        assert "no-store" in page["Cache-Control"]
    # A scanner that sends forms has no cookie for the page's token.
    assert Client(enforce_csrf_checks=True).post(path, {"choice": "seen"}).status_code == 403
    assert not Answer.objects.exists()
    Client().post(path, {"choice": "not-affected", "note": "Checked all hosts", "alert": "x"})
    [given] = Answer.objects.all()
    assert (given.alert, given.organisation) == (delivery.alert, delivery.organisation)
    assert (given.note, given.by) == ("Checked all hosts", "link:duty@south.example")
