"""The poll log: what is noted, how it adds up, and when the light turns red."""

import base64
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from crc.members import keys
from crc.members.models import ApiKey
from sharing.models import ToolHour, ToolPlace, ToolRequest, ToolUse
from sharing.tooluse import buffer as buffers
from sharing.tooluse import ledger, rhythm, watch
from sharing.tooluse.buffer import Buffer, buffer
from sharing.tooluse.picture import pictures
from sharing.tooluse.recording import claimed
from sharing.tooluse.rhythm import Seen, State
from sharing.tooluse.tally import KEPT, Noted, Tally
from sharing.tooluse.words import AS_USER_NAME
from tests.conftest import Port
from tests.taxii.test_server import fill, path

Ask = Callable[..., Any]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _nothing_left() -> None:
    buffer.__init__()  # type: ignore[misc]


def ago(**spans: float) -> datetime:
    """Before NOW."""
    return NOW - timedelta(**spans)


MINUTELY, HOURLY, DAILY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(None, None), State.NEVER),
        (Seen(None, None, live=False), State.ENDED),
        (Seen(ago(seconds=5), ago(seconds=5), usual=MINUTELY), State.FINE),
        (Seen(ago(minutes=4), ago(minutes=4), usual=MINUTELY), State.FINE),
        (Seen(ago(minutes=6), ago(minutes=6), usual=MINUTELY), State.LATE),
        (Seen(ago(minutes=15), ago(minutes=15), usual=MINUTELY), State.LATE),
        (Seen(ago(minutes=16), ago(minutes=16), usual=MINUTELY), State.SILENT),
        (Seen(ago(minutes=80), ago(minutes=80), usual=HOURLY), State.FINE),
        (Seen(ago(minutes=100), ago(minutes=100), usual=HOURLY), State.LATE),
        (Seen(ago(minutes=181), ago(minutes=181), usual=HOURLY), State.SILENT),
        (Seen(ago(days=2), ago(days=2), usual=DAILY), State.LATE),
        (Seen(ago(days=4), ago(days=4), usual=DAILY), State.SILENT),
        # Nothing known of its rhythm yet: as if hourly.
        (Seen(ago(hours=1), ago(hours=1)), State.FINE),
        (Seen(ago(hours=4), ago(hours=4)), State.SILENT),
        # It asks, in vain.
        (Seen(ago(seconds=5), None, failed_in_row=1), State.FAILING),
        (Seen(ago(seconds=5), ago(minutes=1), failed_in_row=2, usual=MINUTELY), State.FINE),
        (Seen(ago(seconds=5), ago(minutes=1), failed_in_row=3, usual=MINUTELY), State.FAILING),
        (Seen(ago(seconds=5), ago(hours=1), failed_in_row=1, usual=MINUTELY), State.FAILING),
        # It failed, and then went quiet.
        (Seen(ago(hours=1), ago(hours=2), failed_in_row=9, usual=MINUTELY), State.SILENT),
        (Seen(ago(hours=9), None, failed_in_row=9), State.SILENT),
        # A tool that only posts has no rhythm.
        (Seen(ago(days=30), ago(days=30), polls=False), State.FINE),
        (Seen(ago(days=30), ago(days=31), failed_in_row=3, polls=False), State.FAILING),
    ],
)
def test_the_light(seen: Seen, expected: State) -> None:
    assert rhythm.state(seen, now=NOW) is expected


def test_one_long_pause_does_not_change_the_rhythm() -> None:
    assert rhythm.usual_gap([]) is None
    assert rhythm.usual_gap([60, 61, 59, 28_800, 60]) == timedelta(seconds=60)
    # A test by hand, then an hourly tool: the hour counts.
    assert rhythm.usual_gap([5, 3600]) == timedelta(hours=1)


