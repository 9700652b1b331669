"""A report full of identifying words, and a look into everything that leaves the hub."""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.utils import timezone

from alerts import audience, escalation, fanout
from alerts.channels import signing
from alerts.models import Alert, Asset, Delivery, Endpoint, Escalation
from crc.members.models import Contact
from sharing.models import ListedValue, Release, Report
from sharing.release import NotReleasable, check_words
from sharing.stix.extract import IndicatorKind
from tests.conftest import HASH, Port, Receiver

WORDS = (
    "North Quay",
    "northquay",
    "NQ-YARD",
    "INC-88231",
    "Morikawa",
    "+81-52",
    "10.20.30.40",
    "duty@north",
)


def test_no_identifying_word_reaches_anybody_else(
    port: Port, receiver: Receiver, taxii: Callable[..., Any], settings: Any
) -> None:
    settings.STORM_MINUTES = 0  # the second warning of the case is looked at too
    north = port.organisations["north"]
    north.telltales = ["northquay", "NQ-YARD"]
    north.save()
    Contact.objects.create(
        organisation=north, email="k.morikawa@northquay.example", name="K. Morikawa"
    )
    Endpoint.objects.create(
        organisation=port.organisations["anchor"],
        address=receiver.url,
        secret=signing.new_secret(),
        verified_at=timezone.now(),
    )
    noticed = timezone.now() - timedelta(hours=3, minutes=17)
    port.client("south")  # a session exists before the report does
    report = port.file(
        "north",
        warn_now="yes",
        noticed_at=f"{noticed:%Y-%m-%dT%H:%M}",
        narrative="North Quay Terminal, ticket INC-88231: K. Morikawa (+81-52-000-0000) saw it on "
        "NQ-YARD-07.northquay.example.",
        technical=f"NQ-YARD-07.northquay.example 10.20.30.40 k.morikawa@northquay.example {HASH}\n"
        "hxxps://dark-tide[.]example/pay?victim=northquay 203.0.113[.]66",
    )
    port.file("rail", warn_now="no", system_yard="", system_rail="down")
    port.sweep()
    report.refresh_from_db()
    assert report.state == Report.State.RELEASED, report.hold_reason

    leaving = everything(port, receiver, taxii)
    assert HASH in leaving["taxii"]
    assert "203.0.113.66" in leaving["lists"]
    assert len(receiver.got) == 2
    own_identity = north.identity_id
    for where, text in leaving.items():
        for word in (*WORDS, own_identity, report.submission.reference, f"{noticed:%H:%M}"):
            if word == f"{noticed:%H:%M}":
                assert f"T{word}" not in text, f"the minute is in {where}"
                continue
            assert word.lower() not in text.lower(), f"{word} is in {where}"


def everything(port: Port, receiver: Receiver, ask: Callable[..., Any]) -> dict[str, str]:
    """All that another member, its tools and its mailbox can see."""
    key = port.key("south", "taxii:read", "lists:read")
    taxii = [ask(key, "/taxii2/").text, ask(key, "/crc/collections/").text]
    for collection in ask(key, "/crc/collections/").json["collections"]:
        base = f"/crc/collections/{collection['id']}"
        taxii += [
            ask(key, f"{base}/{part}/?match[version]=all").text for part in ("objects", "manifest")
        ]
    south = port.client("south")
    lists = [
        south.get(
            f"/lists/{kind.value}.txt", headers={"authorization": f"Bearer {key}"}
        ).content.decode()
        for kind in IndicatorKind
        if kind is not IndicatorKind.CVE
    ]
    pages = [south.get(path).content.decode() for path in ("/warnings/", "/reports/", "/report/")]
    pages += [south.get(f"/warnings/{alert.pk}/").content.decode() for alert in port.warnings()]
    return {
        "taxii": "".join(taxii),
        "lists": "".join(lists),
        "pages": "".join(pages),
        "mails": "".join(
            f"{m.to} {m.subject} {m.body} {m.alternatives}"
            for m in mail.outbox
            if not m.to[0].endswith(("northquay.example", "north.example"))
        ),
        "webhooks": "".join(f"{head}{body.decode()}" for head, body in receiver.got),
    }


def test_a_member_cannot_open_what_is_not_its_own(port: Port) -> None:
    report = port.file("north")
    reference = report.submission.reference
    south = port.client("south")
    for path in (
        f"/reports/{reference}/",
        f"/desk/{reference}/",
        "/desk/",
        "/reports/R-0000-0000/",
        "/admin/login/x",
    ):
        assert south.get(path).status_code in {302, 404}, path
    assert south.post(f"/reports/{reference}/warn/").status_code == 404
    assert south.get(f"/reports/{reference}/").status_code == 404


