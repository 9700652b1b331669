"""When two members tell of the same thing: what counts, how loud it is, what is another story."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.translation import override

from alerts import corrections
from alerts.models import Alert, Corroboration, Observation
from crc.members.models import Organisation
from crc.members.retold import retold
from sharing.intake import accept, shelves_for
from sharing.models import Door, Release, Report, StixObject, Submission
from sharing.release import NotReleasable
from tests.conftest import HASH, Port

OTHER_HASH = HASH[::-1]


def post(source: Organisation, *objects: dict[str, Any]) -> Submission:
    """What a member's tool sends to its TAXII inbox."""
    submission = Submission(source=source, door=Door.TAXII)
    return accept(objects, submission=submission, into=shelves_for(source), actor="test").submission


def copied(obj: StixObject) -> dict[str, Any]:
    """The same under a new id, signed by nobody."""
    body = {**json.loads(obj.body), "id": f"indicator--{uuid.uuid4()}"}
    del body["created_by_ref"]
    return body


def indicators() -> list[StixObject]:
    """Those that the hub has released."""
    return list(StixObject.objects.filter(release__isnull=False, type="indicator"))


def kinds(port: Port) -> list[str]:
    """Of the warnings raised so far."""
    return [alert.kind for alert in port.warnings()]


def test_a_tool_that_sends_back_what_the_hub_told_it_saw_nothing(port: Port) -> None:
    port.file("north", warn_now="yes", technical="203.0.113.66")
    port.sweep()
    post(port.organisations["south"], *map(copied, indicators()))
    port.sweep()
    assert kinds(port) == ["warning"]
    # A person who reports it has seen it.
    port.file("rail", attack="probe", technical="203.0.113.66", system_yard="", system_rail="down")
    port.sweep()
    assert kinds(port) == ["warning", "corroboration"]
    assert "2 members" in port.warnings()[1].title


def test_what_it_says_is_read_in_the_readers_language(port: Port) -> None:
    for slug in ("north", "rail"):
        port.file(slug, warn_now="yes", technical=HASH)
    port.sweep()
    [said] = [alert.body for alert in port.warnings() if alert.kind == "corroboration"]
    with override("ja"):
        assert retold(said).startswith("港の2組織が、")
        assert retold(f"{said}\n\nCall the desk.").endswith("確認してください。\n\nCall the desk.")


def test_a_tool_that_saw_it_before_the_hub_told_counts(port: Port) -> None:
    report = port.file("north", technical="203.0.113.66")
    port.sweep()
    [private] = StixObject.objects.filter(submission=report.submission, type="indicator")
    post(port.organisations["south"], copied(private))
    port.sweep()
    port.client("north").post(f"/reports/{report.submission.reference}/warn/", {"sure": "yes"})
    port.sweep()
    assert kinds(port) == ["warning", "corroboration"]


def test_a_tool_that_may_not_see_the_release_cannot_have_copied_it(port: Port) -> None:
    port.file("north", warn_now="yes", technical="203.0.113.66")
    port.sweep()
    post(port.organisations["outsider"], *map(copied, indicators()))
    port.sweep()
    assert kinds(port) == ["warning", "corroboration"]


def test_two_things_are_two_stories(port: Port) -> None:
    office = {"system_yard": "", "system_office": "down"}
    port.file("north", warn_now="yes", technical=HASH, **office)
    port.file("rail", warn_now="yes", technical=OTHER_HASH, attack="malware", **office)
    port.sweep()
    port.file(
        "south", technical=HASH, attack="malware", **office
    )  # north's hash, and rail's kind of attack
    port.sweep()
    assert [story.members for story in Corroboration.objects.all()] == [2, 2]
    told = [alert.title[:18] for alert in port.warnings() if alert.kind == "corroboration"]
    assert told == ["Seen by 2 members:"] * 2


def test_what_was_taken_back_was_not_seen(port: Port) -> None:
    report = port.file("north", warn_now="yes", technical=HASH)
    port.sweep()
    corrections.withdraw(
        Release.objects.get(submission=report.submission),
        "A false alarm.",
        actor=port.users["desk"],
    )
    port.file("rail", attack="probe", warn_now="yes", technical=HASH)
    port.sweep()
    assert kinds(port) == ["warning", "withdrawal", "warning"]
    # It takes two that still say so.
    port.file("south", attack="probe", technical=HASH)
    port.sweep()
    assert kinds(port)[3:] == ["corroboration"]
    assert "2 members" in port.warnings()[3].title


def test_no_text_names_any_of_those_who_saw_it(port: Port) -> None:
    report = port.file("north", warn_now="yes", technical=HASH)
    port.file("rail", technical=HASH)
    port.sweep()
    name = port.organisations["rail"].name
    made = Release.objects.get(submission=report.submission)
    with pytest.raises(NotReleasable, match=name):
        corrections.update(made, f"{name} is hit as well.", actor=port.users["desk"])
    other = Report.objects.get(submission__source=port.organisations["rail"])
    words = {"group": "community", "tlp": "AMBER+STRICT", "title": "As at North Quay Terminal"}
    page = port.client("desk").post(f"/desk/{other.submission.reference}/release/", words)
    assert page.status_code == 422


