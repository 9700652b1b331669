"""Who gets what, and when, told as stories: floor, topics, assets, quiet hours, digests, storms."""

import re
import threading
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
import time_machine
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from alerts import answers, fanout, folding, subscriptions
from alerts.audience import Address
from alerts.channels import signing
from alerts.coverage import coverage, summaries
from alerts.models import Alert, Asset, Delivery, Endpoint, Subscription
from crc.members import audit
from crc.members.models import AuditEntry, Contact, User
from tests.conftest import Port, Receiver

State = Delivery.State
# A Wednesday at noon, UTC.
NOON = datetime(2026, 11, 25, 12, 0, 30, tzinfo=ZoneInfo("UTC"))
CHOICES = {"floor": "info", "digest": "now", "digest_hour": "8", "time_zone": "UTC"}


def choose(port: Port, slug: str, place: str = "mine", **chosen: Any) -> None:
    """As a person does on the page."""
    page = port.client(slug).post(f"/warnings/wishes/{place}/", {**CHOICES, **chosen})
    assert page.status_code == 302, page.context["form"].errors


def own(port: Port, slug: str, value: str) -> Asset:
    """A member claims, the desk confirms."""
    port.client(slug).post("/warnings/assets/", {"lines": value})
    asset = Asset.objects.get(organisation=port.organisations[slug], value=value)
    port.client("desk").post(f"/desk/assets/{asset.pk}/", {"decision": "confirm"})
    return asset


def mailed(to: str = "south") -> list[Any]:
    """The mails that a member's duty officer has got, oldest first."""
    return [message for message in mail.outbox if message.to == [f"duty@{to}.example"]]


def row(port: Port, to: str = "south", alert: Alert | None = None) -> Delivery:
    """The mail's row of the newest warning, or of this one."""
    alert = alert or port.warnings()[-1]
    return Delivery.objects.get(alert=alert, organisation=port.organisations[to], channel="email")


def again(
    alert: Alert, title: str, *, severity: str = "medium", kind: str = "corroboration"
) -> Alert:
    """A further warning of the same case."""
    made = Alert.objects.create(
        release=alert.release,
        group=alert.group,
        kind=kind,
        severity=severity,
        tlp=alert.tlp,
        title=title,
        body="b",
        attack=alert.attack,
        systems=alert.systems,
    )
    fanout.deliver(
        made,
        [
            Address(row.organisation_id, row.channel, row.address)
            for row in alert.deliveries.filter(step=0)
        ],
    )
    return made


PHISHING = {
    "attack": "phishing",
    "system_email": "watching",
    "technical": "",
    "system_yard": "",
    "warn_now": "yes",
}
OVERLOAD = {
    "attack": "denial",
    "system_website": "down",
    "technical": "",
    "system_yard": "",
    "warn_now": "yes",
}


def test_who_chose_nothing_gets_everything_at_once(port: Port) -> None:
    port.file("north", **PHISHING)
    port.sweep()
    assert len(mailed()) == 1
    page = port.client("south").get("/warnings/wishes/").content.decode()
    assert "You get everything, at once." in page


def test_below_the_floor_only_the_inbox_has_it(port: Port) -> None:
    choose(port, "south", floor="medium")
    port.file("north", **PHISHING)  # low
    port.sweep()
    assert mailed() == []
    assert len(mailed("rail")) == 1
    assert "Phishing" in port.client("south").get("/warnings/").content.decode()
    port.file("rail", **OVERLOAD)  # medium
    port.sweep()
    assert len(mailed()) == 1


@pytest.mark.parametrize(
    ("chosen", "attack", "told"),
    [
        ({"attacks": ["phishing"]}, PHISHING, True),
        ({"attacks": ["phishing"]}, OVERLOAD, False),
        ({"systems": ["email", "gate"]}, PHISHING, True),
        ({"systems": ["email", "gate"]}, OVERLOAD, False),
        # A crane concerns a terminal, not a trucker; a website everybody.
        ({"own_role_only": "on"}, {**OVERLOAD, "system_crane": "down"}, True),
        ({"own_role_only": "on"}, {**PHISHING, "system_email": "", "system_crane": "down"}, False),
    ],
)
def test_topics(
    port: Port, settings: Any, chosen: dict[str, Any], attack: dict[str, str], told: bool
) -> None:
    settings.SMALLEST_CROWD = 1
    choose(port, "kestrel", **chosen)
    port.file("north", **attack)
    port.sweep()
    assert bool(mailed("kestrel")) == told
    assert len(mailed("south")) == 1


