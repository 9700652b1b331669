"""A member admin brings warnings to where the people are; readers of mails ask for fewer."""

import re
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from standardwebhooks import Webhook

from alerts import corrections, sending
from alerts.models import Alert, Delivery, Endpoint, Subscription
from crc.members.models import AuditEntry
from crc.members.roles import UserRole
from sharing.models import Release
from tests.alerts.rigs import SmsRig
from tests.conftest import Port, Receiver

WAYS = "/warnings/ways/"


def told(page: Any) -> str:
    """The page in one line, without its markup."""
    return " ".join(re.sub("<[^>]*>", " ", page.content.decode()).split())


def test_a_webhook_from_its_first_day_to_its_last(port: Port, receiver: Receiver) -> None:
    browser = port.client("south")
    assert "Add the first address" in told(browser.get(WAYS))
    assert "Microsoft Teams" in told(browser.get(f"{WAYS}add/"))
    answers = {"address": "http://10.0.0.1/x", "label": "SOC", "language": "en"}
    refused = browser.post(f"{WAYS}add/webhook/", answers)
    assert refused.status_code == 422
    assert "private or reserved network" in told(refused)

    answers["address"] = receiver.url
    shown = browser.post(f"{WAYS}add/webhook/", answers)
    made = Endpoint.objects.get()
    assert shown["cache-control"].count("no-store")
    assert made.secret in shown.content.decode()
    again = browser.post(f"{WAYS}add/webhook/", answers)
    assert "on your list already" in told(again)
    assert made.secret not in again.content.decode()

    page = f"{WAYS}{made.pk}/"
    assert "Not tested yet" in told(browser.get(page))
    port.file("north", warn_now="yes")
    port.sweep()
    assert receiver.got == []
    browser.post(f"{page}test/")
    assert port.rung[-1] == ("alerts.tasks.deliver", ("webhook",))
    live = browser.get(page, headers={"HX-Request": "true"})
    assert (live.status_code, "Sending the test" in told(live)) == (200, True)
    sending.drain("webhook")
    ended = browser.get(page, headers={"HX-Request": "true"})
    assert (ended.status_code, "The test was taken" in told(ended)) == (286, True)
    assert "Works" in told(ended)

    before = browser.get(f"{page}secret/").context["before"]
    new = browser.post(f"{page}secret/", {"before": before})
    assert browser.post(f"{page}secret/", {"before": before}).status_code == 302
    old = made.secret
    made.refresh_from_db()
    assert made.secret in new.content.decode()
    browser.post(f"{page}test/")
    sending.drain("webhook")
    headers, body = receiver.got[-1]
    for secret in (old, made.secret):
        assert Webhook(secret).verify(body, headers)
        assert secret not in browser.get(page).content.decode()

    browser.post(f"{page}switch/", {"to": "off"})
    assert "Switched off" in told(browser.get(WAYS))
    browser.post(f"{page}switch/", {"to": "on"})
    browser.post(page, {"label": "Night SOC", "language": "ja"})
    assert "Night SOC" in told(browser.get(WAYS))
    assert "cannot be undone" in told(browser.get(f"{page}remove/"))
    browser.post(f"{page}remove/")
    assert not Endpoint.objects.exists()
    trail = AuditEntry.objects.filter(action__startswith="endpoint.", subject=str(made.pk))
    assert [entry.action.partition(".")[2] for entry in trail] == (
        "added tested verified secret_replaced tested switched_off switched_on changed removed"
    ).split()
    assert not any(receiver.url in str(entry.detail) for entry in trail)


def test_what_fails_says_so_and_what_was_switched_off_comes_back(
    port: Port, receiver: Receiver
) -> None:
    browser = port.client("south")
    browser.post(f"{WAYS}add/webhook/", {"address": receiver.url, "language": "en"})
    made = Endpoint.objects.get()
    page = f"{WAYS}{made.pk}/"
    receiver.status = 404
    browser.post(f"{page}test/")
    sending.drain("webhook")
    assert "The test failed , just now : the receiver answered 404" in told(browser.get(page))
    made.refresh_from_db()
    assert (made.is_active, made.verified_at) == (True, None)

    Endpoint.objects.update(
        verified_at=timezone.now(), is_active=False, switched_off_because="it answered 410"
    )
    assert "The hub switched it off" in told(browser.get(WAYS))
    assert "it answered 410" in told(browser.get(page))
    browser.post(f"{page}switch/", {"to": "on"})
    assert "Works" in told(browser.get(page))