def basic(name: str, password: str) -> str:
    """As a client sends it."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_the_key_is_known_by_its_look_up_part_wherever_it_is_put() -> None:
    token = "crc_0123456789ab_secret-secret"
    assert claimed(f"Bearer {token}") == ("0123456789ab", "")
    assert claimed(f"token {token}") == ("0123456789ab", "")
    assert claimed(basic("x", token)) == ("0123456789ab", "")
    assert claimed(basic(token, "")) == ("0123456789ab", AS_USER_NAME)
    for nothing in ("", "Basic", "Basic ???", basic("a", "b"), "Bearer crc_x_y", "Basic /w==",
                    f"Bearer {token}" + "x" * 600):  # fmt: skip
        assert claimed(nothing) == ("", "")


def test_a_poll_is_noted_with_cursor_place_and_objects(port: Port, taxii: Ask) -> None:
    fill("community-green", 5)
    token = port.key("south", "taxii:read")
    place = path("community-green") + "objects/"
    first = taxii(token, place + "?limit=3", headers={"User-Agent": "siem/1"})
    taxii(token, place + f"?limit=3&next={first.json['next']}")
    last = first.headers["X-TAXII-Date-Added-Last"]
    buffer.flush()
    use, row = ToolUse.objects.get(), ToolPlace.objects.get()
    assert (use.requests, use.failed, use.failed_in_row) == (2, 0, 0)
    assert use.last_ok_at == use.last_at == row.last_ok_at
    assert row.place in place
    assert row.cursor > last
    assert use.served == row.served > 3
    # The second page belongs to the same poll.
    assert row.gaps == []
    assert not ToolRequest.objects.exists()
    [picture] = pictures(ApiKey.objects.all())
    assert picture.state is State.FINE
    assert picture.served == use.served
    assert len(picture.hours) == 24


def test_noting_asks_the_database_nothing(
    port: Port, taxii: Ask, django_assert_num_queries: Any
) -> None:
    noted = Noted("0123456789ab", "GET", "/taxii2/", "", status=200)
    with django_assert_num_queries(0):
        buffer.add(noted)


def test_lists_are_noted(port: Port) -> None:
    token = port.key("south", "lists:read")
    client, bearer = port.client("south"), {"authorization": f"Bearer {token}"}
    answer = client.get("/lists/ipv4.txt", headers=bearer)
    client.get("/lists/ipv4.txt", headers={**bearer, "if-none-match": answer["ETag"]})
    client.get("/lists/nothing.txt", headers=bearer)
    buffer.flush()
    assert ToolPlace.objects.get().place == "list:ipv4"
    assert ToolUse.objects.get().requests == 3
    [failed] = ToolRequest.objects.all()
    assert (failed.status, failed.reason[:22]) == (404, "There is no such list.")


def refuse(port: Port, taxii: Ask, token: str, **kwargs: Any) -> ToolRequest:
    """The newest failed request after one that must fail."""
    place = kwargs.pop("path", "/crc/collections/")
    assert taxii(token, place, **kwargs).status_code >= 400
    buffer.flush()
    newest = ToolRequest.objects.first()
    assert newest
    return newest


def test_each_refusal_says_why(port: Port, taxii: Ask) -> None:
    token = port.key("south", "taxii:read", "taxii:write")
    place = path("community-green") + "objects/"
    inbox = path("inbox-south") + "objects/"
    plain = {"Accept": "text/html"}
    for status, words, kwargs in (
        (404, "no such thing", {"path": "/crc/collections/nothing/objects/"}),
        (406, "", {"path": place, "headers": plain}),
        (400, "added_after", {"path": place + "?added_after=yesterday"}),
        (403, "", {"path": inbox}),
        (413, "at most", {"path": inbox, "method": "POST", "data": b"x" * 11_000_000}),
        (415, "", {"path": inbox, "method": "POST", "data": b"{}"}),
        (422, "", {"path": inbox, "method": "POST", "json": []}),
    ):
        found = refuse(port, taxii, token, **kwargs)
        assert found.status == status
        assert words in found.reason
        assert found.reason
    assert found.use.failed_in_row == 7


def test_a_401_is_put_down_to_the_key_it_names(port: Port, taxii: Ask) -> None:
    token = port.key("south", "taxii:read")
    key = ApiKey.objects.get()
    assert "secret" in refuse(port, taxii, token[:-4]).reason
    as_name = {"Authorization": basic(token, "")}
    assert taxii("", "/taxii2/", headers=as_name).status_code == 401
    buffer.flush()
    assert ToolRequest.objects.first().reason == AS_USER_NAME  # type: ignore[union-attr]
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert "expired" in refuse(port, taxii, token).reason
    keys.revoke(key, actor="test")
    assert "revoked" in refuse(port, taxii, token).reason
    assert ToolUse.objects.get().last_ok_at is None


def test_no_secret_is_kept(port: Port, taxii: Ask) -> None:
    token = port.key("south", "taxii:read")
    where = f"/crc/collections/{token}/objects/?key={token}"
    taxii(token, where, headers={"User-Agent": token, "Accept": token})
    buffer.flush()
    kept = [*ToolRequest.objects.values_list(), *ToolUse.objects.values_list()]
    assert token.split("_", 2)[2] not in str(kept)


def test_unknown_keys_leave_no_trace_and_cannot_fill_the_memory(port: Port) -> None:
    token = port.key("south", "taxii:read")
    for number in range(buffers.MAX_KEYS + 10):
        buffer.add(Noted(f"{number:012x}", "GET", "/taxii2/", "", status=401))
    buffer.add(Noted(token.split("_")[1], "GET", "/taxii2/", "", status=200))
    assert len(buffer._tallies) == buffers.MAX_KEYS + 1
    buffer.flush()
    assert ToolUse.objects.count() == 1


def test_the_rhythm_is_learnt_and_old_hours_and_errors_go(port: Port) -> None:
    lookup = port.key("south", "taxii:read").split("_")[1]
    began = timezone.now() - timedelta(hours=30)
    for minute in range(0, 30 * 60, 10):
        noted = Noted(lookup, "GET", "/crc/collections/a/objects/", "", status=200, served=2)
        noted.at = began + timedelta(minutes=minute)
        buffer.add(noted)
        if minute % 60 == 0:
            failed = Noted(lookup, "GET", "/x", "", status=404, reason=str(minute))
            failed.at = noted.at
            buffer.add(failed)
            buffer.flush()
    buffer.flush()
    [picture] = pictures(ApiKey.objects.all())
    assert picture.usual == timedelta(minutes=10)
    assert ToolHour.objects.count() <= ledger.HOURS
    assert ToolRequest.objects.count() == ledger.KEPT_ERRORS
    assert ToolRequest.objects.first().reason == str(29 * 60)  # type: ignore[union-attr]
    assert picture.use.served == 360
    assert picture.served < 300


def test_while_watched_every_request_is_kept(port: Port, taxii: Ask) -> None:
    token = port.key("south", "taxii:read")
    taxii(token, "/taxii2/")
    buffer.flush()
    key = ApiKey.objects.get()
    watch.start(key)
    for _ in range(KEPT + 5):
        taxii(token, "/taxii2/")
    buffer.flush()
    use = ToolUse.objects.get()
    assert watch.seconds_left(use) > 100
    assert watch.seen(use).count() == ledger.KEPT_WATCHED
    ToolUse.objects.update(watch_until=timezone.now() - timedelta(seconds=1))
    taxii(token, "/taxii2/")
    buffer.flush()
    assert ToolRequest.objects.count() == ledger.KEPT_WATCHED


def test_a_database_that_is_away_loses_nothing_and_harms_nobody(
    port: Port, taxii: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = port.key("south", "taxii:read")

    def away(*args: Any) -> None:
        raise OperationalError("gone")

    taxii(token, "/taxii2/")
    with monkeypatch.context() as broken:
        broken.setattr(ledger, "write", away)
        buffer.flush()
        assert taxii(token, "/taxii2/").status_code == 200
        buffer.flush()
    buffer.flush()
    assert ToolUse.objects.get().requests == 2


def test_several_processes_add_up(busy_port: Port) -> None:
    token = busy_port.key("south", "taxii:read")
    lookup = token.split("_")[1]

    def process() -> None:
        own = Buffer()
        for _ in range(10):
            for _ in range(3):
                own.add(Noted(lookup, "GET", "/lists/ipv4.txt", "", status=200, served=1))
            own.flush()
        connection.close()

    threads = [threading.Thread(target=process) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (ToolUse.objects.get().requests, ToolUse.objects.get().served) == (120, 120)
    assert ToolPlace.objects.get().served == 120
    assert sum(ToolHour.objects.values_list("requests", flat=True)) == 120


def test_the_thread_writes_by_itself(busy_port: Port, settings: Any) -> None:
    settings.TOOL_USE_SECONDS = 1
    token = busy_port.key("south", "taxii:read")
    own, done = Buffer(), threading.Event()
    own.flush_was = own.flush  # type: ignore[attr-defined]

    def flush() -> None:
        own.flush_was()  # type: ignore[attr-defined]
        connection.close()
        done.set()

    own.flush = flush  # type: ignore[method-assign]
    own.add(Noted(token.split("_")[1], "GET", "/taxii2/", "", status=200))
    assert done.wait(10)
    assert ToolUse.objects.get().requests == 1


def test_a_tally_keeps_what_a_burst_ends_with() -> None:
    tally = Tally(NOW)
    for status in (200, 404, 404, 200, 500):
        tally.add(Noted("k", "GET", "/taxii2/", "", status=status))
    assert tally.failed_in_row == 1
    assert tally.last_ok_at