@pytest.mark.parametrize(
    "chosen",
    [
        {"own_assets_only": "on"},
        {"attacks": ["phishing"]},
        {"systems": ["email"]},
        {"own_role_only": "on"},
        {"floor": "critical"},
    ],
)
def test_what_is_critical_passes_every_filter(port: Port, chosen: dict[str, Any]) -> None:
    choose(port, "kestrel", **chosen)
    hit = {**OVERLOAD, "attack": "ransomware", "system_website": "", "system_yard": "down"}
    port.file("north", **hit)
    port.sweep()
    assert {warning.severity for warning in port.warnings()} == {"critical"}
    assert len(mailed("kestrel")) == 1


def test_only_critical_is_said_in_words(port: Port) -> None:
    south = port.client("south")
    said = south.post("/warnings/wishes/mine/preview/", {**CHOICES, "floor": "critical"})
    assert (
        "You get only what is critical or touches what is yours, at once." in said.content.decode()
    )
    choose(port, "south", floor="critical")
    for page in ("/warnings/wishes/", "/warnings/wishes/mine/"):
        assert "only what is critical" in south.get(page).content.decode()


def test_a_system_that_is_not_said_neither_filters_nor_is_known(port: Port) -> None:
    """Only one railway: its system is kept out of the release, and so of the warning's topics."""
    choose(port, "south", systems=["email"])
    port.file("rail", attack="phishing", system_yard="", system_rail="down", warn_now="yes")
    port.sweep()
    [warning] = port.warnings()
    assert (warning.attack, warning.systems) == ("phishing", [])
    assert len(mailed()) == 1


def test_what_touches_a_confirmed_asset_breaks_through_and_only_its_owner_learns(
    port: Port,
) -> None:
    own(port, "south", "198.51.100.0/24")
    own(port, "rail", "rail.example")
    choose(port, "south", floor="critical", quiet_from="00:00", quiet_until="23:59", digest="daily")
    port.file("north", **{**PHISHING, "technical": "login from 198.51.100.77 203.0.113.66"})
    port.sweep()
    [message] = mailed()
    assert "This touches 198.51.100.0/24, which is yours." in message.body
    for page in ("/warnings/", f"/warnings/{port.warnings()[0].pk}/"):
        assert "198.51.100.0/24, which is yours" in port.client("south").get(page).content.decode()
        assert "which is yours" not in port.client("rail").get(page).content.decode()
    others = Delivery.objects.exclude(organisation=port.organisations["south"])
    assert set(others.values_list("touches", flat=True)) == {""}
    assert all("which is yours" not in m.body for m in mail.outbox if m.to != message.to)


def test_own_assets_only_and_a_claim_nobody_confirmed_counts_for_nothing(port: Port) -> None:
    choose(port, "south", own_assets_only="on")
    port.client("south").post("/warnings/assets/", {"lines": "shop.example"})
    lure = {**PHISHING, "technical": "http://pay.shop.example/invoice 203.0.113.66"}
    port.file("north", **lure)
    port.sweep()
    assert mailed() == []
    port.client("desk").post(f"/desk/assets/{Asset.objects.get().pk}/", {"decision": "confirm"})
    port.file("anchor", **lure)
    port.sweep()
    assert any("shop.example" in message.body for message in mailed())


def test_what_is_kept_back_touches_nobody(port: Port) -> None:
    own(port, "south", "198.51.100.0/24")
    port.file("north", **{**PHISHING, "technical": "198.51.100.77", "withheld": "198.51.100.77"})
    port.sweep()
    assert not Delivery.objects.exclude(touches="").exists()


