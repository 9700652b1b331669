"""The lanes: hosts that hang, refuse or ask for peace; claims and records that meet their match."""

import http.server
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook

from alerts import fanout, notices, outbox, sending
from alerts.audience import Address, addresses_of
from alerts.channels import CHANNELS, signing
from alerts.channels.base import Notice
from alerts.models import Alert, Delivery, Endpoint
from alerts.outbox import Outcome
from crc.members.models import Organisation
from tests.alerts.rigs import wait_until
from tests.conftest import Port, Receiver

State = Delivery.State


def word(to: Organisation, severity: str = "high") -> Alert:
    """A word from the hub to one member: the shortest warning there is."""
    return Alert.objects.create(
        only=to, kind=Alert.Kind.SERVICE, severity=severity, tlp="GREEN", title="t", body="b"
    )


def hook(to: Organisation, url: str) -> Endpoint:
    """A webhook of a member's."""
    return Endpoint.objects.create(
        organisation=to, address=url, secret=signing.new_secret(), verified_at=timezone.now()
    )


def post(to: Organisation, *urls: str, severity: str = "high") -> list[Delivery]:
    """A word to these webhooks, not sent yet."""
    alert = word(to, severity)
    fanout.deliver(alert, [Address(to.pk, "webhook", url) for url in urls])
    return list(alert.deliveries.order_by("address"))