@pytest.fixture
def known(port: Port, settings: Any) -> Port:
    """The port, of which the hub knows a little more."""
    settings.BASE_URL = "https://hub.port.example"
    for slug, words in (("north", ["MSC"]), ("anchor", ["198.51.100.32/28"])):
        port.organisations[slug].telltales = words
        port.organisations[slug].save()
    return port


def confirm(port: Port, slug: str, *values: str) -> None:
    """The member claims, the desk confirms."""
    port.client(slug).post("/warnings/assets/", {"lines": "\n".join(values)})
    for asset in Asset.objects.filter(organisation=port.organisations[slug], confirmed_at=None):
        port.client("desk").post(f"/desk/assets/{asset.pk}/", {"decision": "confirm"})


def test_what_a_member_owns_gives_it_away_as_its_name_does(port: Port) -> None:
    confirm(port, "north", "nq-berths.example", "198.51.100.32/28")
    own = ("gate.nq-berths.example", "http://198.51.100.40/panel", "198.51.100.40")
    report = port.file("north", warn_now="yes", technical=f"{' '.join(own)} 203.0.113.66")
    port.sweep()
    report.refresh_from_db()
    assert report.state == Report.State.RELEASED, report.hold_reason
    assert released_values() == {"203.0.113.66"}
    disguised = port.file("north", warn_now="yes", technical="nq-berths.evil.com 203.0.113.67")
    port.sweep()
    disguised.refresh_from_db()
    assert disguised.state == Report.State.OPEN
    assert "it may name the reporter" in disguised.hold_reason


@pytest.mark.parametrize(
    "words",
    ["Seen at nq-berths.example", "Block 198.51.100[.]40", "All of 198.51.100.32/29 is hit"],
)
def test_the_desk_is_told_when_its_own_words_say_what_the_member_owns(
    port: Port, words: str
) -> None:
    confirm(port, "north", "nq-berths.example", "198.51.100.32/28")
    report = port.file("north", warn_now="yes", technical="203.0.113.66")
    first = {"group": "community", "tlp": "AMBER+STRICT", "title": words}
    page = port.client("desk").post(f"/desk/{report.submission.reference}/release/", first)
    assert page.status_code == 422
    assert "The text names the member" in page.content.decode()
    released = port.file("north", warn_now="yes", technical="203.0.113.67")
    port.sweep()
    made = Release.objects.get(submission=released.submission)
    with pytest.raises(NotReleasable, match="names the member"):
        check_words(made, words)


def test_a_shared_mailbox_is_not_told_by_silence_who_reported(port: Port) -> None:
    soc = "soc@watchers.example"
    for slug in ("north", "south", "rail"):
        Contact.objects.create(organisation=port.organisations[slug], email=soc, name="SOC")
    counts = []
    for slug in ("north", "anchor"):
        before = len(mail.outbox)
        port.file(slug, warn_now="yes", attack="probe", technical=f"203.0.113.{len(counts) + 66}")
        port.sweep()
        counts.append([m.to for m in mail.outbox[before:]].count([soc]))
        assert [f"duty@{slug}.example"] not in [m.to for m in mail.outbox[before:]]
    assert counts == [3, 3]


def test_nor_is_it_told_by_whose_ladder_is_climbed(port: Port) -> None:
    soc, members = "soc@watchers.example", ("north", "south", "rail")
    for slug in members:
        Contact.objects.create(organisation=port.organisations[slug], email=soc, name="SOC")
    with time_machine.travel(timezone.now(), tick=False) as clock:
        port.file("north", warn_now="yes")
        port.file("south")  # the second story makes a source of one who was called for the first
        port.sweep()
        mail.outbox.clear()
        clock.shift(timedelta(minutes=5))
        port.sweep()
        called = Delivery.objects.filter(step=1, address=soc)
        assert called.exists()
        for alert in {row.alert for row in called}:
            of_this = called.filter(alert=alert)
            assert {row.organisation.slug for row in of_this} == {*members}
        told = [m.to[0] for m in mail.outbox]
        assert "duty@north.example" not in told
        while Escalation.objects.filter(state__in=Escalation.OPEN).exists():
            clock.shift(timedelta(minutes=30))
            port.sweep()
    north = port.organisations["north"]
    # What has ended there is no unanswered call to the desk.
    assert Escalation.objects.filter(organisation=north, state="ended").exists()
    assert north not in [row.organisation for row in escalation.unanswered(100)]
    assert not Escalation.objects.filter(organisation=north, told=True).exists()


