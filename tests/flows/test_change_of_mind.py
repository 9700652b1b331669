"""Update, all-clear and withdrawal: told to exactly those who got the warning, in one thread."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from alerts import tasks
from alerts.channels import signing
from alerts.models import Alert, Delivery, Endpoint
from crc.members.models import ApiKey
from sharing import feeds
from sharing.models import Collection, Placement, Release, Report, StixObject, ToolPlace, ToolUse
from sharing.taxii.paging import moment
from sharing.withdrawal import values
from tests.conftest import HASH, Port, Receiver

OTHER = HASH[::-1]


@pytest.fixture
def warned(port: Port, receiver: Receiver) -> Report:
    """North's report is out; the railway's mail is not, and the line has a webhook."""
    Endpoint.objects.create(
        organisation=port.organisations["anchor"],
        address=receiver.url,
        secret=signing.new_secret(),
        verified_at=timezone.now(),
    )
    report = port.file("north", warn_now="yes", technical=f"sha256 {HASH} sha256 {OTHER}")
    tasks.triage.triage(str(report.pk))
    later = timezone.now() + timedelta(hours=1)
    Delivery.objects.filter(channel="email", organisation__slug="rail").update(
        state=Delivery.State.WAITING, next_try_at=later
    )
    port.sweep()
    report.refresh_from_db()
    return report


def correct(port: Port, report: Report, kind: str, **answers: str) -> str:
    """The desk writes, looks, confirms; the confirm page."""
    path = f"/desk/{report.submission.reference}/correct/{kind}/"
    desk, fields = port.client("desk"), {"text": "It was our own test.", **answers}
    shown = desk.post(path, fields)
    assert shown.status_code == 200, shown.content.decode()
    before = Alert.objects.count()
    done = desk.post(path, {**fields, "confirmed": "yes"})
    assert done.status_code == 302, done.content.decode()
    assert Alert.objects.count() == before + 1
    return str(shown.content.decode())


def test_a_withdrawal_reaches_those_who_were_told_and_nobody_else(
    port: Port, warned: Report, receiver: Receiver
) -> None:
    shown = correct(port, warned, "withdrawal")
    assert "5 members will be told" in shown
    assert "This cannot be undone" in shown
    late = Delivery.objects.get(channel="email", organisation__slug="rail", alert__kind="warning")
    assert (late.state, late.reason) == (Delivery.State.SKIPPED, "withdrawn before it was sent")
    first_mails = {m.to[0]: m.extra_headers["References"] for m in mail.outbox}
    mail.outbox.clear()
    port.sweep()

    assert {m.to[0] for m in mail.outbox} == first_mails.keys()
    assert "duty@rail.example" not in first_mails
    for message in mail.outbox:
        thread = first_mails[message.to[0]]
        assert message.extra_headers["In-Reply-To"] == thread
        assert message.extra_headers["References"] == thread
        assert "Withdrawn" in message.subject
        assert "Are you affected" not in message.body
    [(_, first), (_, second)] = receiver.got
    assert json.loads(second)["type"] == "alert.withdrawal"
    assert json.loads(second)["data"]["about"] == json.loads(first)["data"]["alert"]

    page = port.client("south").get("/warnings/").content.decode()
    assert page.count('class="item') == 1
    assert "Withdrawn" in page
    first_alert, withdrawal = port.warnings()
    for pk in (first_alert.pk, withdrawal.pk):
        page = port.client("south").get(f"/warnings/{pk}/").content.decode()
        assert "It was our own test." in page
        assert HASH not in page
        assert "asks for no answer any more" in page


def test_what_is_withdrawn_is_revoked_in_its_collections_and_gone_from_the_lists(
    port: Port, warned: Report, taxii: Callable[..., Any]
) -> None:
    south = port.organisations["south"]
    shelf = Collection.objects.get(group__slug="community", tlp="GREEN")
    before = Placement.objects.order_by("date_added").last()
    assert before
    assert HASH in feeds.values("sha256", reader=south)
    correct(port, warned, "withdrawal")
    assert feeds.values("sha256", reader=south) == []

    key = port.key("south", "taxii:read")
    objects = taxii(key, f"/crc/collections/{shelf.pk}/objects/?limit=1000").get_json()["objects"]
    versioned = [o for o in objects if "modified" in o and not _hubs(o)]
    assert versioned
    assert [o for o in versioned if not o.get("revoked")] == []
    for row in StixObject.objects.filter(revoked=True):
        earlier = StixObject.objects.filter(stix_id=row.stix_id, revoked=False)
        assert all(row.version > one.version for one in earlier)
        placed = {p.collection.kind for p in row.placements.all()}
        assert placed == {"shelf", "desk"}
    assert not [o for o in objects if _hubs(o) and o.get("revoked")]

    made = Release.objects.get()
    assert (made.withdrawn_by, made.withdrawal_reason) == (
        "duty@desk.example",
        "It was our own test.",
    )
    assert Report.objects.get().narrative  # the private record stays
    reference = warned.submission.reference
    north = port.client("north")
    port.rung.clear()
    assert north.post(f"/reports/{reference}/warn/", {"sure": "yes"}).status_code == 302
    assert not port.rung
    assert "The warning was withdrawn" in north.get(f"/reports/{reference}/").content.decode()
    path = f"/desk/{reference}/correct/withdrawal/"
    again = port.client("desk").post(path, {"text": "Again.", "confirmed": "yes"})
    assert again.status_code == 422

    # A second member with the same hash does not bring it back.
    port.file("rail", technical=f"sha256 {HASH}")
    port.sweep()
    assert {alert.kind for alert in port.warnings()} == {"warning", "withdrawal"}
    assert feeds.values("sha256", reader=south) == []


def _hubs(obj: dict[str, Any]) -> bool:
    return obj["type"] == "identity" and obj["created_by_ref"] == obj["id"]


def test_one_value_taken_back_leaves_the_rest(port: Port, warned: Report) -> None:
    shown = correct(port, warned, "withdrawal", what=OTHER)
    assert OTHER in shown
    port.sweep()
    assert feeds.values("sha256", reader=port.organisations["south"]) == [HASH]
    assert values(Release.objects.get()) == [HASH]
    assert {alert.kind for alert in port.warnings()} == {"warning", "update"}
    warned.refresh_from_db()
    assert warned.state == Report.State.RELEASED
    revoked = set(StixObject.objects.filter(revoked=True).values_list("type", flat=True))
    assert revoked == {"indicator", "relationship"}
    page = port.client("south").get("/warnings/").content.decode()
    assert "Updated" in page


def test_an_all_clear_closes_the_warning_and_keeps_indicators_and_answers(
    port: Port, warned: Report
) -> None:
    first = port.warnings()[0]
    south = port.client("south")
    south.post(f"/warnings/{first.pk}/", {"choice": "not-affected", "note": ""})
    correct(port, warned, "update", text="Two more systems.", advice="Look at the yard.")
    correct(port, warned, "all-clear", text="It is over.")
    port.sweep()
    page = south.get(f"/warnings/{first.pk}/").content.decode()
    assert page.index("It is over.") < page.index("Two more systems.")
    assert "Not affected" in page
    assert HASH in page
    assert HASH in feeds.values("sha256", reader=port.organisations["south"])
    assert "All clear" in south.get("/warnings/").content.decode()
    path = f"/desk/{warned.submission.reference}/correct/update/"
    late = port.client("desk").post(path, {"text": "More.", "confirmed": "yes"})
    assert late.status_code == 422
    assert port.client("desk").get(path).status_code == 302
    # A value can be taken back still; that opens the warning for nobody again, nor alarms anybody.
    correct(port, warned, "withdrawal", what=OTHER)
    inbox = south.get("/warnings/").content.decode()
    assert "Nothing waits for your answer" in inbox
    assert "All clear" in inbox
    page = port.client("anchor").get(f"/warnings/{first.pk}/").content.decode()
    assert "asks for no answer any more" in page
    assert 'name="choice"' not in page
    assert [a.severity for a in port.warnings()] == ["critical", "critical", "info", "info"]
    # That it is over goes out as early as the alarm did.
    assert set(Delivery.objects.values_list("rank", flat=True)) == {4}
    called = port.client("desk").get(f"/desk/warnings/{first.pk}/rail/").content.decode()
    assert "asks for no answer any more" in called
    assert "Write it down" not in called
    # Of what only corrects, nobody is asked anything.
    over = f"/desk/warnings/{Alert.objects.get(kind='all-clear').pk}/south/"
    assert "Write it down" not in port.client("desk").get(over).content.decode()
    phoned = {"told_by": "The officer", "choice": "seen", "note": ""}
    assert port.client("desk").post(f"{over}answer/", phoned).status_code == 404
    # The railway's mail was not out at the first update; closed, neither goes out any more.
    Delivery.objects.filter(state=Delivery.State.WAITING).update(next_try_at=timezone.now())
    port.sweep()
    assert not [m for m in mail.outbox if m.to == ["duty@rail.example"]]


def test_a_message_in_a_dead_worker_s_hands_is_not_sent_after_the_withdrawal(
    port: Port, warned: Report
) -> None:
    held = Delivery.objects.filter(channel="email", organisation__slug="rail")
    held.update(state=Delivery.State.SENDING, lease_until=timezone.now())
    correct(port, warned, "withdrawal")
    mail.outbox.clear()
    port.sweep()
    row = held.get(alert__kind="warning")
    assert (row.state, row.reason) == (Delivery.State.SKIPPED, "withdrawn before it was sent")


def test_only_who_is_still_cleared_hears_more(port: Port, warned: Report) -> None:
    south = port.organisations["south"]
    south.ceiling = "CLEAR"
    south.save()
    mail.outbox.clear()
    correct(port, warned, "update")
    port.sweep()
    assert "duty@south.example" not in {m.to[0] for m in mail.outbox}
    assert not Delivery.objects.filter(alert__kind="update", organisation=south).exists()


def test_a_correction_does_not_name_the_source(port: Port, warned: Report) -> None:
    path = f"/desk/{warned.submission.reference}/correct/update/"
    said = port.client("desk").post(path, {"text": "North Quay Terminal is up again."})
    assert said.status_code == 422
    assert "names the member" in said.content.decode()


def test_the_source_asks_and_the_desk_sees_it(port: Port, warned: Report) -> None:
    reference = warned.submission.reference
    path = f"/reports/{reference}/withdraw/"
    assert port.client("south").post(path, {"reason": "x"}).status_code == 404
    assert port.client("north").post(path, {"reason": "A false alarm."}).status_code == 302
    assert "A false alarm." in port.client("desk").get(f"/desk/{reference}/").content.decode()
    assert reference in port.client("desk").get("/desk/?show=asked").content.decode()
    assert Release.objects.get().withdrawn_at is None


def test_the_case_shows_which_tools_know(port: Port, warned: Report) -> None:
    shelf = Collection.objects.get(group__slug="community", tlp="GREEN")
    keys = [
        ApiKey.issue(port.organisations[slug], ["taxii:read"], label=f"siem-{slug}")[0]
        for slug in ("south", "rail", "kestrel")
    ]
    had = moment(Placement.objects.filter(collection=shelf).latest("date_added").date_added)
    for key, cursor in zip(keys, (had, had, "2026-01-01T00:00:00Z"), strict=True):
        use = ToolUse.objects.create(key=key)
        ToolPlace.objects.create(
            use=use, place=str(shelf.pk), last_ok_at=timezone.now(), cursor=cursor
        )
    correct(port, warned, "withdrawal")
    ToolPlace.objects.filter(use__key=keys[0]).update(cursor="2099-01-01T00:00:00.000000Z")
    page = port.client("desk").get(f"/desk/{warned.submission.reference}/").content.decode()
    told = page[page.index("Which tools know") :]
    assert told.index("siem-rail") < told.index("Not yet") < told.index("siem-south")
    assert "siem-kestrel" not in told  # which never had it


def test_the_desk_lets_a_warning_stand_and_says_why(port: Port, warned: Report) -> None:
    reference = warned.submission.reference
    north, desk = port.client("north"), port.client("desk")
    ask, receipt = f"/reports/{reference}/withdraw/", f"/reports/{reference}/"
    stand = f"/desk/{reference}/let-stand/"
    nobody = desk.post(stand, {"reason": "No."}, follow=True)
    assert "Nobody asks" in nobody.content.decode()
    north.post(ask, {"reason": "We were wrong."})
    assert reference in desk.get("/desk/?show=asked").content.decode()
    assert desk.post(stand, {"reason": ""}).status_code == 422
    desk.post(stand, {"reason": "Two others have seen it since."})
    assert reference not in desk.get("/desk/?show=asked").content.decode()
    page = north.get(receipt).content.decode()
    assert "Two others have seen it since." in page
    # It may ask again.
    north.post(ask, {"reason": "All of us were wrong."})
    assert reference in desk.get("/desk/?show=asked").content.decode()
    assert "Two others" not in north.get(receipt).content.decode()
    assert port.client("south").post(stand, {"reason": "x"}).status_code == 404


def test_the_reporter_reads_what_was_said_since(port: Port, warned: Report) -> None:
    correct(port, warned, "update", text="Two more sites.")
    correct(port, warned, "all-clear", text="It is over.")
    page = port.client("north").get(f"/reports/{warned.submission.reference}/").content.decode()
    assert page.index("Two more sites.") < page.index("It is over.")


def test_one_slip_warns_nobody_and_declines_nothing(port: Port) -> None:
    report = port.file("north")
    port.sweep()
    reference = report.submission.reference
    page = port.client("north").post(f"/reports/{reference}/warn/", follow=True)
    assert "Nobody was warned" in page.content.decode()
    refused = port.client("desk").post(f"/desk/{reference}/decline/", {"reason": "A test."})
    assert refused.status_code == 422
    report.refresh_from_db()
    assert (report.state, report.warn_now) == (Report.State.OPEN, False)