def test_what_is_switched_on_again_gets_what_it_missed_and_still_holds(
    port: Port, receiver: Receiver
) -> None:
    browser = port.client("south")
    browser.post(f"{WAYS}add/webhook/", {"address": receiver.url, "language": "en"})
    Endpoint.objects.update(verified_at=timezone.now())
    page = f"{WAYS}{Endpoint.objects.get().pk}/"
    browser.post(f"{page}switch/", {"to": "off"})
    over, holds = (
        port.file(slug, warn_now="yes", attack="probe", technical=f"203.0.113.{place}")
        for place, slug in enumerate(("north", "rail"), 60)
    )
    port.sweep()
    made = Release.objects.get(submission=over.submission)
    corrections.all_clear(made, "It is over.", actor=port.users["desk"])
    port.sweep()
    assert receiver.got == []
    said = browser.post(f"{page}switch/", {"to": "on"}, follow=True)
    assert "1 warning that it missed" in told(said)
    browser.post(f"{page}switch/", {"to": "on"})
    port.sweep()
    [(_, body)] = receiver.got
    alert = Alert.objects.get(release__submission=holds.submission)
    assert str(alert.pk) in body.decode()


def test_a_phone_is_used_once_its_holder_has_said_so(port: Port, settings: Any) -> None:
    browser = port.client("south")
    assert browser.get(f"{WAYS}add/sms/").status_code == 404
    settings.BASE_URL = "https://hub.port.example"
    with SmsRig().running(settings) as gateway:
        browser.post(f"{WAYS}add/sms/", {"address": "+81 90 1234 5678", "language": "en"})
        made = Endpoint.objects.get()
        browser.post(f"{WAYS}{made.pk}/test/")
        sending.drain("sms")
        assert "its reader has to tap the link" in told(browser.get(f"{WAYS}{made.pk}/"))
        found = re.search(r"(/ok/[\w-]+/)", gateway.got[0].decode())
    assert found
    holder = Client()
    assert "May warnings come here?" in told(holder.get(found[1]))
    assert "Not confirmed yet" in told(browser.get(WAYS))
    assert "from now on" in told(holder.post(found[1]))
    assert "Works" in told(browser.get(WAYS))
    Delivery.objects.all().update(raised_at=timezone.now() - timezone.timedelta(days=3))
    assert holder.get(found[1]).status_code == 404


def test_a_mailbox_that_gets_mail_already_is_no_new_address(port: Port) -> None:
    browser = port.client("south")
    for mailbox in ("duty@south.example", "Duty@South.example"):
        page = browser.post(f"{WAYS}add/email/", {"address": mailbox, "language": "en"})
        assert page.status_code == 422
        assert "gets warnings there already" in told(page)
    assert "duty@south.example" in told(browser.get(WAYS))


def test_others_neither_see_nor_change_it(port: Port, receiver: Receiver) -> None:
    admin, stranger = port.client("south"), port.client("north")
    admin.post(f"{WAYS}add/webhook/", {"address": receiver.url, "language": "en"})
    page = f"{WAYS}{Endpoint.objects.get().pk}/"
    for way in ("", "test/", "switch/", "secret/", "remove/"):
        assert stranger.post(page + way).status_code == 404
    officer = port.users["south"]
    officer.role = UserRole.MEMBER
    officer.save()
    colleague = port.client("south")
    assert colleague.get(WAYS).status_code == 200
    assert "Remove" not in told(colleague.get(page))
    for way in ("", "test/", "switch/", "secret/", "remove/"):
        assert colleague.post(page + way).status_code == 403
    assert colleague.post(f"{WAYS}add/webhook/", {"address": receiver.url}).status_code == 403
    assert Client().get(WAYS).status_code == 302


@pytest.mark.parametrize("one_click", [True, False])
def test_a_reader_of_mails_asks_for_fewer_and_critical_ones_still_come(
    port: Port, one_click: bool
) -> None:
    def mailed() -> int:
        mail.outbox.clear()
        port.sweep()
        return sum(one.to == ["duty@south.example"] for one in mail.outbox)

    port.file("north", attack="denial", system_yard="", system_website="down", warn_now="yes")
    assert mailed() == 1
    link = mail.outbox[0].extra_headers["List-Unsubscribe"].strip("<>")
    assert link in mail.outbox[0].body
    [page] = {
        one.extra_headers["List-Unsubscribe"].strip("<>").partition("/mails/")[2]
        for one in mail.outbox
        if one.to == ["duty@south.example"]
    }
    page = f"/mails/{page}"
    reader = Client(enforce_csrf_checks=True)
    assert "critical ones still come" in told(reader.get(page))
    assert not Subscription.objects.exists()
    if one_click:
        assert reader.post(page, {"List-Unsubscribe": "One-Click"}).status_code == 204
    else:
        assert "Saved" in told(reader.post(page, {"severity": "critical"}))
        # What the member's people have chosen for the address holds on, and the page says so.
        Subscription.objects.update(floor="low", digest="daily", digest_hour=7)
        shown = reader.get(page)
        assert re.search(r'value="low"[^>]* checked', shown.content.decode())
        assert "everything from low up, in one message a day at 07:00" in told(shown)
        Subscription.objects.update(floor="critical", digest="")
    assert Client().get(f"{page[:-4]}x/").status_code == 404

    port.file("rail", attack="denial", system_yard="", system_website="down", warn_now="yes")
    assert mailed() == 0
    port.file("anchor", warn_now="yes")
    assert mailed() >= 1
    assert Alert.objects.filter(severity="critical").exists()
