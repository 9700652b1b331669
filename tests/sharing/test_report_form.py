"""Bad input at the form: a clear error, what was written is kept, nothing half-stored."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sharing.models import Report, StixObject, Submission
from tests.conftest import Port, form


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"technical": "x" * 5_000_000}, "at most 250000 characters"),
        ({"technical": "log\x00line"}, "Null characters are not allowed"),
        ({"technical": "one\ntwo\x1b[31m"}, "Line 2 holds a control character"),
        ({"narrative": "x" * 10_001}, "at most 10000 characters"),
        ({"narrative": "", "technical": ""}, "Write a sentence"),
        ({"time_zone": "Mars/Olympus"}, "is not a time zone"),
        ({"noticed_at": "yesterday"}, "Write date and time as"),
        ({"noticed_at": "2001-01-01T00:00"}, "more than ten years ago"),
        ({"attack": "weather"}, "Select a valid choice"),
        ({"attack": ""}, "Choose what comes closest"),
        ({"system_yard": "melted"}, "Select a valid choice"),
        ({"tlp": "PURPLE"}, "Select a valid choice"),
        ({"token": "not-a-uuid"}, "not sent yet"),
        ({"tlp": "RED", "warn_now": "yes"}, "exclude each other"),
    ],
)
def test_bad_input_is_refused_with_a_reason(port: Port, answers: dict[str, str], said: str) -> None:
    before = StixObject.objects.count()
    page = port.client("north").post("/report/", form(**answers))
    assert page.status_code == 422
    assert said.lower() in page.content.decode().lower()
    assert not Submission.objects.exists()
    assert not Report.objects.exists()
    assert StixObject.objects.count() == before


def test_what_is_not_known_is_left_out(port: Port) -> None:
    report = port.file("north", system_yard="", warn_now="yes")
    assert report.systems == {}
    port.sweep()
    report.refresh_from_db()
    assert report.state == Report.State.RELEASED
    for reader, place in (("north", "/reports"), ("desk", "/desk")):
        page = port.client(reader).get(f"{place}/{report.submission.reference}/")
        assert "not known yet" in page.content.decode()


def test_the_errors_lead_to_their_answers(port: Port) -> None:
    page = port.client("north").post("/report/", form(attack="", noticed_at="soon")).content
    for name in (b"attack", b"noticed_at"):
        assert b'<a href="#id_' + name + b'">' in page
        assert b'id="id_' + name + b'"' in page


def test_the_receipt_holds_the_reporters_words(port: Port) -> None:
    report = port.file("north", narrative="The <b>gate</b> stands open.", technical="44.1.2.3 in")
    page = port.client("north").get(f"/reports/{report.submission.reference}/").content.decode()
    assert "The &lt;b&gt;gate&lt;/b&gt; stands open." in page
    assert "44.1.2.3 in" in page
    assert page.count("<h1>") == 1


def test_full_width_digits_are_digits(port: Port) -> None:
    wide = {0x30 + digit: 0xFF10 + digit for digit in range(10)}
    written = f"{timezone.now() - timedelta(hours=1):%Y-%m-%dT%H:%M}"
    report = port.file("north", noticed_at=written.translate(wide))
    assert f"{report.noticed_at:%Y-%m-%dT%H:%M}" == written


def test_ticks_that_no_browser_sends_mean_nothing(port: Port) -> None:
    answers: dict[str, Any] = form(technical="44.1.2.3 44.1.2.4")
    answers["withheld"] = ["44.1.2.3", "a\x00b", "\x1b"]
    assert port.client("north").post("/report/", answers).status_code == 302
    assert Report.objects.get().withheld == ["44.1.2.3"]


def test_a_time_that_is_still_to_come_in_that_zone(port: Port) -> None:
    ahead = timezone.now() + timedelta(hours=9)
    page = port.client("north").post("/report/", form(noticed_at=f"{ahead:%Y-%m-%dT%H:%M}"))
    assert "still to come in UTC" in page.content.decode()
    report = port.file("north", noticed_at=f"{ahead:%Y-%m-%dT%H:%M}", time_zone="Asia/Tokyo")
    assert abs(report.noticed_at - timezone.now()) < timedelta(minutes=2)


def test_the_same_form_sent_twice_is_one_report(port: Port) -> None:
    answers = form(token=str(uuid.uuid4()))
    first = port.client("north").post("/report/", answers)
    second = port.client("north").post("/report/", answers)
    assert first.url == second.url
    assert Report.objects.count() == 1


def test_another_members_token_is_not_taken_over(port: Port) -> None:
    answers = form()
    first = port.client("north").post("/report/", answers)
    second = port.client("south").post("/report/", answers)
    assert (first.status_code, second.status_code) == (302, 302)
    assert first.url != second.url
    sources = Submission.objects.values_list("source__slug", flat=True)
    assert sorted(sources) == ["north", "south"]


def test_a_page_sent_again_with_other_words_is_a_second_report(port: Port) -> None:
    answers = form()
    first = port.client("north").post("/report/", answers)
    second = port.client("north").post(
        "/report/", {**answers, "narrative": "Two more printers."}, follow=True
    )
    assert first.url not in second.redirect_chain[0][0]
    assert "Sent as a new report" in second.content.decode()
    assert set(Report.objects.values_list("narrative", flat=True)) == {
        answers["narrative"],
        "Two more printers.",
    }


def test_the_longest_texts_are_taken_together(port: Port) -> None:
    report = port.file("north", technical="x " * 125_000, narrative="y" * 10_000)
    assert len(report.technical) + len(report.narrative) == 260_000


def test_what_the_reporter_keeps_back_is_released_to_nobody(port: Port) -> None:
    kept, told = "203.0.113.66", "198.51.100.7"
    page = port.client("north").post(
        "/report/understood/", {"technical": f"{kept} {told}", "withheld": [kept]}
    )
    assert page.content.decode().count("checked") == 1
    report = port.file("north", technical=f"{kept} {told}", withheld=kept, warn_now="yes")
    port.sweep()
    receipt = port.client("north").get(f"/reports/{report.submission.reference}/")
    assert "kept back" in receipt.content.decode()
    shared = "".join(
        StixObject.objects.filter(release=report.submission.release).values_list("body", flat=True)
    )
    assert told in shared
    assert kept not in shared
    assert kept in "".join(
        StixObject.objects.filter(submission=report.submission).values_list("body", flat=True)
    )


def test_the_preview_shows_what_was_understood(port: Port) -> None:
    page = port.client("north").post(
        "/report/understood/", {"technical": "203.0.113[.]66 10.0.0.1"}
    )
    text = page.content.decode()
    assert "203.0.113.66" in text
    assert "private or reserved" in text


def test_a_stranger_is_sent_to_log_in(client: object, db: None) -> None:
    for path in ("/report/", "/reports/", "/warnings/", "/desk/"):
        assert client.get(path).url.startswith("/accounts/login/")  # type: ignore[attr-defined]