def test_in_quiet_hours_only_critical_comes_through_and_the_rest_comes_as_one(port: Port) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        choose(
            port, "south", quiet_from="22:00", quiet_until="06:00", time_zone="Asia/Tokyo"
        )  # from 13:00 to 21:00 UTC
        clock.shift(timedelta(hours=2))
        port.file("north", **PHISHING)
        port.file("rail", **OVERLOAD)
        port.sweep()
        assert mailed() == []
        page = f"/desk/warnings/{port.warnings()[0].pk}/south/"
        seen = port.client("desk").get(page).content.decode()
        assert "Waiting, until 2026-11-25 21:00: quiet hours" in seen
        port.file("anchor", warn_now="yes")  # ransomware on the yard: critical
        port.sweep()
        answered = Alert.objects.get(severity="critical")
        # Else its ladder would be climbed meanwhile.
        answers.record(answered, port.organisations["south"], "seen", by=port.users["south"])
        assert [m.subject.startswith("[TLP:GREEN] CRITICAL") for m in mailed()] == [True]
        clock.move_to(datetime(2026, 11, 25, 20, 59, tzinfo=ZoneInfo("UTC")))
        port.sweep()
        assert len(mailed()) == 1
        clock.move_to(datetime(2026, 11, 25, 21, 0, 1, tzinfo=ZoneInfo("UTC")))
        port.sweep()
        assert len(mailed()) == 2
        assert "and 1 more" in mailed()[1].subject


@pytest.mark.parametrize(
    ("chosen", "before", "after"),
    [
        ({"digest": "hourly"}, timedelta(minutes=59), timedelta(hours=1)),
        (
            {"digest": "daily", "digest_hour": "7", "time_zone": "Europe/Amsterdam"},
            timedelta(hours=17, minutes=59),
            timedelta(hours=18),
        ),
    ],
)
def test_a_digest_is_one_message_once(
    port: Port, chosen: dict[str, str], before: timedelta, after: timedelta
) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        choose(port, "south", **chosen)
        port.file("north", **PHISHING)
        port.sweep()
        clock.shift(timedelta(seconds=1))
        port.file("rail", **OVERLOAD)
        port.sweep()
        clock.move_to(NOON.replace(second=0) + before)
        port.sweep()
        assert mailed() == []
        clock.move_to(NOON.replace(second=0) + after)
        for _ in range(3):
            port.sweep()
        [message] = mailed()
        newest, older = [*reversed(port.warnings())][:2]
        assert newest.title in message.subject
        assert "and 1 more" in message.subject
        assert older.title in message.body
        html = message.alternatives[0][0]
        assert f"/warnings/{older.pk}/" in html
        assert row(port, alert=older).folded_into == row(port, alert=newest)
        # The link beside the older one answers the older one.
        link = re.search(r"<li.*?(/answer/[^\"]+)\".*?</li>", html, re.DOTALL)
        assert link
        port.client("outsider").post(link[1], {"choice": "not-affected"})
        assert [answer.organisation.slug for answer in older.answers.all()] == ["south"]
        port.file("anchor", warn_now="yes")  # critical waits for no digest
        port.sweep()
        assert len(mailed()) == 2


def test_further_warnings_of_one_case_come_together_and_the_desk_sees_it(
    port: Port, receiver: Receiver
) -> None:
    south = port.organisations["south"]
    Endpoint.objects.create(
        organisation=south,
        address=receiver.url,
        secret=signing.new_secret(),
        verified_at=timezone.now(),
    )
    with time_machine.travel(NOON, tick=False) as clock:
        port.file("north", **OVERLOAD)
        port.sweep()
        [first] = port.warnings()
        for minute in range(1, 5):
            clock.shift(timedelta(minutes=1))
            again(first, f"Update {minute}")
            port.sweep()
        assert len(mailed()) == len(receiver.got) == 1
        clock.shift(timedelta(minutes=6))
        port.sweep()
        port.sweep()
        assert len(mailed()) == len(receiver.got) == 2
        assert "Update 4 and 3 more" in mailed()[1].subject
        data = orjson.loads(receiver.got[1][1])["data"]
        assert data["title"] == "Update 4"
        assert [one["title"] for one in data["more"]] == ["Update 3", "Update 2", "Update 1"]
        # The message opened the next window.
        clock.shift(timedelta(minutes=5))
        again(first, "Update 5")
        port.sweep()
        assert len(mailed()) == 2
        folded = Alert.objects.get(title="Update 2")
        page = port.client("desk").get(f"/desk/warnings/{folded.pk}/").content.decode()
        assert "folded together" in page
        assert "Update 4" in page
        assert "the one about" in page
        line = coverage(folded, of=south).lines[0]
        assert line.reached_after == timedelta(minutes=8)
        [found] = summaries(Alert.objects.filter(pk=folded.pk))
        assert (found.warned, found.reached) == (5, 5)
        # Whoever knows the whole address can write there.
        of_south = port.client("desk").get(f"/desk/warnings/{port.warnings()[-1].pk}/south/")
        assert "12:20: this case was told there just before" in of_south.content.decode()
        of_south = port.client("desk").get(f"/desk/warnings/{folded.pk}/south/")
        assert receiver.url not in of_south.content.decode()
        waits = port.client("desk").get(f"/desk/warnings/{port.warnings()[-1].pk}/")
        assert "for one message about this case" in waits.content.decode()
        inbox = Delivery.objects.filter(organisation=south, channel="inbox")
        assert set(inbox.values_list("state", flat=True)) == {State.SENT}


