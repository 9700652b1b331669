"""The desk's side: what waits, what goes out, and what another analyst decided meanwhile."""

import hashlib
import re
from typing import Any

import orjson
import pytest
from django.conf import settings

from alerts import answers, live
from alerts.models import Answer
from crc.members.models import Organisation
from sharing.models import Release, Report, StixObject
from tests.conftest import HASH, Port

ANSWERS = {"group": "community", "tlp": "AMBER+STRICT", "title": "Ransomware at a port member"}


def shown(page: Any) -> dict[str, str]:
    """What the confirm page's form sends along."""
    found = re.search(r'name="shown" value="([0-9a-f]{64})"', page.content.decode())
    assert found
    return {"shown": found[1]}


def test_the_queue_shows_open_cases_first_with_their_severity(port: Port) -> None:
    waiting = port.file("north", attack="phishing", system_yard="", system_email="degraded")
    port.file("south", warn_now="yes")
    port.sweep()
    desk = port.client("desk")
    page = desk.get("/desk/").content.decode()
    lines = re.findall(r"<tr.*?<code>(R-[\w-]+)</code>.*?severity-(\w+)", page, re.DOTALL)
    assert [severity for _, severity in lines] == ["low", "critical"]
    assert lines[0][0] == waiting.submission.reference
    assert "1 report waits for a decision" in page
    assert waiting.submission.reference in desk.get("/desk/?show=open").content.decode()
    assert waiting.submission.reference not in desk.get("/desk/?show=released").content.decode()
    assert "Nothing is held" in desk.get("/desk/?show=held").content.decode()
    assert desk.get("/desk/?show=nonsense").status_code == 404
    part = desk.get("/desk/?show=open", headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert "HX-Request" in part["Vary"]


def test_the_desks_events_are_for_the_desk_alone(port: Port) -> None:
    desk = live.DESK_TOPIC.encode()
    assert live.events_for(port.users["desk"])[desk] == "desk"
    assert live.events_for(port.users["north"]) == {b"crc:inbox:north": "warning"}
    # At the desk's organisation, but no analyst.
    port.users["desk"].role = "member"
    assert desk not in live.events_for(port.users["desk"])


def test_the_desk_sees_what_goes_out_before_it_goes(port: Port) -> None:
    report = port.file("north", technical=f"{HASH} 203.0.113.66")
    case, desk = f"/desk/{report.submission.reference}/", port.client("desk")
    typed = {**ANSWERS, "advice": "Pull the plug.", "withhold": ["203.0.113.66"]}
    page = desk.post(f"{case}confirm/", typed)
    words = page.content.decode()
    # Cleared for it: all but the service providers, the trucker with its lower ceiling, the source.
    assert "3 members will be warned" in words
    assert "TLP:AMBER+STRICT" in words
    assert "Pull the plug." in words
    assert HASH in words
    assert "1 value left out" in words
    assert not Release.objects.exists()

    back = desk.post(f"{case}confirm/?change=yes", typed)
    assert back.status_code == 200
    assert "Pull the plug." in back.content.decode()

    # A fourth member joins before the desk has confirmed what it saw.
    Organisation.objects.create(slug="east", name="East Pier", port_role="terminal")
    again = desk.post(f"{case}release/", {**typed, **shown(page)})
    assert again.status_code == 409
    assert "Nothing has gone out" in again.content.decode()
    assert "4 members will be warned" in again.content.decode()
    assert desk.post(f"{case}release/", {**typed, **shown(again)}).status_code == 302
    assert port.warnings()[0].body == "Pull the plug."


def test_a_group_without_a_collection_for_the_marking_is_no_audience_for_it(port: Port) -> None:
    report = port.file("north", tlp="GREEN")
    case = f"/desk/{report.submission.reference}/"
    page = port.client("desk").post(
        f"{case}confirm/", {**ANSWERS, "group": "public", "tlp": "GREEN"}
    )
    assert page.status_code == 422
    assert "Public has no collection for TLP:GREEN" in page.content.decode()


@pytest.mark.parametrize("late", ["confirm", "release", "decline"])
@pytest.mark.parametrize("first", ["release", "decline"])
def test_who_decides_too_late_is_told_so(port: Port, first: str, late: str) -> None:
    report = port.file("north")
    case, desk = f"/desk/{report.submission.reference}/", port.client("desk")
    typed = {**ANSWERS, "reason": "A test.", "sure": "on"}
    desk.post(f"{case}{first}/", typed)
    page = desk.post(f"{case}{late}/", {**typed, "reason": "Another."}, follow=True)
    assert "Your decision was not carried out" in page.content.decode()
    report.refresh_from_db()
    assert report.state == (Report.State.RELEASED if first == "release" else Report.State.DECLINED)
    assert report.decision_reason in {"", "A test."}


def test_a_decline_is_final_for_the_reporters_button(port: Port) -> None:
    report = port.file("north")
    port.sweep()
    receipt = f"/reports/{report.submission.reference}/"
    reporter = port.client("north")
    assert "Warn the port now" in reporter.get(receipt).content.decode()
    port.client("desk").post(
        f"/desk/{report.submission.reference}/decline/",
        {"reason": "A test by your own IT.", "sure": "on"},
    )
    case = port.client("desk").get(f"/desk/{report.submission.reference}/").content.decode()
    assert "Others see nothing of this" in case
    assert "Warn the port now" not in reporter.get(receipt).content.decode()
    late = reporter.post(f"{receipt}warn/", {"sure": "yes"}, follow=True).content.decode()
    assert "The port was not warned" in late
    assert "A test by your own IT." in late
    port.sweep()
    report.refresh_from_db()
    assert report.state == Report.State.DECLINED
    assert not port.warnings()


def test_a_case_of_many_values_stays_short_and_can_be_had_whole(port: Port) -> None:
    values = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(60)]
    report = port.file("north", technical="\n".join(values))
    case, desk = f"/desk/{report.submission.reference}/", port.client("desk")
    page = desk.get(case).content.decode()
    assert page.count('<span class="stixtype">') == 100  # 50 of each graph
    assert page.count('name="withhold"') == 50
    for name in ("private", "released"):
        file = desk.get(f"{case}{name}.json")
        objects = orjson.loads(file.content)["objects"]
        assert sum(obj["type"] == "indicator" for obj in objects) == 60
        assert f"Download all {len(objects)} objects" in page
        assert port.client("north").get(f"{case}{name}.json").status_code == 404

    # What is not listed can be left out all the same; a slip is no silent "no".
    slip = desk.post(f"{case}confirm/", {**ANSWERS, "withhold_others": f"{values[55]}x"})
    assert "Not among what was found" in slip.content.decode()
    left_out = {"withhold": [values[0]], "withhold_others": values[55]}
    desk.post(f"{case}release/", {**ANSWERS, **left_out})
    bodies = StixObject.objects.filter(release__submission=report.submission)
    shared = "".join(bodies.values_list("body", flat=True))
    assert [value for value in values if value not in shared] == [values[0], values[55]]
    assert "Download all" in desk.get(case).content.decode()


