"""The contract that every way of reaching people keeps, tried against a real server of its kind."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from django.utils.translation import override

from alerts import endpoints, fanout, notices, sending
from alerts.audience import Address, addresses_of
from alerts.channels import CHANNELS, calling, signing, sms
from alerts.channels.base import Channel, DeliveryError, Notice
from alerts.channels.mattermost import Mattermost
from alerts.channels.slack import Slack
from alerts.channels.teams import Teams
from alerts.models import Alert, Delivery, Endpoint
from crc import env
from crc.checks import sms_gateway_that_says_nothing
from crc.members.models import AuditEntry
from tests.alerts.rigs import BASE, HOSTILE, RIGS, HttpRig, Rig, wait_until
from tests.conftest import Port


class Pager:
    """A channel of one's own, as docs/channels.md tells to make one: POST of the title."""

    title, help, example = "Pager", "Ask your pager company.", "https://pager.example.com/"
    needs_secret, needs_tap, offered = False, False, True
    asks = False
    at_once, per_host, ahead = 8, 2, 2

    def check(self, address: str) -> str:
        """Any URL that the hub may call."""
        return calling.checked(address)

    def describe(self, address: str) -> str:
        """Without the path."""
        return calling.masked(address)

    def host(self, address: str) -> str:
        """All go through one company."""
        return "pager"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Any]:
        """See Channel."""
        async with calling.door() as out:

            async def send(notice: Notice) -> None:
                body = orjson.dumps({"page": notice.title})
                await calling.post(out, notice.address, body, calling.JSON)

            yield send


class PagerRig(HttpRig):
    """Its company."""

    path = "/page/verysecretending"

    def check_harmless(self, raw: bytes) -> None:
        assert orjson.loads(raw) == {"page": HOSTILE}


ALL = {**RIGS, "pager": PagerRig}
CALLING = [name for name, rig in ALL.items() if rig.calls_out]
KEPT_BY_MEMBERS = [name for name in ALL if name != "inbox"]