def test_a_first_critical_warning_waits_for_no_window(port: Port) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        port.file("north", **OVERLOAD)
        port.sweep()
        [first] = port.warnings()
        clock.shift(timedelta(minutes=1))
        again(first, "It spreads", severity="critical")
        port.sweep()
        assert len(mailed()) == 2
        clock.shift(timedelta(minutes=1))
        again(first, "It still spreads", severity="critical")
        port.sweep()
        assert len(mailed()) == 2


def test_what_is_graver_than_all_before_waits_for_no_window(port: Port) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        port.file("north", **PHISHING)  # low
        port.sweep()
        [first] = port.warnings()
        for severity, mails in (("low", 1), ("high", 2), ("medium", 2), ("high", 2)):
            clock.shift(timedelta(minutes=1))
            again(first, f"Now {severity}", severity=severity)
            port.sweep()
            assert len(mailed()) == mails


def test_a_call_of_the_ladder_opens_no_window(port: Port) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        port.file("anchor", warn_now="yes")
        port.sweep()
        first = Alert.objects.get(severity="critical")
        clock.shift(timedelta(minutes=6))
        port.sweep()
        assert "2nd call" in mailed()[-1].subject
        clock.shift(timedelta(minutes=5))
        again(first, "It is over")
        port.sweep()
        assert "It is over" in mailed()[-1].subject


def test_own_reports_stay_silent_whatever_is_chosen(port: Port) -> None:
    own(port, "north", "198.51.100.0/24")
    port.file("north", **{**PHISHING, "technical": "198.51.100.77"})
    port.sweep()
    assert mailed("north") == []
    assert not Delivery.objects.filter(organisation=port.organisations["north"]).exists()


