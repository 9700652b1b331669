"""The TAXII server's doors: who gets in, what they see, how they page."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.db import connection
from django.utils import timezone
from taxii2client.v21 import Server, as_pages

from crc.members import audit
from crc.members.models import ApiKey
from sharing.models import Collection, Placement, Submission
from sharing.stix import reading
from sharing.stix.compose import indicator_pattern
from sharing.stix.extract import Indicator, IndicatorKind
from sharing.stix.markings import MARKING_IDS, Json, Tlp
from sharing.store import Item, put
from tests.conftest import Port

Ask = Callable[..., Any]


def indicator(number: int) -> Json:
    """A valid one."""
    address = Indicator(IndicatorKind.IPV4, f"198.51.{number // 250}.{number % 250}")
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{uuid.uuid4()}",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z",
        "name": f"Address {number}",
        "indicator_types": ["malicious-activity"],
        "pattern": indicator_pattern(address),
        "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z",
        "object_marking_refs": [MARKING_IDS[Tlp.GREEN]],
    }


def fill(alias: str, count: int) -> list[str]:
    """Ids of new indicators in a collection."""
    from django.db import transaction

    objects = [indicator(number) for number in range(count)]
    with transaction.atomic():
        put(
            [Item(o, reading.facts(o, default_tlp=Tlp.GREEN)) for o in objects],
            into=[Collection.objects.get(alias=alias)],
        )
    return [o["id"] for o in objects]


def path(alias: str) -> str:
    """The collection's path."""
    return f"/crc/collections/{Collection.objects.get(alias=alias).id}/"


def test_no_credentials_get_401(port: Port, taxii: Ask) -> None:
    for place in (
        "/taxii2/",
        "/crc/",
        "/crc/collections/",
        path("community-green"),
        path("community-green") + "objects/",
    ):
        answer = taxii("", place)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        assert answer.content_type == "application/taxii+json;version=2.1"
        assert answer.json["http_status"] == "401"


def test_wrong_expired_and_revoked_keys_get_401(port: Port, taxii: Ask) -> None:
    good = port.key("south", "taxii:read")
    key = ApiKey.objects.get()
    assert taxii(good, "/taxii2/").status_code == 200
    for wrong in (
        good + "x",
        good[:-1],
        "crc_",
        "crc_x_y",
        "a" * 5000,
        "ключ",
        f"crc_{key.lookup}_",
    ):
        assert taxii(wrong.encode().decode("latin-1"), "/taxii2/").status_code == 401
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    audit.record("key.changed", actor="operator", subject=key.lookup)
    assert taxii(good, "/taxii2/").status_code == 401
    ApiKey.objects.update(expires_at=None, revoked_at=timezone.now())
    audit.record("key.revoked", actor="operator", subject=key.lookup)
    assert taxii(good, "/taxii2/").status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer {}", "bearer {}", "Token {}", "TOKEN {}"])
def test_every_spelling_of_the_key_works(port: Port, taxii: Ask, scheme: str) -> None:
    key = port.key("south", "taxii:read")
    answer = taxii("", "/taxii2/", headers={"Authorization": scheme.format(key)})
    assert answer.status_code == 200
    assert taxii("", "/taxii2/", auth=("anything", key)).status_code == 200


def test_a_key_without_taxii_scope_gets_403(port: Port, taxii: Ask) -> None:
    answer = taxii(port.key("south", "lists:read"), "/taxii2/")
    assert answer.status_code == 403
    assert "scope" in answer.json["description"]


def test_unknown_and_forbidden_look_the_same(port: Port, taxii: Ask) -> None:
    key = port.key("outsider", "taxii:read")
    forbidden = taxii(key, path("community-green") + "objects/")
    unknown = taxii(key, f"/crc/collections/{uuid.uuid4()}/objects/")
    assert forbidden.status_code == unknown.status_code == 404
    assert [c["alias"] for c in taxii(key, "/crc/collections/").json["collections"]] == [
        "public-clear"
    ]
    assert taxii(key, "/elsewhere/").status_code == 404


