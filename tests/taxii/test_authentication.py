"""Who gets in, and what they learn of what is not theirs (T019 to T026)."""

import base64
import uuid

import pytest

from tests.taxii.conftest import TAXII, Answer, Served
from tests.taxii.content import indicator
from tests.taxii.test_media_types import endpoints


def basic(password: str, user: str = "anybody") -> str:
    """An Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def all_refused(hub: Served, headers: dict[str, str]) -> None:
    """Every endpoint and method answers 401 with a challenge."""
    c1 = hub.at("C1")
    answers = [hub.get(path, who="ANON", headers=headers) for path in endpoints(hub)]
    answers.append(
        hub.send("POST", f"{c1}objects/", who="ANON", body={"objects": []}, headers=headers)
    )
    path = f"{c1}objects/{hub.seeded['versioned']}/"
    answers.append(hub.send("DELETE", path, who="ANON", headers=headers))
    for answer in answers:
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Basic realm=")
        assert "Bearer realm=" in answer.headers["www-authenticate"]
        assert answer.headers["content-type"] == TAXII


def test_t019_t021_nobody_gets_in_without_a_key(hub: Served) -> None:
    all_refused(hub, {})


@pytest.mark.parametrize(
    "header",
    [
        "Bearer crc_000000000000_wrong",
        "Bearer",
        "Basic",
        "Basic !!!",
        "Digest username=x",
        basic("wrong"),
        basic(""),
        basic("", user=""),
        basic("crc_\0_x"),
    ],
)
def test_t019_t021_wrong_credentials_are_no_credentials(hub: Served, header: str) -> None:
    all_refused(hub, {"Authorization": header})


@pytest.mark.parametrize("form", ["Basic", "basic", "BASIC", "Bearer", "bEARER", "Token", "TOKEN"])
def test_t020_one_key_in_every_spelling(hub: Served, form: str) -> None:
    key = hub.keys["RO"]
    header = f"{form} {key}"
    if form.lower() == "basic":
        header = basic(key, user="whoever").replace("Basic", form)
    answer = hub.get("/taxii2/", who="ANON", headers={"Authorization": header})
    assert answer.status == 200


def test_t020_basic_can_be_switched_off(hub: Served, settings: object) -> None:
    settings.TAXII_BASIC = False  # type: ignore[attr-defined]
    key = hub.keys["RO"]
    refused = hub.get("/taxii2/", who="ANON", headers={"Authorization": basic(key)})
    assert refused.status == 401
    assert refused.headers["www-authenticate"] == 'Bearer realm="hub"'
    assert "Basic" not in refused.json["description"]
    assert hub.get("/taxii2/", who="RO").status == 200


def reads(hub: Served, collection: str, who: str) -> list[Answer]:
    """The four endpoints that need can_read."""
    at, known = hub.at(collection), hub.seeded["versioned"]
    paths = ("manifest/", "objects/", f"objects/{known}/", f"objects/{known}/versions/")
    return [hub.get(at + path, who=who) for path in paths]


def test_t022_what_may_not_be_read_is_403_or_looks_absent(hub: Served) -> None:
    assert {answer.status for answer in reads(hub, "C2", "WO")} == {403}
    assert {answer.status for answer in reads(hub, "C1", "NONE")} == {404}
    assert {answer.status for answer in reads(hub, "C2", "RO")} == {404}


def test_t023_what_may_not_be_written_is_403_or_looks_absent(hub: Served) -> None:
    body = {"objects": [indicator()]}
    assert hub.post("C1", body, who="RO").status == 403
    assert hub.post("C1", body, who="NONE").status == 404
    assert hub.post("C2", body, who="RO").status == 404


def test_t024_deleting_needs_both(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj)
    hub.store("C2", obj)

    def delete(collection: str, who: str) -> int:
        return hub.send("DELETE", f"{hub.at(collection)}objects/{obj['id']}/", who=who).status

    assert delete("C4", "NONE") == 404
    assert delete("C4", "RO") == 403
    assert delete("C2", "WO") == 403
    assert delete("C2", "RW") == 403
    assert hub.get(f"{hub.at('C4')}objects/{obj['id']}/").status == 200
    assert delete("C4", "RW") == 200


def test_t025_each_sees_its_own_collections_and_rights(hub: Served) -> None:
    def rights(who: str) -> dict[str, tuple[bool, bool]]:
        listed = hub.get("/crc/collections/", who=who).json["collections"]
        return {c["alias"]: (c["can_read"], c["can_write"]) for c in listed}

    assert rights("RW")["quay-green"] == (True, True)
    assert rights("RO")["quay-green"] == (True, False)
    assert rights("WO") == {
        "inbox-south": (False, True),
        "quay-green": (False, True),
        "quay-amber": (False, True),
        "quay-strict": (False, True),
    }
    assert rights("NONE") == {"inbox-outsider": (False, True), "public-clear": (True, False)}
    single = hub.get(hub.at("C1"), who="WO").json
    assert (single["can_read"], single["can_write"]) == (False, True)


def test_t026_absent_and_forbidden_look_the_same(hub: Served) -> None:
    nowhere, hidden = f"/crc/collections/{uuid.uuid4()}/", hub.at("C1")
    known = hub.seeded["versioned"]
    status = hub.store("C2", indicator())["id"]
    pairs = [
        (hub.get(nowhere + rest, who="NONE"), hub.get(hidden + rest, who="NONE"))
        for rest in (
            "",
            "manifest/",
            "objects/",
            f"objects/{known}/",
            f"objects/{known}/versions/",
            "objects/?limit=0",
        )
    ]
    pairs += [
        (hub.get(f"/crc/status/{uuid.uuid4()}/"), hub.get(f"/crc/status/{status}/")),
        (
            hub.send("DELETE", f"{nowhere}objects/{known}/", who="NONE"),
            hub.send("DELETE", f"{hidden}objects/{known}/", who="NONE"),
        ),
    ]
    for absent, forbidden in pairs:
        assert absent.status == forbidden.status == 404
        assert absent.body == forbidden.body
        assert set(absent.headers) == set(forbidden.headers)


def test_no_cache_gives_one_keys_answer_to_another(hub: Served) -> None:
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        answer = hub.get(f"{hub.at('C1')}objects/", headers=headers)
        assert "Authorization" in answer.headers["vary"]
    assert "Accept-Encoding" in answer.headers["vary"]