@pytest.fixture(autouse=True)
def _with_a_pager(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setitem(CHANNELS, "pager", Pager())
    settings.BASE_URL = BASE


@pytest.fixture
def rig(request: pytest.FixtureRequest, settings: Any) -> Iterator[Rig]:
    """The other end of the channel that the test is for."""
    with ALL[request.getfixturevalue("name")]().running(settings) as made:
        yield made


def notice(rig: Rig, **changes: Any) -> Notice:
    """A warning as it comes rendered."""
    made = Notice(
        message_id="6f0e9a52-0000-4000-8000-000000000001",
        alert_id="6f0e9a52-0000-4000-8000-000000000002",
        kind="warning",
        hub_name="Port hub",
        address=rig.address,
        secrets=(signing.new_secret(),),
        tlp="TLP:GREEN",
        severity="high",
        title="Ransomware in a yard system",
        body="Look for this.\nThen call the desk.",
        raised_at=timezone.now(),
        link=f"{BASE}/warnings/6f0e9a52-0000-4000-8000-000000000002/",
        answers={"Affected": f"{BASE}/answer/a/", "Not affected": f"{BASE}/answer/n/"},
        short_link=f"{BASE}/w/bw6aUgAAQACAAAAAAAAAAg/",
        thread_id="6f0e9a52-0000-4000-8000-000000000002",
        unsubscribe=f"{BASE}/mails/x/",
    )
    return replace(made, **changes)


def send(channel: Channel, *these: Notice) -> None:
    """As a worker does, without the database."""

    async def work() -> None:
        async with channel.open() as give:
            for one in these:
                await give(one)

    asyncio.run(work())


def failure(channel: Channel, one: Notice) -> DeliveryError:
    """How the send fails."""
    with pytest.raises(DeliveryError) as caught:
        send(channel, one)
    return caught.value


def test_every_channel_has_a_rig_and_no_channel_is_anybodys_special_case() -> None:
    assert set(ALL) == set(CHANNELS)
    for name, channel in CHANNELS.items():
        assert channel.title, name
        assert channel.help, name
        assert 1 <= channel.per_host <= channel.at_once


@pytest.mark.parametrize("name", ALL)
def test_what_is_sent_arrives(name: str, rig: Rig) -> None:
    send(CHANNELS[name], notice(rig), notice(rig))
    wait_until(lambda: len(rig.got) == 2)


@pytest.mark.parametrize("name", [n for n, rig in ALL.items() if rig.refuses])
def test_a_refusal_is_for_good(name: str, rig: Rig) -> None:
    rig.mood = "refuses"
    error = failure(CHANNELS[name], notice(rig))
    assert error.permanent
    assert not error.host_down
    assert not error.gone


@pytest.mark.parametrize("name", [n for n, rig in ALL.items() if rig.refuses])
def test_being_busy_is_not(name: str, rig: Rig) -> None:
    rig.mood = "busy"
    error = failure(CHANNELS[name], notice(rig))
    assert not error.permanent
    assert error.after == (900 if rig.asks_for_peace else None)


@pytest.mark.parametrize("name", [n for n in ALL if n != "inbox"])
def test_a_host_that_is_down_is_known_as_such(name: str, rig: Rig) -> None:
    rig.down()
    error = failure(CHANNELS[name], notice(rig))
    assert error.host_down
    assert not error.permanent
    assert "secret" not in error.reason


@pytest.mark.parametrize("name", ["inbox"])
def test_the_inbox_does_without_its_broker(name: str, rig: Rig) -> None:
    rig.down()
    send(CHANNELS[name], notice(rig))


@pytest.mark.parametrize("name", ALL)
def test_hostile_words_stay_words(name: str, rig: Rig) -> None:
    send(CHANNELS[name], notice(rig, title=HOSTILE, body=HOSTILE))
    wait_until(lambda: rig.got)
    [raw] = rig.got
    rig.check_harmless(raw)


@pytest.mark.parametrize("name", ALL)
def test_a_test_is_a_real_send_but_for_its_title(name: str, rig: Rig) -> None:
    real = notice(rig, title="Ransomware seen")
    send(CHANNELS[name], real, replace(real, title="Just a trial run", kind="test"))
    wait_until(lambda: len(rig.got) == 2)
    warning, test = (comparable(raw) for raw in rig.got)
    assert warning == test.replace(b"Just a trial run", b"Ransomware seen").replace(
        b"alert.test", b"alert.warning"
    ).replace(b"- test -", b"- warning -")


def comparable(raw: bytes) -> bytes:
    """Without what is made anew for each mail, and a frame's length."""
    raw = re.sub(rb"(?m)^Date: .*?$|={15}\d+==", b"", raw)
    return re.sub(rb"^\d+ <", b"<", raw)


@pytest.mark.parametrize("name", KEPT_BY_MEMBERS)
def test_from_adding_to_a_warning_that_keeps_its_content_in(
    name: str, rig: Rig, port: Port
) -> None:
    south, channel = port.organisations["south"], CHANNELS[name]
    made = endpoints.add(south, name, rig.address, actor="operator")
    assert "secretending" not in channel.describe(made.address)
    assert bool(made.secret) == channel.needs_secret
    assert not listed(made)

    test = endpoints.test(made, actor="operator")
    assert sending.drain(name) == 1
    wait_until(lambda: rig.got)
    test.refresh_from_db()
    assert test.state == Delivery.State.SENT, test.reason
    if channel.needs_tap:
        assert not listed(made)
        tap(rig.got[-1])
    assert listed(made)

    alert = Alert.objects.create(
        only=south, kind="warning", severity="high", tlp="AMBER", title="CRANES", body="CRANES"
    )
    fanout.deliver(alert, [to for to in addresses_of(south) if to.channel == name])
    sending.drain(name)
    wait_until(lambda: len(rig.got) >= 2)
    assert b"CRANES" not in b"".join(rig.got)
    trail = [entry.action for entry in AuditEntry.objects.filter(action__startswith="endpoint.")]
    assert trail == ["endpoint.added", "endpoint.tested", "endpoint.verified"]


def listed(endpoint: Endpoint) -> bool:
    """Whether warnings go there."""
    to = Address(endpoint.organisation_id, endpoint.channel, endpoint.address)
    return to in addresses_of(endpoint.organisation)


def tap(raw: bytes) -> None:
    """Follow the link of a test, as its reader and before that a scanner does."""
    found = re.search(rb"https://hub.port.example(/ok/[\w-]+/)", raw.replace(b"=\r\n", b""))
    assert found
    page = found[1].decode()
    assert Client().get(page).status_code == 200
    assert not Endpoint.objects.get().verified_at
    assert Client().post(page).status_code == 200
    assert Client().post(f"{page[:-3]}xx/").status_code == 404


CLOSED = (
    "10.0.0.5 172.16.0.1 192.168.1.1 127.0.0.1 localhost 169.254.169.254 100.64.0.1 0.0.0.0 "
    "2130706433 0x7f000001 0x7f.1 0177.0.0.1 127.1 [::1] [::] [fe80::1] [fd00::1] "
    "[::ffff:10.0.0.5] [::ffff:127.0.0.1] [64:ff9b::a00:5]"
).split()
REBINDING = {
    "rebind.example": ["10.0.0.5"],
    "mixed.example": ["8.8.8.8", "169.254.169.254"],
    "mapped.example": ["::ffff:192.168.1.1"],
}


@pytest.fixture
def rebinding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that lead inside when they are asked for at last."""

    def getaddrinfo(host: str, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in REBINDING.get(host, [host])
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("name", [n for n in CALLING if n != "sms"])
def test_closed_addresses_are_refused_when_they_are_saved(
    name: str, port: Port, settings: Any
) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    for host in CLOSED:
        address = ALL[name]().at(host, settings)
        with pytest.raises(endpoints.Refused):
            endpoints.add(port.organisations["south"], name, address, actor="operator")
        with pytest.raises(CommandError, match=r"private|usual form"):
            call_command("add_endpoint", member="south", channel=name, address=address)
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize("name", CALLING)
def test_closed_addresses_are_refused_by_the_test_button_and_by_sends(
    name: str, port: Port, settings: Any, rebinding: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one stands in the table already, by whatever way it came there."""
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    monkeypatch.setattr(endpoints, "TESTS_AN_HOUR", 1000)
    monkeypatch.setattr(endpoints, "TESTS_AN_HOUR_EACH", 1000)
    south, browser = port.organisations["south"], port.client("south")
    secret = signing.new_secret()
    # The gateway is one for all numbers, so each of its addresses takes a round of its own.
    hosts = [*CLOSED, *REBINDING]
    for together in [[host] for host in hosts] if name == "sms" else [hosts]:
        addresses = [ALL[name]().at(host, settings) for host in together]
        for address in addresses:
            made = Endpoint.objects.create(
                organisation=south, channel=name, address=address, secret=secret
            )
            browser.post(f"/warnings/ways/{made.pk}/test/")
        sending.drain(name)
        alert = Alert.objects.create(
            only=south, kind="service", severity="high", tlp="GREEN", title="t", body="b"
        )
        Endpoint.objects.update(verified_at=timezone.now(), is_active=True)
        fanout.deliver(alert, [Address(south.pk, name, address) for address in addresses])
        sending.drain(name)
        rows = Delivery.objects.filter(channel=name)
        assert len(rows) == 2 * len(together)
        for row in rows:
            assert (row.state, row.attempts) == (Delivery.State.FAILED, 1), (row, row.reason)
        Endpoint.objects.all().delete()
        Delivery.objects.all().delete()


def test_plain_syslog_is_for_the_operators_own_networks(settings: Any) -> None:
    check = CHANNELS["syslog"].check
    settings.OUTBOUND_ALLOWED_NETWORKS = ["10.1.0.0/16"]
    assert check("tcp://10.1.2.3") == "tcp://10.1.2.3:514"
    assert check(" TLS://SIEM.example.com ") == "tls://siem.example.com:6514"
    for address in ("tcp://10.2.0.1", "tcp://8.8.8.8", "udp://10.1.2.3", "tls://a:0", "tls://"):
        with pytest.raises(ValueError, match=r"tls://|must be|private"):
            check(address)
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    with pytest.raises(ValueError, match="use tls"):
        check("tcp://siem.example.com")


@pytest.mark.parametrize(
    ("name", "good", "bad", "says"),
    [
        (
            "slack",
            "https://hooks.slack.com/services/T0/B0/x",
            "https://hooks.slack.com.evil.example/services/T0/B0/x",
            "must be at hooks.slack.com",
        ),
        (
            "teams",
            "https://prod-23.westeurope.logic.azure.com/workflows/x/triggers/y?sig=z",
            "https://port.webhook.office.com/webhookb2/x/IncomingWebhook/y",
            "must be at api.powerplatform.com or",
        ),
        (
            "teams",
            "https://0a.09.environment.api.powerplatform.com/powerautomate/x?sig=z",
            "https://evilapi.powerplatform.com/x",
            "must be at api.powerplatform.com or",
        ),
        (
            "mattermost",
            "https://chat.example.com/hooks/x",
            "https://chat.example.com/api/v4/posts",
            "/hooks/",
        ),
        ("sms", "+81 (90) 1234-5678", "090 1234 5678", "with its country"),
        ("email", "Duty@Example.COM", "duty@example.com\r\nBcc: x@evil.example", "as duty@"),
    ],
)
def test_the_address_is_of_the_right_kind(
    name: str, good: str, bad: str, says: str, settings: Any
) -> None:
    settings.SMS_URL = "https://gateway.example/"
    assert CHANNELS[name].check(good)
    with pytest.raises(ValueError, match=says):
        CHANNELS[name].check(bad)


@pytest.mark.parametrize(
    ("title", "most"),
    [
        ("Ransomware in a yard system " * 9, 160),
        ("“Quotes” – and dashes" * 9, 160),
        ("Cranes [A] {B} ~ € | stopped " * 9, 160),
        ("ヤードシステムでランサムウェア" * 9, 70),
        ("🚢" * 99, 70),
    ],
)
def test_a_text_message_is_one_and_ends_with_the_link(title: str, most: int) -> None:
    made = notice(Rig(), title=title)
    text = sms.text(made)
    assert text.endswith(f" {made.short_link}")
    length = sms._gsm_width(text) if most == 160 else sms._ucs2_width(text)
    assert most - 2 <= length <= most
    far = replace(made, short_link=f"https://{'x' * 90}.example/w/bw6aUgAAQACAAAAAAAAAAg/")
    assert sms._gsm_width(sms.text(far)) <= 160


@pytest.mark.parametrize("channel", [Slack(), Teams(), Mattermost()], ids=lambda one: one.title)
def test_a_chat_room_reads_how_grave_it_is_in_its_language(channel: Any) -> None:
    for language, word in (("en", "High"), ("ja", "高")):
        with override(language):
            body = orjson.dumps(channel.message(notice(Rig(), language=language))).decode()
        assert word in body
        assert '"high' not in body
        assert " high" not in body


def test_a_telephone_reads_how_grave_it_is_in_its_language() -> None:
    japanese = notice(Rig(), language="ja", title="ヤードが停止", severity="critical")
    assert sms.text(japanese).startswith("緊急 ヤード")
    # A Japanese word would make a text message out of two.
    assert sms.text(replace(japanese, title="Yard down")).startswith("CRITICAL Yard")


def test_the_short_link_leads_to_the_warning(port: Port) -> None:
    alert = Alert.objects.create(
        only=port.organisations["south"], kind="service", severity="low", tlp="GREEN", title="t"
    )
    answer = port.client("south").get(f"/w/{notices.shortened(alert.pk)}/")
    assert answer.url == f"/warnings/{alert.pk}/"
    assert port.client("south").get("/w/nonsense/").status_code == 404


def test_the_gateways_template_is_filled_where_it_says(settings: Any) -> None:
    class Get(HttpRig):
        path = "/send?to={to}&text={text}&key={secret}"

    asked: list[str] = []
    with Get().running(settings) as rig:
        handler = rig.server.RequestHandlerClass
        handler.do_GET = lambda self: asked.append(self.path) or self.send_error(503)
        settings.SMS_URL, settings.SMS_METHOD = rig.address, "GET"
        settings.SMS_SECRET, settings.SMS_HEADERS = "a&b", {"Authorization": "Key {secret}"}
        error = failure(CHANNELS["sms"], notice(rig, address="+819012345678", title="a&to=+1 {id}"))
    assert not error.permanent
    assert asked[0].startswith("/send?to=%2B819012345678&text=HIGH%20a%26to%3D%2B1%20%7Bid%7D")
    assert asked[0].endswith("&key=a%26b")


def test_a_gateway_that_would_send_nothing_is_named(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sms_gateway_that_says_nothing(None) == []
    settings.SMS_URL, settings.SMS_BODY = "https://gateway.example/", '{"to": "{to}"}'
    [found] = sms_gateway_that_says_nothing(None)
    assert "{text}" in found.msg
    monkeypatch.setenv("CRC_X", "Authorization: Key {secret}\n\nX-Url: https://a.example/")
    assert env.headers("CRC_X") == {
        "Authorization": "Key {secret}",
        "X-Url": "https://a.example/",
    }
    monkeypatch.setenv("CRC_X", "Authorization")
    with pytest.raises(env.BadSetting, match="CRC_X"):
        env.headers("CRC_X")
    with pytest.raises(env.BadSetting, match="one of POST, GET"):
        env.choice("CRC_X", "POST", ("POST", "GET"))


@pytest.mark.parametrize("name", ["email"])
def test_mails_of_one_story_hang_together(name: str, rig: Rig) -> None:
    story = "6f0e9a52-0000-4000-8000-0000000000ff"
    send(CHANNELS[name], notice(rig), notice(rig, thread_id=story))
    first, update = (raw.decode() for raw in rig.got)
    assert "In-Reply-To" not in first
    assert f"References: <thread.{notice(rig).alert_id}@warnings.crc>" in first
    assert f"In-Reply-To: <thread.{story}@warnings.crc>" in update
    assert f"List-Unsubscribe: <{BASE}/mails/x/>" in first
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in first


def test_the_operators_word_verifies(port: Port, settings: Any) -> None:
    address = "https://hooks.slack.com/services/T0/B0/verysecretending"
    words = ("--channel", "slack", "--address", address, "--language", "ja")
    call_command("add_endpoint", "--member", "south", *words)
    assert listed(Endpoint.objects.get())
    assert Endpoint.objects.get().language == "ja"
    with pytest.raises(CommandError, match="already"):
        call_command(
            "add_endpoint", "--member", "south", "--channel", "slack", "--address", address
        )


def test_tests_are_few_and_end_soon(port: Port) -> None:
    south = port.organisations["south"]
    made = endpoints.add(south, "pager", "https://pager.example.com/", actor="operator")
    rows = [endpoints.test(made, actor="operator") for _ in range(endpoints.TESTS_AN_HOUR_EACH)]
    with pytest.raises(endpoints.Refused, match="hour"):
        endpoints.test(made, actor="operator")
    Alert.objects.update(raised_at=timezone.now() - notices.TEST_LASTS - timedelta(seconds=1))
    sending.drain("pager")
    rows[0].refresh_from_db()
    assert (rows[0].state, rows[0].reason) == (Delivery.State.SKIPPED, "the test is over")