def test_ceiling_and_role_decide_the_shelves(port: Port, taxii: Ask) -> None:
    def shelves(slug: str) -> set[str]:
        listed = taxii(port.key(slug, "taxii:read"), "/crc/collections/").json["collections"]
        return {c["alias"] for c in listed}

    everything = {"public-clear", "community-green", "community-amber", "community-strict"}
    assert shelves("south") == everything
    assert shelves("kestrel") == everything - {"community-strict"}
    assert shelves("repair") == everything - {"community-strict"}
    assert shelves("desk") == everything | {"desk"}


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/taxii+json",
        "",
        "application/json, */*",
        "application/taxii+json; version=2.1",
        'application/taxii+json;version="2.1"',
    ],
)
def test_accept_headers_that_work(port: Port, taxii: Ask, accept: str) -> None:
    assert (
        taxii(port.key("south", "taxii:read"), "/taxii2/", headers={"Accept": accept}).status_code
        == 200
    )


@pytest.mark.parametrize(
    "accept",
    ["application/json", "application/taxii+json;version=2.0", "application/vnd.oasis.taxii+json"],
)
def test_accept_headers_that_get_406(port: Port, taxii: Ask, accept: str) -> None:
    answer = taxii(port.key("south", "taxii:read"), "/taxii2/", headers={"Accept": accept})
    assert answer.status_code == 406
    assert answer.json["http_status"] == "406"


def test_paging_by_next_and_by_date_sees_every_object_once(port: Port, taxii: Ask) -> None:
    ids = fill("community-green", 250)
    key = port.key("south", "taxii:read")
    base = path("community-green") + "objects/?match[type]=indicator&limit=100"
    for cursor in ("next", "added_after"):
        seen: list[str] = []
        query = ""
        while True:
            answer = taxii(key, base + query)
            seen += [o["id"] for o in answer.json["objects"]]
            assert ("next" in answer.json) == ("more" in answer.json)
            if not answer.json.get("more"):
                break
            last = answer.headers["X-TAXII-Date-Added-Last"]
            query = f"&next={answer.json['next']}" if cursor == "next" else f"&added_after={last}"
        assert seen == ids
    last_added = answer.headers["X-TAXII-Date-Added-Last"]
    nothing = taxii(key, base + f"&added_after={last_added}")
    assert nothing.json == {}
    assert nothing.headers["X-TAXII-Date-Added-Last"] == last_added


def test_a_cursor_cannot_be_forged_or_carried_elsewhere(port: Port, taxii: Ask) -> None:
    fill("community-green", 3)
    key = port.key("south", "taxii:read")
    base = path("community-green") + "objects/?limit=1"
    token = taxii(key, base).json["next"]
    assert taxii(key, f"{base}&next={token}").status_code == 200
    assert taxii(key, f"{base}&next={token}x").status_code == 400
    assert taxii(key, f"{base}&next=1").status_code == 400
    assert taxii(key, path("community-amber") + f"objects/?next={token}").status_code == 400
    assert taxii(port.key("rail", "taxii:read"), f"{base}&next={token}").status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "added_after=notadate",
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=99999999999999999999",
        "match[version]=yesterday",
        "added_after=2026-01-01",
    ],
)
def test_bad_queries_get_400_and_a_reason(port: Port, taxii: Ask, query: str) -> None:
    answer = taxii(port.key("south", "taxii:read"), path("community-green") + f"objects/?{query}")
    assert answer.status_code == 400
    assert answer.json["description"]


def test_posting_to_the_inbox_says_what_became_of_each(port: Port, taxii: Ask) -> None:
    key = port.key("south", "taxii:read", "taxii:write")
    good, bad = indicator(1), {**indicator(2), "confidence": 900}
    status = taxii(
        key, path("inbox-south") + "objects/", method="POST", json={"objects": [good, bad, "x"]}
    )
    assert status.status_code == 202
    told = status.json
    assert (told["success_count"], told["failure_count"], told["pending_count"]) == (1, 2, 0)
    assert "confidence" in told["failures"][0]["message"]
    again = taxii(key, f"/crc/status/{told['id']}/")
    assert again.json == told
    assert taxii(port.key("rail", "taxii:read"), f"/crc/status/{told['id']}/").status_code == 404
    assert Submission.objects.get().source == port.organisations["south"]
    # Write-only for the member; the desk reads it; nobody else does.
    assert taxii(key, path("inbox-south") + "objects/").status_code == 403
    assert taxii(key, path("inbox-rail") + "objects/").status_code == 404
    desk = taxii(port.key("desk", "taxii:read"), path("desk") + f"objects/{good['id']}/")
    assert desk.json["objects"] == [good]
    assert Placement.objects.filter(object__stix_id=good["id"]).count() == 2


