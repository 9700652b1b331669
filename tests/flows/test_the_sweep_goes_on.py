"""One thing that cannot be done holds nothing else up."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts import escalation, outbox, tasks, triage
from crc.celery import app
from sharing import envelopes
from sharing.models import Collection, Door, Envelope, Submission
from sharing.signals import accepted
from tests.conftest import Port

PASSED = timedelta(seconds=1)


def stumbling(monkeypatch: pytest.MonkeyPatch, over: str) -> None:
    """Triage that cannot read one submission."""
    was = triage.triage

    def stumbles(submission_id: str) -> Any:
        if submission_id == over:
            raise ValueError("nobody has foreseen this")
        return was(submission_id)

    monkeypatch.setattr(triage, "triage", stumbles)


def test_a_submission_that_cannot_be_triaged_holds_up_no_other(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = port.file("north", warn_now="yes").submission
    good = port.file("south", warn_now="yes", technical="evil.example").submission
    stumbling(monkeypatch, str(bad.pk))
    with pytest.raises(ValueError, match="foreseen"):
        port.sweep()
    good.refresh_from_db()
    assert good.triaged_at
    assert port.warnings()
    assert not outbox.channels_due()


def test_it_is_left_to_the_desk_in_the_end_which_is_told(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = port.file("north", warn_now="yes")
    stumbling(monkeypatch, str(report.pk))
    long_ago = timezone.now() - triage.PATIENCE - PASSED
    Submission.objects.filter(pk=report.pk).update(received_at=long_ago)
    with pytest.raises(ValueError, match="foreseen"):
        port.sweep()
    assert not triage.waiting(people=True)
    port.sweep()
    reference = report.submission.reference
    case = port.client("desk").get(f"/desk/{reference}/").content.decode()
    assert "could not assess this by itself" in case
    assert (
        "could not assess this by itself"
        in port.client("north").get(f"/reports/{reference}/").content.decode()
    )


def test_a_stage_that_fails_holds_up_no_other(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    port.file("south", warn_now="yes", technical="evil.example")

    def fails() -> None:
        raise ValueError("no rung to climb")

    monkeypatch.setattr(escalation, "climb", fails)
    with pytest.raises(ValueError, match="rung"):
        tasks.run_sweep()
    assert port.warnings()
    assert not outbox.channels_due()


def test_large_posts_are_opened_each_member_s_in_turn(port: Port) -> None:
    inbox = Collection.objects.get(kind=Collection.Kind.INBOX, owner__slug="rail")

    def leave(slug: str) -> str:
        made = Envelope.objects.create(
            source=port.organisations[slug], collection=inbox, objects_sent=1, body=b"{}"
        )
        return str(made.pk)

    flood = [leave("rail") for _ in range(3)]
    other = leave("anchor")
    assert envelopes.waiting() == [flood[0], other, *flood[1:]]


def test_a_tool_that_floods_waits_for_itself_and_no_person_for_it(port: Port) -> None:
    def post(slug: str) -> str:
        made = Submission.objects.create(source=port.organisations[slug], door=Door.TAXII)
        return str(made.pk)

    flood = [post("rail") for _ in range(3)]
    other = post("anchor")
    report = str(port.file("north").submission.pk)
    assert triage.waiting(people=True) == [report]
    assert triage.waiting(people=False) == [flood[0], other, *flood[1:]]
    accepted.send(None, submission_id=report, by_person=True)
    accepted.send(None, submission_id=other, by_person=False)
    assert [task for task, _ in port.rung] == [tasks.triage_report.name, tasks.triage_post.name]
    # While one thread is at what tools have posted, no other is: all are there for people.
    with tasks._patiently:
        tasks.triage_post(other)
        assert tasks.run_sweep()["triaged"] == 1
    assert triage.waiting(people=True) == []
    assert len(triage.waiting(people=False)) == 4
    tasks.triage_post(other)
    assert triage.waiting(people=False) == flood
    assert tasks.run_sweep()["triaged"] == 3
    assert app.amqp.router.route({}, tasks.triage_post.name)["priority"] == 9
    assert "priority" not in app.amqp.router.route({}, tasks.triage_report.name)