def test_two_sweeps_at_once_fold_once(busy_port: Port) -> None:
    port = busy_port
    choose(port, "south", digest="hourly")
    port.file("north", **PHISHING)
    port.sweep()
    [first] = port.warnings()
    for number in range(20):
        again(first, f"Update {number}")
    Delivery.objects.filter(bundle="digest").update(next_try_at=timezone.now())
    start = threading.Barrier(4)
    folded: list[int] = []

    def sweep() -> None:
        start.wait()
        folded.append(folding.fold())
        connection.close()

    threads = [threading.Thread(target=sweep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(folded) == [0, 0, 0, 21]
    rows = Delivery.objects.filter(organisation=port.organisations["south"], channel="email")
    assert rows.filter(state=State.DUE).count() == 1
    assert rows.filter(state=State.FOLDED).count() == 20


def test_who_is_no_longer_subscribed_is_skipped_and_what_is_left_still_goes(port: Port) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        choose(port, "south", digest="hourly")
        port.file("north", **OVERLOAD)
        port.sweep()
        clock.shift(timedelta(seconds=1))
        port.file("rail", **PHISHING)
        port.sweep()
        clock.shift(timedelta(hours=1))
        folding.fold()
        choose(port, "south", attacks=["denial"], digest="hourly")
        port.sweep()
        assert row(port).reason == "no longer subscribed"
        port.sweep()
        [message] = mailed()
        assert "Overload" in message.subject


def test_whom_a_message_left_out_was_not_reached_by_it(port: Port) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        choose(port, "south", digest="hourly")
        port.file("north", **OVERLOAD)
        port.sweep()
        clock.shift(timedelta(seconds=1))
        port.file("rail", **PHISHING)
        port.sweep()
        clock.shift(timedelta(hours=1))
        folding.fold()
        choose(port, "south", attacks=["phishing"], digest="hourly")
        port.sweep()
        [message] = mailed()
        assert "Overload" not in message.body
        [older, newest] = [
            coverage(alert, of=port.organisations["south"]).lines[0] for alert in port.warnings()
        ]
        assert (older.reached, older.together) == (False, [])
        assert newest.reached


def test_a_part_whose_marking_keeps_it_in_the_hub_is_only_announced(port: Port) -> None:
    choose(port, "south", digest="hourly")
    port.file("north", **PHISHING)
    port.sweep()
    [first] = port.warnings()
    secret = again(first, "Very secret words")
    Alert.objects.filter(pk=secret.pk).update(tlp="AMBER", raised_at=first.raised_at)
    Delivery.objects.filter(alert=secret).update(raised_at=first.raised_at - timedelta(seconds=1))
    Delivery.objects.filter(bundle="digest").update(next_try_at=timezone.now())
    port.sweep()
    [message] = mailed()
    assert message.subject.startswith("[TLP:AMBER]")
    assert "Very secret words" not in message.body + message.alternatives[0][0]
    assert "A TLP:AMBER warning waits for you" in message.body


def test_a_contact_is_the_admins_to_choose_for_and_nobody_elses(port: Port) -> None:
    south = port.organisations["south"]
    contact = Contact.objects.create(organisation=south, email="Night@south.example")
    hook = Endpoint.objects.create(
        organisation=south, address="https://h.example/T0P", secret="x", verified_at=timezone.now()
    )
    choose(port, "south", f"contact-{contact.pk}", floor="high")
    choose(port, "south", f"endpoint-{hook.pk}", digest="daily")
    assert set(Subscription.objects.values_list("channel", "address")) == {
        ("email", "night@south.example"),
        ("webhook", "https://h.example/T0P"),
    }
    Endpoint.objects.create(
        organisation=south, channel="sms", address="+819012345678", label="Night phone"
    )
    page = port.client("south").get("/warnings/wishes/").content.decode()
    assert "T0P" not in page
    headings = [" ".join(strip_tags(h2).split()) for h2 in re.findall("<h2.*?</h2>", page)]
    assert headings[2:] == [
        "h.example/… Webhook",
        "Night phone Text message (SMS) · +81 … 5678 Not confirmed yet",
    ]
    assert port.client("rail").get(f"/warnings/wishes/contact-{contact.pk}/").status_code == 404
    User.objects.filter(email="duty@south.example").update(role="member")
    assert port.client("south").get(f"/warnings/wishes/contact-{contact.pk}/").status_code == 404
    assert port.client("south").get("/warnings/wishes/mine/").status_code == 200
    assert "T0P" not in str(list(AuditEntry.objects.values_list("subject", "detail")))
    assert audit.verify().broken_at is None


def test_choices_are_previewed_undone_and_refused_in_words(port: Port) -> None:
    south = port.client("south")
    said = south.post(
        "/warnings/wishes/mine/preview/",
        {**CHOICES, "floor": "medium", "quiet_from": "22:00", "quiet_until": "06:00"},
    )
    assert (
        "You get everything from medium up, at once; between 22:00 and 06:00 only critical, "
        "and the rest afterwards in one message." in said.content.decode()
    )
    assert not Subscription.objects.exists()
    south.post(
        "/warnings/wishes/mine/",
        {**CHOICES, "floor": "high", "quiet_from": "22:00", "quiet_until": "06:00"},
    )
    south.post("/warnings/wishes/mine/", {**CHOICES, "floor": "low", "time_zone": "europe/BERLIN"})
    assert Subscription.objects.get().time_zone == "Europe/Berlin"
    south.post("/warnings/wishes/mine/undo/")
    kept = Subscription.objects.get()
    assert (kept.floor, f"{kept.quiet_from:%H:%M}") == ("high", "22:00")
    south.post("/warnings/wishes/mine/undo/")
    assert Subscription.objects.get().floor == "low"
    bad = south.post("/warnings/wishes/mine/", {**CHOICES, "quiet_from": "22:00"})
    assert bad.status_code == 422
    assert "both ends" in bad.content.decode()
    actions = AuditEntry.objects.filter(action="subscription.changed")
    assert actions.count() == 4


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("10.0.0.0/8", "no address on the internet"),
        ("8.0.0.0/8", "too wide"),
        ("co.uk", "many share"),
        ("not a domain", "neither"),
        ("1.2.3", "neither"),
    ],
)
def test_what_cannot_be_claimed(port: Port, typed: str, problem: str) -> None:
    page = port.client("south").post("/warnings/assets/", {"lines": f"fine.example\n{typed}"})
    assert page.status_code == 422
    assert problem in page.content.decode()
    assert not Asset.objects.exists()