def test_the_case_of_the_most_values_stays_a_page(port: Port) -> None:
    values = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(501)]
    report = port.file("north", technical="\n".join(values))
    page = port.client("desk").get(f"/desk/{report.submission.reference}/")
    assert page.context["shared"].total > 1_000
    # An incident names all that belongs to it: the page cuts that off, too.
    assert "the download has it whole" in page.content.decode()
    assert len(page.content) < 300_000


def test_a_red_case_has_no_release_to_download(port: Port) -> None:
    report = port.file("north", tlp="RED")
    case = f"/desk/{report.submission.reference}/"
    assert port.client("desk").get(f"{case}private.json").status_code == 200
    assert port.client("desk").get(f"{case}released.json").status_code == 404


def test_an_answer_is_changed_from_what_it_was(port: Port) -> None:
    port.file("north", warn_now="yes")
    port.sweep()
    [warning] = port.warnings()
    page, south = f"/warnings/{warning.pk}/", port.client("south")
    south.post(page, {"choice": "affected", "note": "The gate is slow"})
    form = south.get(page)
    assert form.context["form"]["choice"].value() == "affected"
    assert form.context["form"]["note"].value() == "The gate is slow"
    assert "by Officer south (duty@south.example)" in form.content.decode()

    # A colleague follows the link in the mail: who and what else was said, the mail did not know.
    delivery = warning.deliveries.get(organisation__slug="south", channel="email")
    link = answers.link(delivery, Answer.Choice.CONTAINED).removeprefix(settings.BASE_URL)
    outside = port.client("outsider").get(link)
    assert "has answered already: <strong>affected</strong>" in outside.content.decode()
    assert "The gate is slow" not in outside.content.decode()
    assert outside.context["form"]["choice"].value() == "contained"
    port.client("outsider").post(link, {"choice": "contained"})
    assert "the link in the mail to duty@south.example" in south.get(page).content.decode()