def claim(room: int = 10, allowance: int = 10, avoiding: list[str] | None = None) -> list[Any]:
    """As a worker does."""
    return outbox.claim("webhook", room, avoiding=avoiding or [], allowance=lambda host: allowance)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a host that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A door that waits two seconds at most."""
    from alerts.channels import webhook
    from crc.outbound import Outbound

    monkeypatch.setattr(
        webhook,
        "door",
        lambda: Outbound(allowed_networks=["127.0.0.1/32"], read_timeout=2, total_timeout=2),
    )


def test_a_host_that_hangs_rests_and_its_rows_go_back_uncounted(
    port: Port, receiver: Receiver, silent: str, hasty: None
) -> None:
    south = port.organisations["south"]
    for number in range(6):
        hook(south, f"{silent}{number}")
    hook(south, receiver.url)
    rows = post(south, receiver.url, *(f"{silent}{number}" for number in range(6)))
    sending.drain("webhook")
    assert len(receiver.got) == 1
    states = {}
    for row in rows:
        row.refresh_from_db()
        states.setdefault(row.state, []).append(row.attempts)
    assert states[State.SENT] == [1]
    # One was tried; what else was claimed for the host waits for the end of its rest, and what was
    # not claimed stays due. None of these has used up a try.
    assert sorted(states[State.WAITING])[-1] == 1
    assert sum(states[State.WAITING]) == 1
    assert not any(states.get(State.DUE, []))
    assert len(states[State.WAITING]) + len(states.get(State.DUE, [])) == 6


def test_one_member_s_dead_addresses_do_not_take_every_turn_of_a_shared_host(
    port: Port, hasty: None
) -> None:
    class Half(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if self.path != "/rail":
                over.wait(10)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    over = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Half)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    south, rail = port.organisations["south"], port.organisations["rail"]
    dead = [f"{url}/{number}" for number in range(12)]
    for address in dead:
        hook(south, address)
    hook(rail, f"{url}/rail")
    rows = Delivery.objects.filter(organisation=south)
    [good] = post(rail, f"{url}/rail")
    post(south, *dead)  # raised later, and so tried before it
    sending.drain("webhook")
    good.refresh_from_db()
    assert good.state != State.SENT
    assert rows.filter(attempts=1).count() == 1
    assert not rows.exclude(state=State.WAITING).exists()
    # The rest of the host is over; south's others wait for longer than that.
    for host in sending._lanes["webhook"].hosts.values():
        host.rests_until = 0.0
    Delivery.objects.filter(pk=good.pk).update(next_try_at=timezone.now())
    outbox.promote()
    sending.drain("webhook")
    over.set()
    server.shutdown()
    server.server_close()
    good.refresh_from_db()
    assert good.state == State.SENT
    assert rows.filter(attempts=1).count() == 1


def test_what_is_queued_behind_a_host_that_hangs_takes_nobodys_place(
    port: Port, silent: str, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SLOW_SECONDS", 0.1)
    south = port.organisations["south"]
    urls = [f"{silent}{number}" for number in range(4)]
    for url in urls:
        hook(south, url)
    post(south, *urls)
    made = [(row, one) for row, one in notices.prepare(claim()) if isinstance(one, Notice)]
    with sending.Sender(CHANNELS["webhook"], {}) as sender:
        sender.put(made)
        wait_until(lambda: sender.brisk == 0)
        assert sender.held == 4


def test_the_other_senders_are_called_when_there_is_more_than_one_holds(
    port: Port, receiver: Receiver, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CHANNELS["webhook"], "at_once", 4)
    south, calls = port.organisations["south"], list[int]()
    urls = [f"{receiver.url}{number}" for number in range(3)]
    for url in urls:
        hook(south, url)
    post(south, *urls)
    assert sending.drain("webhook", call_others=lambda: calls.append(1)) == 3
    assert calls == []
    post(south, *urls)
    post(south, *urls)
    assert sending.drain("webhook", call_others=lambda: calls.append(1)) == 6
    assert calls == [1]


def test_a_resting_host_is_left_alone_by_the_next_drain(
    port: Port, silent: str, hasty: None
) -> None:
    south = port.organisations["south"]
    hook(south, silent)
    post(south, silent)
    sending.drain("webhook")
    [fresh] = post(south, silent)
    assert sending.drain("webhook") == 0
    fresh.refresh_from_db()
    assert (fresh.state, fresh.attempts) == (State.DUE, 0)


def test_the_receiver_says_when_to_come_back_and_nobody_else_waits_for_it(port: Port) -> None:
    class Busy(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(429 if self.path == "/hook" else 204)
            self.send_header("retry-after", "900")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    south = port.organisations["south"]
    url = f"http://127.0.0.1:{server.server_port}/hook"
    rail = port.organisations["rail"]
    hook(south, url)
    hook(rail, f"{url}/rail")
    [row] = post(south, url)
    sending.drain("webhook")
    [other] = post(rail, f"{url}/rail")
    sending.drain("webhook")
    server.shutdown()
    server.server_close()
    row.refresh_from_db()
    other.refresh_from_db()
    assert row.state == State.WAITING
    assert row.next_try_at > timezone.now() + timedelta(seconds=800)
    assert other.state == State.SENT


def test_the_gravest_and_newest_go_first(port: Port) -> None:
    south = port.organisations["south"]
    url = "http://127.0.0.1:9/hook"
    for severity in ("low", "critical", "medium", "critical"):
        post(south, url, severity=severity)
    claimed = claim()
    assert [row.rank for row in claimed] == [4, 4, 2, 1]
    assert claimed[0].raised_at > claimed[1].raised_at


def test_a_claim_takes_a_few_for_each_host_and_none_for_those_to_avoid(port: Port) -> None:
    south = port.organisations["south"]
    one, two = "http://127.0.0.1:9/", "http://127.0.0.1:10/"
    post(south, *(f"{host}{number}" for host in (one, two) for number in range(5)))
    hosts = [row.host for row in claim(allowance=3)]
    assert sorted(hosts) == ["127.0.0.1:10"] * 3 + ["127.0.0.1:9"] * 3
    assert {row.host for row in claim(avoiding=["127.0.0.1:9"])} == {"127.0.0.1:10"}


def test_workers_at_once_never_hold_the_same_row(busy_port: Port) -> None:
    south = busy_port.organisations["south"]
    post(south, *(f"http://127.0.0.1:9/{number}" for number in range(60)))
    start = threading.Barrier(4)
    held: list[Any] = []

    def work() -> None:
        start.wait()
        for _ in range(5):
            held.extend(row.pk for row in claim(room=4, allowance=4))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == len(set(held)) == 60


def test_a_worker_paused_beyond_its_lease_writes_over_nobody(port: Port) -> None:
    south = port.organisations["south"]
    post(south, "http://127.0.0.1:9/")
    [paused] = claim()
    Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    outbox.promote()
    [other] = claim()
    assert other.pk == paused.pk
    assert outbox.record([Outcome(paused, State.FAILED, "late")]) == 0
    assert outbox.record([Outcome(other, State.SENT)]) == 1
    row = Delivery.objects.get()
    assert (row.state, row.attempts, row.reason) == (State.SENT, 2, "")


def test_no_try_is_left_after_the_last_and_the_waits_grow() -> None:
    waits = [outbox.back_off(tries) for tries in range(1, len(outbox.BACK_OFF) + 2)]
    assert waits[-1] is None
    seconds = [wait.total_seconds() for wait in waits[:-1] if wait]
    for found, planned in zip(seconds, outbox.BACK_OFF, strict=True):
        assert planned <= found <= planned * 1.2


def test_a_receiver_that_is_gone_is_switched_off_and_its_owner_told_elsewhere(
    port: Port, receiver: Receiver
) -> None:
    south = port.organisations["south"]
    endpoint = hook(south, receiver.url)
    receiver.status = 410
    post(south, receiver.url)
    sending.drain("webhook")
    endpoint.refresh_from_db()
    assert not endpoint.is_active
    assert endpoint.switched_off_because == "the receiver answered 410"
    told = Alert.objects.get(title__contains="switched off")
    assert {row.channel for row in told.deliveries.all()} == {"inbox", "email"}
    sending.drain("email")
    assert mail.outbox[-1].to == ["duty@south.example"]
    assert receiver.url not in mail.outbox[-1].body


def test_ten_refusals_in_a_row_switch_off_and_one_success_forgives(
    port: Port, receiver: Receiver
) -> None:
    south = port.organisations["south"]
    endpoint = hook(south, receiver.url)
    for status, times, active in ((404, 9, True), (204, 1, True), (404, 9, True), (404, 1, False)):
        receiver.status = status
        for _ in range(times):
            post(south, receiver.url)
            sending.drain("webhook")
        endpoint.refresh_from_db()
        assert endpoint.is_active == active, (status, times)


def test_while_a_secret_is_changed_over_both_sign(port: Port, receiver: Receiver) -> None:
    south = port.organisations["south"]
    endpoint = hook(south, receiver.url)
    old = endpoint.secret
    endpoint.old_secret, endpoint.secret = old, signing.new_secret()
    endpoint.old_secret_until = timezone.now() + timedelta(hours=1)
    endpoint.save()
    post(south, receiver.url)
    sending.drain("webhook")
    [(headers, body)] = receiver.got
    for secret in (old, endpoint.secret):
        assert Webhook(secret).verify(body, headers)
    endpoint.old_secret_until = timezone.now()
    endpoint.save()
    assert endpoint.secrets_now() == [endpoint.secret]


def test_a_ring_while_sending_is_not_lost(
    busy_port: Port, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that comes as the last claim finds nothing is sent by the same drain."""
    south = busy_port.organisations["south"]
    hook(south, receiver.url)
    post(south, receiver.url)
    real, rang = outbox.claim, []

    def claim_then_another_comes(*args: Any, **kwargs: Any) -> list[Delivery]:
        claimed = real(*args, **kwargs)
        if not claimed and not rang:
            rang.append(post(south, receiver.url))
            assert sending.drain("webhook") == 0
        return claimed

    monkeypatch.setattr(outbox, "claim", claim_then_another_comes)
    assert sending.drain("webhook") == 2
    assert len(receiver.got) == 2


def test_every_address_of_a_member_has_a_channel(port: Port, receiver: Receiver) -> None:
    hook(port.organisations["south"], receiver.url)
    found = {address.channel for address in addresses_of(port.organisations["south"])}
    assert found == {"inbox", "webhook", "email"} <= set(CHANNELS)