def test_what_another_member_owns_goes_to_nobodys_firewall_and_its_owner_is_told(
    port: Port,
) -> None:
    confirm(port, "south", "198.51.100.0/24", "lighter.example")
    values = "198.51.100.77 https://pay.lighter.example/x"
    report = port.file("north", warn_now="yes", technical=f"{values} 203.0.113.66")
    port.sweep()
    report.refresh_from_db()
    assert report.state == Report.State.RELEASED
    assert released_values() == {"203.0.113.66"}
    told = {m.to[0]: m.body for m in mail.outbox}
    assert "198.51.100.0/24, lighter.example" in told["duty@south.example"]
    assert "198.51.100" not in told["duty@rail.example"]
    assert "lighter" not in told["duty@rail.example"]


@pytest.mark.parametrize(
    "value",
    [
        "northquayterminal.net",
        "north-quay.evil.com",
        "https://evil.com/?victim=North%20Quay",
        f"https://evil.com/{base64.b64encode(b'duty@north.example').decode()}",
        "https://evil.com/ｎｏｒｔｈｑｕａｙ",
        "msc.evil.com",
    ],
)
def test_what_may_name_the_reporter_waits_for_the_desk(known: Port, value: str) -> None:
    report = known.file("north", warn_now="yes", technical=f"{value} 203.0.113.66")
    known.sweep()
    report.refresh_from_db()
    assert report.state == Report.State.OPEN
    assert "it may name the reporter" in report.hold_reason
    assert not known.warnings()
    # The desk sees the value with its reason. What it does not confirm stays private.
    desk, address = known.client("desk"), f"/desk/{report.submission.reference}/"
    [told] = desk.get(address).context["release_form"].fields["confirmed"].choices
    assert "it may name the reporter" in told[1]
    desk.post(f"{address}release/", {"group": "community", "tlp": "GREEN", "title": "Look out"})
    assert released_values() == {"203.0.113.66"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("blue-anchor-line.evil.com", "it may name a member of the port"),
        ("mail.anchor.example", "a member's own"),
        ("duty@south.example", "a member's own"),
        ("198.51.100.40", "a member's own"),
        ("https://hub.port.example/login", "the hub's own"),
        ("port.example", "the hub's own"),
        ("8.8.8.8", "a public DNS service"),
        ("login.microsoft.com", "a site that the port's work needs"),
    ],
)
def test_what_would_hurt_somebody_stays_behind(known: Port, value: str, reason: str) -> None:
    report = known.file("north", warn_now="yes", technical=f"{value} 203.0.113.66")
    known.sweep()
    report.refresh_from_db()
    assert report.state == Report.State.RELEASED
    assert released_values() == {"203.0.113.66"}
    reference = report.submission.reference
    for slug, page in (("north", f"/reports/{reference}/"), ("desk", f"/desk/{reference}/")):
        assert known.client(slug).get(page).context["stayed_behind"][value].endswith(reason)
    # With nothing else to look for, the desk looks first.
    alone = known.file("south", warn_now="yes", technical=value.replace("south", "north"))
    known.sweep()
    alone.refresh_from_db()
    assert alone.state == Report.State.OPEN
    assert reason in alone.hold_reason


def test_the_desk_may_confirm_what_a_machine_may_not_release(port: Port) -> None:
    report = port.file("north", technical="8.8.8.8 north-quay.evil.com", tlp="GREEN")
    answers = {"group": "community", "tlp": "GREEN", "title": "Look out", "confirmed": "8.8.8.8"}
    port.client("desk").post(f"/desk/{report.submission.reference}/release/", answers)
    assert released_values() == {"8.8.8.8"}


def test_the_desk_is_told_when_its_own_words_name_the_member(port: Port) -> None:
    report = port.file("north")
    answers = {"group": "community", "tlp": "AMBER+STRICT", "title": "At NorthQuay"}
    page = port.client("desk").post(f"/desk/{report.submission.reference}/release/", answers)
    assert page.status_code == 422
    assert "The text names the member" in page.content.decode()
    assert released_values() == set()


def released_values() -> set[str]:
    """What stands in the lists that the hub has released."""
    rows = ListedValue.objects.filter(object__release__isnull=False)
    return set(rows.values_list("value", flat=True))


def test_what_is_no_warning_of_a_report_leads_to_nobodys(port: Port) -> None:
    secret = port.file("north", attack="phishing", tlp="RED", technical=f"sha256 {HASH}")
    port.sweep()
    south = port.client("south")
    test = Alert.objects.create(
        only=port.organisations["south"],
        kind=Alert.Kind.TEST,
        severity="low",
        tlp="GREEN",
        title="t",
        body="b",
    )
    fanout.deliver(test, audience.addresses_of(port.organisations["south"]))
    assert secret.state == Report.State.OPEN
    assert south.get(f"/warnings/{test.pk}/report/").status_code == 404
    page = south.get(f"/warnings/{test.pk}/")
    assert page.status_code == 200
    assert HASH not in page.content.decode()