def test_claims_are_undone_confirmed_and_seen_by_nobody_else(port: Port) -> None:
    asset = own(port, "south", "2001:db8:7::/48")
    desk = port.client("desk")
    port.client("rail").post("/warnings/assets/", {"lines": "2001:db8:7:1::/64"})
    assert "South Basin Terminal" in desk.get("/desk/assets/").content.decode()
    assert "2001:db8:7::/48" not in port.client("rail").get("/warnings/assets/").content.decode()
    assert port.client("rail").post(f"/warnings/assets/{asset.pk}/give-up/").status_code == 404
    assert (
        port.client("rail").post(f"/desk/assets/{asset.pk}/", {"decision": "confirm"}).status_code
        == 404
    )
    south = port.client("south")
    south.post(f"/warnings/assets/{asset.pk}/give-up/")
    assert not port.organisations["south"].assets.exists()
    south.post("/warnings/assets/undo/")
    again_there = port.organisations["south"].assets.get()
    assert again_there.confirmed_at
    desk.post(f"/desk/assets/{again_there.pk}/", {"decision": "reopen"})
    again_there.refresh_from_db()
    assert again_there.confirmed_at is None


def test_undo_brings_back_no_more_than_the_desk_had_left(port: Port) -> None:
    asset = own(port, "south", "2001:db8:7::/48")
    south, desk = port.client("south"), port.client("desk")
    other = Client()
    other.force_login(port.users["south"])
    south.post(f"/warnings/assets/{asset.pk}/give-up/")
    # Claimed and given up again elsewhere; in between the desk has said no.
    other.post("/warnings/assets/", {"lines": "2001:db8:7::/48"})
    claimed = port.organisations["south"].assets.get()
    desk.post(f"/desk/assets/{claimed.pk}/", {"decision": "refuse"})
    other.post(f"/warnings/assets/{claimed.pk}/give-up/")
    south.post("/warnings/assets/undo/")
    assert port.organisations["south"].assets.get().confirmed_at is None
    other.post("/warnings/assets/undo/")
    again_there = port.organisations["south"].assets.get()
    south.post(f"/warnings/assets/{again_there.pk}/give-up/")
    desk_said_no = port.organisations["south"].assets
    assert not desk_said_no.exists()
    other.post("/warnings/assets/", {"lines": "2001:db8:7::/48"})
    refused = port.organisations["south"].assets.get()
    desk.post(f"/desk/assets/{refused.pk}/", {"decision": "refuse"})
    other.post(f"/warnings/assets/{refused.pk}/give-up/")
    other.post("/warnings/assets/undo/")
    assert port.organisations["south"].assets.get().refused_at


@pytest.mark.parametrize(
    ("now", "wish", "until"),
    [
        # The clocks leave out 02:00, then repeat it: a daily digest is once a day all the same.
        ("2026-03-29T00:30Z", {"digest": "daily", "digest_hour": 2}, "2026-03-29T01:00Z"),
        ("2026-03-29T01:00Z", {"digest": "daily", "digest_hour": 2}, "2026-03-30T00:00Z"),
        ("2026-10-25T00:00Z", {"digest": "daily", "digest_hour": 2}, "2026-10-26T01:00Z"),
        ("2026-10-25T00:30Z", {"digest": "hourly"}, "2026-10-25T01:00Z"),
        # A digest that falls into the quiet hours comes at their end.
        (
            "2026-11-25T12:00Z",
            {"digest": "daily", "digest_hour": 5, "quiet_from": time(22), "quiet_until": time(6)},
            "2026-11-26T05:00Z",
        ),
        ("2026-11-25T05:00Z", {"quiet_from": time(22), "quiet_until": time(6)}, None),
        (
            "2026-11-25T11:59Z",
            {"quiet_from": time(9), "quiet_until": time(13)},
            "2026-11-25T12:00Z",
        ),
    ],
)
def test_until_when_something_waits(now: str, wish: dict[str, Any], until: str | None) -> None:
    chosen = Subscription(time_zone="Europe/Amsterdam", **wish)
    at, _ = subscriptions.held(chosen, datetime.fromisoformat(now))
    assert at == (until and datetime.fromisoformat(until))
