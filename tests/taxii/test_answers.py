"""An answer that is remembered is given again only while it would be given anew."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from crc.members import keys
from crc.members.models import ApiKey, Organisation
from sharing.taxii import answers
from tests.taxii.conftest import Answer, Served
from tests.taxii.content import indicator

GIVEN: list[bool] = []


@pytest.fixture(autouse=True)
def _noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether each GET was answered from memory."""
    GIVEN.clear()
    again = answers.again

    def noting(request: bytes) -> answers.Answer | None:
        held = again(request)
        GIVEN.append(held is not None)
        return held

    monkeypatch.setattr(answers, "again", noting)


def key_of(hub: Served, slug: str) -> tuple[str, ApiKey]:
    """A key of its own for a member."""
    key, token = ApiKey.issue(Organisation.objects.get(slug=slug), ["taxii:read"])
    hub.keys[f"own {token}"] = token
    return f"own {token}", key


def without_date(answer: Answer) -> tuple[int, bytes, dict[str, str]]:
    """All that must be the same."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status, answer.body, headers


@pytest.mark.parametrize("query", ["", "?limit=2", "?added_after=2999-01-01T00:00:00Z"])
@pytest.mark.parametrize("coding", [None, "gzip"])
def test_the_same_request_is_answered_the_same(hub: Served, query: str, coding: str | None) -> None:
    who, _ = key_of(hub, "rail")
    headers = {"Accept-Encoding": coding} if coding else {}
    path = f"{hub.at('C1')}objects/{query}"
    first, second = (hub.get(path, who=who, headers=headers) for _ in range(2))
    assert GIVEN == [False, True]
    assert without_date(first) == without_date(second)
    assert second.status == 200


def test_one_plain_and_one_packed_answer_do_not_meet(hub: Served) -> None:
    path = f"{hub.at('C1')}objects/"
    codings = [None, "gzip", None, "gzip"]
    found = [hub.get(path, headers={"Accept-Encoding": c} if c else {}) for c in codings]
    assert ["content-encoding" in one.headers for one in found] == [False, True, False, True]


def test_head_has_no_body_after_get(hub: Served) -> None:
    path = f"{hub.at('C1')}objects/"
    got, asked = hub.get(path), hub.send("HEAD", path)
    assert (asked.status, asked.body) == (200, b"")
    assert asked.headers["content-length"] == got.headers["content-length"]


def test_what_is_new_is_served_at_once(hub: Served) -> None:
    path = f"{hub.at('C4')}objects/?limit=1000"
    before = hub.get(path).objects if hub.get(path).body != b"{}" else []
    for _ in range(3):
        new = indicator()
        hub.store("C4", new)
        after = hub.get(path).objects
        assert len(after) == len(before) + 1
        assert new in after
        before = after


def test_what_was_deleted_is_gone_at_once(hub: Served) -> None:
    new, path = indicator(), f"{hub.at('C4')}objects/?limit=1000"
    hub.store("C4", new)
    assert new in hub.get(path, who="RW").objects
    hub.send("DELETE", f"{hub.at('C4')}objects/{new['id']}/", who="RW")
    assert new["id"].encode() not in hub.get(path, who="RW").body


def _revoke(key: ApiKey) -> None:
    keys.revoke(key, actor="cli:test")


def _expire(key: ApiKey) -> None:
    # As the clock does it: no audit entry follows, so the remembered key itself must know.
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())
    for held in answers._memory._answers.values():
        if held.grounds.key.pk == key.pk:
            held.grounds.key.expires_at = timezone.now()


@pytest.mark.parametrize("end", [_revoke, _expire])
def test_a_key_that_is_no_longer_good_gets_nothing(
    hub: Served, end: Callable[[ApiKey], None]
) -> None:
    who, key = key_of(hub, "rail")
    path = f"{hub.at('C1')}objects/"
    assert [hub.get(path, who=who).status for _ in range(2)] == [200, 200]
    end(key)
    assert hub.get(path, who=who).status == 401
    assert GIVEN == [False, True, False]


def test_another_key_gets_its_own_answer(hub: Served) -> None:
    path = f"{hub.at('C1')}objects/"
    assert [hub.get(path).status for _ in range(2)] == [200, 200]
    assert hub.get(path, who="NONE").status == 404
    assert hub.get(path, who="ANON").status == 401


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, hub: Served) -> None:
    monkeypatch.setattr(answers, "MAX_REMEMBERED_BYTES", 10_000)
    memory = answers._Memory()
    held = next(iter(answers._memory._answers.values()))
    for number in range(40):
        body = b"x" * 1_000
        kept = answers.Answer("200 OK", [], body, held.grounds)
        memory.keep(number.to_bytes(2, "big"), kept)
    assert memory.get((0).to_bytes(2, "big")) is None
    assert memory.get((39).to_bytes(2, "big"))
    assert len(memory._answers) == 10
