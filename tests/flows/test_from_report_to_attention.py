"""The main job as one story. Read it as the README of the code."""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from standardwebhooks import Webhook

from alerts.models import Answer, Delivery
from sharing.intake import accept
from sharing.models import Collection, Door, Placement, Report, StixObject, Submission
from sharing.release import standard_title, told_to_others
from tests.conftest import HASH, Port, Receiver


def green(ask: Callable[..., Any], key: str) -> str:
    """Path of the community's TLP:GREEN collection."""
    listed = ask(key, "/crc/collections/").json["collections"]
    return next(f"/crc/collections/{c['id']}/" for c in listed if c["alias"] == "community-green")


def test_one_report_reaches_every_tool_and_every_member(
    port: Port, receiver: Receiver, taxii: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    siem = port.key("south", "taxii:read")
    firewall = port.key("kestrel", "lists:read")
    call_command("add_webhook", "--member", "anchor", "--url", receiver.url)
    secret = capsys.readouterr().out.strip()

    # The duty officer of the north terminal reports, and asks to warn the port now.
    report = port.file("north", warn_now="yes")
    page = port.client("north").get(f"/reports/{report.submission.reference}/")
    assert HASH in page.content.decode()

    # A worker triages it: released, and warned.
    assert port.sweep()["triaged"] == 1
    report.refresh_from_db()
    assert report.state == Report.State.RELEASED

    # The south terminal's SIEM polls it.
    objects = taxii(siem, green(taxii, siem) + "objects/").json["objects"]
    indicator = next(o for o in objects if o["type"] == "indicator")
    assert HASH in indicator["pattern"]

    # A firewall reads the list, and the second time learns that nothing changed.
    listed = port.client("south").get(
        "/lists/sha256.txt", headers={"authorization": f"Bearer {firewall}"}
    )
    assert listed.content.decode() == f"{HASH}\n"
    again = port.client("south").get(
        "/lists/sha256.txt",
        headers={"authorization": f"Bearer {firewall}", "if-none-match": listed["ETag"]},
    )
    assert again.status_code == 304

    # The shipping line's webhook receiver verifies the signature.
    [(headers, body)] = receiver.got
    Webhook(secret).verify(body, headers)
    assert json.loads(body)["data"]["tlp"] == "TLP:GREEN"

    # Everyone cleared for TLP:GREEN has a mail; the source and the outsider have none.
    told = {message.to[0] for message in mail.outbox}
    assert told == {
        f"duty@{slug}.example" for slug in ("south", "anchor", "rail", "kestrel", "repair")
    }
    assert mail.outbox[0].subject.startswith("[TLP:GREEN] CRITICAL")

    # The railway answers from its mail: opening the link answers nothing, the button does.
    to_rail = next(message for message in mail.outbox if message.to == ["duty@rail.example"])
    link = re.search(r"Not affected:\s+http://[^/]+(\S+)", to_rail.body)
    assert link
    browser = port.client("outsider")
    assert browser.get(link[1]).status_code == 200
    assert not Answer.objects.exists()
    browser.post(link[1], {"choice": "not-affected"})
    assert Answer.objects.get().organisation == port.organisations["rail"]

    # The south terminal answers in the hub, and the desk sees both.
    [warning] = port.warnings()
    port.client("south").post(f"/warnings/{warning.pk}/", {"choice": "affected", "note": "gate"})
    desk = port.client("desk").get(f"/desk/warnings/{warning.pk}/").content.decode()
    assert "Not affected" in desk
    assert "gate" in desk


def test_the_desk_releases_what_the_reporter_left_to_it(port: Port) -> None:
    report = port.file("north", tlp="AMBER")
    port.sweep()
    assert not port.warnings()
    case = f"/desk/{report.submission.reference}/"
    page = port.client("desk").get(case)
    assert "Look at what goes out" in page.content.decode()

    # Looser than the reporter allows is not on offer, and refused when forced.
    looser = {"group": "community", "tlp": "GREEN", "title": "Ransomware"}
    assert port.client("desk").post(f"{case}release/", looser).status_code == 422
    response = port.client("desk").post(f"{case}release/", {**looser, "tlp": "AMBER"})
    assert response.status_code == 302
    port.sweep()
    # AMBER keeps its content inside the hub: the mail only says that something waits.
    assert all("Ransomware" not in message.subject + message.body for message in mail.outbox)
    assert "log in" in mail.outbox[0].body.lower()
    assert "Ransomware" in port.client("south").get("/warnings/").content.decode()
    assert "Ransomware" not in port.client("outsider").get("/warnings/").content.decode()


def test_the_desk_declines_and_the_reporter_reads_why(port: Port) -> None:
    report = port.file("north")
    case = f"/desk/{report.submission.reference}/"
    assert port.client("desk").post(f"{case}decline/", {"reason": ""}).status_code == 422
    port.client("desk").post(
        f"{case}decline/", {"reason": "Known test by your own IT.", "sure": "on"}
    )
    page = port.client("north").get(f"/reports/{report.submission.reference}/")
    assert "Known test by your own IT." in page.content.decode()
    assert not port.warnings()


def test_the_reporter_may_warn_the_port_afterwards(port: Port) -> None:
    report = port.file("north")
    port.sweep()
    port.client("north").post(f"/reports/{report.submission.reference}/warn/", {"sure": "yes"})
    port.sweep()
    assert [alert.tlp for alert in port.warnings()] == ["GREEN"]


def test_only_the_source_may_loosen_its_marking(port: Port) -> None:
    report = port.file("north")
    receipt = f"/reports/{report.submission.reference}/"
    assert "Warn the port now" not in port.client("desk").get(receipt).content.decode()
    assert port.client("desk").post(f"{receipt}warn/").status_code == 404
    report.refresh_from_db()
    assert not report.warn_now


def test_the_desk_leaves_out_what_could_be_the_members_own(port: Port) -> None:
    report = port.file("north", technical=f"{HASH} 203.0.113.66")
    case = f"/desk/{report.submission.reference}/"
    answers = {"group": "community", "tlp": "AMBER+STRICT", "title": "Ransomware"}
    port.client("desk").post(f"{case}release/", {**answers, "withhold": ["203.0.113.66"]})
    bodies = StixObject.objects.filter(release__submission=report.submission)
    shared = "".join(bodies.values_list("body", flat=True))
    assert HASH in shared
    assert "203.0.113.66" not in shared


def test_a_system_that_few_members_run_is_not_named(port: Port, settings: Any) -> None:
    report = port.file("rail", system_yard="", system_rail="down", system_email="down")
    receipt = port.client("rail").get(f"/reports/{report.submission.reference}/").content.decode()
    assert "Rail planning and signalling" in receipt.split("not told which system")[1]
    told = told_to_others(report, named=False)
    assert [system.value for system in told.systems] == ["email"]
    assert standard_title(report) == "Ransomware at a port member: e-mail"
    settings.SMALLEST_CROWD = 1
    assert "rail planning" in standard_title(report)


def test_a_red_report_stays_between_the_reporter_and_the_desk(
    port: Port, taxii: Callable[..., Any]
) -> None:
    report = port.file("north", tlp="RED", narrative="Only for the desk.")
    port.sweep()
    assert (
        "stays between"
        in port.client("desk").get(f"/desk/{report.submission.reference}/").content.decode()
    )
    assert (
        not Placement.objects.filter(object__tlp="RED")
        .exclude(object__type="marking-definition")
        .exists()
    )
    placed = Placement.objects.filter(object__submission=report.submission)
    # The reporter's own identity is marked AMBER+STRICT; all that tells of the incident is RED.
    assert set(placed.values_list("object__type", flat=True)) <= {"identity", "marking-definition"}


def test_a_second_member_makes_it_a_campaign(port: Port) -> None:
    port.file("north", warn_now="yes", technical=f"{HASH} 203.0.113.66")
    port.sweep()
    port.file("rail", attack="malware", system_yard="", system_rail="watching")  # the same hash
    port.sweep()
    _, second = port.warnings()
    assert second.kind == "corroboration"
    assert "2 members" in second.title
    assert not any(name in second.title + second.body for name in ("North", "Railway"))
    # Everyone, the two sources too: each learns that it is not alone.
    inboxes = Delivery.objects.filter(alert=second, channel="inbox")
    assert {row.organisation.slug for row in inboxes} == {
        "north",
        "south",
        "anchor",
        "rail",
        "kestrel",
        "repair",
    }
    # The hub says how often the hash was seen, and says so of nothing that was seen once.
    sightings = StixObject.objects.filter(release__isnull=False, type="sighting")
    assert [json.loads(row.body)["count"] for row in sightings] == [2]
    # A third raises the count once more; the same member again does not.
    port.file("south", system_yard="", system_office="down")
    port.file("south", system_yard="", system_office="down")
    port.sweep()
    assert [alert.title[:18] for alert in port.warnings()[2:]] == ["Seen by 3 members:"]
    versions = [json.loads(row.body) for row in sightings.order_by("version")]
    assert [version["count"] for version in versions] == [2, 3]
    assert len({version["id"] for version in versions}) == 1


def test_a_feed_on_a_shelf_is_no_second_member(port: Port) -> None:
    port.file("north", warn_now="yes", technical="203.0.113.66")
    port.sweep()
    [seen] = StixObject.objects.filter(release__isnull=False, type="indicator")
    copied = {**json.loads(seen.body), "id": f"indicator--{uuid.uuid4()}"}
    accept(
        [copied],
        submission=Submission(source=port.organisations["south"], door=Door.TAXII),
        into=[Collection.objects.get(alias="community-green")],
        actor="test",
    )
    port.sweep()
    assert [alert.kind for alert in port.warnings()] == ["warning"]


def test_nobody_can_guess_what_another_keeps_to_the_desk(port: Port) -> None:
    port.file("north", tlp="RED", technical="198.51.100.77")
    port.file("south", technical="203.0.113.66", withheld="203.0.113.66")
    port.sweep()
    port.file(
        "rail",
        attack="probe",
        technical="198.51.100.77 203.0.113.66",
        system_yard="",
        system_email="watching",
        warn_now="yes",
    )
    port.sweep()
    assert [alert.kind for alert in port.warnings()] == ["warning"]


def test_something_else_twice_is_not_the_same_thing_twice(port: Port) -> None:
    port.file("north", technical="", system_yard="", system_other="down", warn_now="yes")
    port.file("rail", technical="", system_yard="", system_other="down", warn_now="yes")
    port.sweep()
    assert [alert.kind for alert in port.warnings()] == ["warning", "warning"]


def test_two_private_reports_wait_for_a_release(port: Port) -> None:
    report = port.file("north")
    port.file("rail")
    port.sweep()
    assert not port.warnings()
    port.client("north").post(f"/reports/{report.submission.reference}/warn/", {"sure": "yes"})
    port.sweep()
    assert [alert.kind for alert in port.warnings()] == ["warning", "corroboration"]