def test_many_shared_values_are_one_story(port: Port) -> None:
    values = f"{HASH} {OTHER_HASH} 203.0.113.66 203.0.113.67"
    port.file("north", warn_now="yes", technical=values)
    port.file("rail", technical=values)
    port.file("south", technical=f"{HASH} 203.0.113.66")
    port.sweep()
    [story] = Corroboration.objects.all()
    assert story.members == 3


def test_a_story_does_not_go_on_for_ever(port: Port, settings: Any) -> None:
    settings.CORROBORATION_KIND_WINDOW_HOURS = 24
    now = timezone.now()
    for hours, slug in ((40, "north"), (20, "rail"), (0, "south")):
        report = port.file(slug, technical="", system_yard="", system_office="down")
        Submission.objects.filter(pk=report.pk).update(received_at=now - timedelta(hours=hours))
        port.sweep()
    assert [story.members for story in Corroboration.objects.order_by("pk")] == [2, 2]


@pytest.mark.parametrize(("tlp", "loudness"), [("AMBER+STRICT", "low"), ("GREEN", "critical")])
def test_only_what_is_released_makes_a_warning_louder(port: Port, tlp: str, loudness: str) -> None:
    """A private report of the worst kind counts, and does not show in how loud the warning is."""
    mild = {"attack": "probe", "system_yard": "", "system_office": "watching"}
    worst = port.file("rail", attack="ransomware", technical=HASH, tlp=tlp)
    port.sweep()
    if tlp == "GREEN":
        port.client("desk").post(
            f"/desk/{worst.submission.reference}/release/",
            {"group": "community", "tlp": tlp, "title": "Ransomware"},
        )
    port.file("north", warn_now="yes", technical=HASH, **mild)
    port.sweep()
    corroboration = Alert.objects.get(kind="corroboration")
    assert "2 members" in corroboration.title
    assert corroboration.severity == loudness


def test_what_everybody_sees_is_no_story(port: Port) -> None:
    kept = {"attack": "other", "technical": "8.8.8.8 north-quay-terminal.evil.com"}
    port.file("north", **kept)
    port.file("rail", **kept)
    port.sweep()
    assert not Observation.objects.filter(source=port.organisations["north"]).exists()
    assert not Corroboration.objects.exists()


def test_one_member_cannot_storm_the_port(port: Port, settings: Any) -> None:
    settings.AUTOMATIC_WARNINGS_PER_HOUR = 2
    for number in range(3):
        last = port.file("north", attack="other", technical=f"203.0.113.{number}", warn_now="yes")
        port.sweep()
    last.refresh_from_db()
    assert (last.state, Release.objects.count()) == (Report.State.OPEN, 2)
    assert "2 warnings an hour" in last.hold_reason
    receipt = port.client("north").get(f"/reports/{last.submission.reference}/")
    assert last.hold_reason in receipt.content.decode()
    # Another member is heard.
    assert port.file("south", attack="other", technical="203.0.113.9", warn_now="yes")
    port.sweep()
    assert Release.objects.count() == 3


def test_one_member_cannot_storm_the_port_with_what_others_saw(port: Port, settings: Any) -> None:
    settings.AUTOMATIC_WARNINGS_PER_HOUR = 2
    values = [f"203.0.113.{number}" for number in range(4)]
    for value, slug in zip(values, ("north", "north", "south", "anchor"), strict=True):
        port.file(slug, attack="other", technical=value, warn_now="yes")
        port.sweep()
    echoes = []
    for value in values:
        echoes.append(port.file("rail", attack="other", technical=value))
        port.sweep()
    assert kinds(port).count("corroboration") == 2
    rows = Report.objects.filter(pk__in=[r.pk for r in echoes])
    held = [row for row in rows if "2 such warnings an hour" in row.hold_reason]
    assert len(held) == 2
    # The desk reads why. The reporter might only have guessed, and learns nothing.
    path = f"{held[0].submission.reference}/"
    assert "2 such warnings an hour" in port.client("desk").get(f"/desk/{path}").content.decode()
    assert "waits for the desk" not in port.client("rail").get(f"/reports/{path}").content.decode()
    # Where nothing would be told, nothing is held.
    for slug in ("south", "rail"):
        private = port.file(slug, attack="other", technical="203.0.113.77")
        port.sweep()
    private.refresh_from_db()
    assert private.hold_reason == ""
    # What north itself may set off is not used up by rail.
    port.file("north", attack="other", technical=values[2])
    port.sweep()
    assert kinds(port).count("corroboration") == 3