def test_the_same_version_with_other_content_is_refused(port: Port, taxii: Ask) -> None:
    key = port.key("south", "taxii:write")
    first = indicator(1)

    def post(obj: Json) -> Json:
        answer: Json = taxii(
            key, path("inbox-south") + "objects/", method="POST", json={"objects": [obj]}
        ).json
        return answer

    assert post(first)["success_count"] == 1
    assert post(first)["success_count"] == 1
    assert "other content" in post({**first, "name": "changed"})["failures"][0]["message"]
    later = {**first, "name": "changed", "modified": "2026-01-02T00:00:00.000Z"}
    assert post(later)["success_count"] == 1
    desk, base = port.key("desk", "taxii:read"), path("desk") + f"objects/{first['id']}/"
    assert [o["name"] for o in taxii(desk, base).json["objects"]] == ["changed"]
    assert len(taxii(desk, f"{base}?match[version]=all").json["objects"]) == 2
    assert taxii(desk, f"{base}?match[version]=first").json["objects"] == [first]
    assert len(taxii(desk, f"{base}versions/").json["versions"]) == 2


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{nonsense", "application/taxii+json;version=2.1", 400),
        (b"[]", "application/taxii+json;version=2.1", 422),
        (b"{}", "application/taxii+json;version=2.1", 422),
        (b'{"objects":[]}', "application/taxii+json;version=2.1", 422),
        (b'{"objects":[1],"objects":[2]}', "application/taxii+json;version=2.1", 400),
        (b"[" * 5000, "application/taxii+json;version=2.1", 400),
        (b'{"objects":[1]}', "application/json", 415),
        (b'{"objects":[1]}', "application/taxii+json;version=2.0", 415),
    ],
)
def test_bodies_that_cannot_be_read(
    port: Port, taxii: Ask, body: bytes, content_type: str, status: int
) -> None:
    answer = taxii(
        port.key("south", "taxii:write"),
        path("inbox-south") + "objects/",
        method="POST",
        data=body,
        headers={"Content-Type": content_type},
    )
    assert answer.status_code == status
    assert answer.json["http_status"] == str(status)
    assert "Traceback" not in answer.text
    assert not Submission.objects.exists()


def test_too_large_a_body_gets_413(port: Port, taxii: Ask) -> None:
    answer = taxii(
        port.key("south", "taxii:write"),
        path("inbox-south") + "objects/",
        method="POST",
        data=b" " * (10 * 1024 * 1024 + 1),
        headers={"Content-Type": "application/taxii+json;version=2.1"},
    )
    assert answer.status_code == 413


@pytest.fixture
def live(busy_port: Port) -> Iterator[str]:
    """The TAXII application behind a real socket."""
    from sharing.taxii.app import application

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    def closing(environ: Any, start_response: Any) -> Any:
        try:
            return list(application(environ, start_response))
        finally:
            connection.close()

    server = make_server("127.0.0.1", 0, closing, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_taxii2_client_unmodified_does_the_whole_job(
    busy_port: Port, live: str, settings: Any
) -> None:
    settings.BASE_URL = live
    ids = fill("community-green", 25)
    key = busy_port.key("south", "taxii:read", "taxii:write")
    root = Server(f"{live}/taxii2/", user="siem", password=key).default
    shelves = {collection.title: collection for collection in root.collections}
    shelf = shelves["Community: TLP:GREEN"]
    pages = list(as_pages(shelf.get_objects, per_request=10, type="indicator"))
    assert [o["id"] for page in pages for o in page["objects"]] == ids
    listed = list(as_pages(shelf.get_manifest, per_request=10, type="indicator"))
    assert [o["id"] for page in listed for o in page["objects"]] == ids
    inbox = shelves["Inbox of South Basin Terminal"]
    status = inbox.add_objects(json.dumps({"objects": [indicator(7)]}))
    assert (status.status, status.success_count) == ("complete", 1)
    assert shelf.get_object(ids[0])["objects"][0]["id"] == ids[0]


def test_a_length_too_long_to_be_a_number_is_too_large(port: Port, taxii: Ask) -> None:
    answer = taxii(
        port.key("south", "taxii:write"),
        path("inbox-south") + "objects/",
        method="POST",
        data=b"{}",
        environ_overrides={"CONTENT_LENGTH": "9" * 4_400},
    )
    assert answer.status_code == 413
