"""Real clients, in the small: a full sync and a delta sync each, without loss, loop or doubt.

Each imitation does what its client's code does with answers, including what it does wrong
(docs/taxii.md, "Tools"). None may need more requests than there are pages, or it is looping.
"""

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import stix2
from taxii2client.v21 import Collection as TaxiiCollection
from taxii2client.v21 import Server, as_pages

from crc.members.models import ApiKey
from sharing.models import Collection
from sharing.stix.markings import MARKING_IDS, Json, Tlp
from tests.patience import without_a_hang
from tests.taxii.conftest import Answer, Served
from tests.taxii.content import indicator, later, malware, observable

MOST_REQUESTS = 60


@dataclass
class Client:
    """What every imitation has: where it asks, and what it has got."""

    hub: Served
    path: str
    headers: dict[str, str]
    objects: dict[str, Json] = field(default_factory=dict)
    requests: int = 0

    def ask(self, query: str, path: str = "") -> Answer:
        """One GET, counted."""
        self.requests += 1
        assert self.requests < MOST_REQUESTS, "this client loops"
        separator = "?" if query else ""
        return self.hub.get(
            f"{path or self.path}{separator}{query}", who="ANON", headers=self.headers
        )

    def keep(self, objects: list[Json]) -> None:
        """The newest version of each wins, as in any store."""
        for obj in objects:
            held = self.objects.get(obj["id"], {})
            if obj.get("modified", "") >= held.get("modified", ""):
                self.objects[obj["id"]] = obj


def basic(user: str, password: str, scheme: str = "Basic") -> str:
    """An Authorization header."""
    return f"{scheme} {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class OpenCtiFeed(Client):
    """One page a tick, ``next`` and ``added_after`` together; the header cut to milliseconds."""

    added_after = "2020-01-01T00:00:00.000Z"
    cursor = ""

    def tick(self) -> bool:
        """False when the feed has caught up."""
        query = f"added_after={self.added_after}"
        if self.cursor:
            query += f"&next={self.cursor}"
        answer = self.ask(query)
        assert answer.status == 200, answer.body
        told = answer.json
        self.keep(told.get("objects", []))
        if told.get("more"):
            self.cursor = told["next"]
            return True
        self.cursor = ""
        last = answer.headers.get("x-taxii-date-added-last")
        assert last, "OpenCTI would go on from its own clock and miss what is committed meanwhile"
        self.added_after = f"{last[:23]}Z"
        return False

    def sync(self) -> None:
        """Until it has caught up."""
        while self.tick():
            pass


class OpenCtiConnector(Client):
    """Finds the root by its last segment, the collection by title; believes ``spec_version``."""

    since = ""

    def sync(self) -> None:
        """Discovery first, as at every start."""
        roots = self.ask("", "/taxii2/").json["api_roots"]
        [root] = [r for r in roots if r.strip("/").rpartition("/")[2] == "crc"]
        listed = self.ask("", f"{urlsplit(root).path}collections/").json["collections"]
        [found] = [c for c in listed if c["title"] == "Quay: TLP:GREEN"]
        path = f"{urlsplit(root).path}collections/{found['id']}/objects/"
        query = f"added_after={self.since}&limit=50" if self.since else "limit=50"
        answer = self.ask(query, path)
        while True:
            told = answer.json
            for obj in told.get("objects", []):
                assert obj["spec_version"] == "2.1", "the connector takes this page for STIX 2.0"
            self.keep(told.get("objects", []))
            self.since = answer.headers.get("x-taxii-date-added-last", self.since)
            if not told.get("more"):
                return
            answer = self.ask(f"limit=50&next={told['next']}", path)  # added_after is dropped


class Elastic(Client):
    """Follows ``next`` and nothing else; its first date has whole seconds, the later are ours."""

    since = "2020-01-01T00:00:00Z"
    filters = ""

    def sync(self) -> None:
        """One interval."""
        query = f"added_after={self.since}{self.filters}"
        while True:
            answer = self.ask(query)
            assert answer.status in {200, 206}
            told = answer.json
            self.keep(told.get("objects", []))
            self.since = answer.headers.get("x-taxii-date-added-last", self.since)
            if "next" not in told:
                return
            query = f"next={told['next']}"  # before 1.8.2, added_after was lost here


class Xsoar(Client):
    """Finds the collection by title; stops at the first page without objects; TLP 1 alone."""

    since = ""

    def sync(self) -> None:
        """Tries 2.1 and falls back to 2.0 only on 406."""
        self.headers["Accept"] = "application/taxii+json;version=2.1"
        assert self.ask("", "/taxii2").status == 200
        listed = self.ask("", "/crc/collections").json["collections"]
        [found] = [c for c in listed if c["title"] == "Quay: TLP:GREEN"]
        path = f"/crc/collections/{found['id']}/objects"
        query = "limit=100&match%5Btype%5D=indicator%2Crelationship"
        if self.since:
            query += f"&added_after={self.since}"
        answer = self.ask(query, path)
        while answer.objects:
            self.keep(answer.objects)
            self.since = answer.headers["x-taxii-date-added-last"]
            if not answer.json.get("more"):
                return
            answer = self.ask(f"{query}&next={answer.json['next']}", path)
        assert not answer.json.get("more"), "XSOAR would stop here and miss the rest"


class MispBrowse(Client):
    """Scheme in lower case, Content-type on GET, a page of 50, ``next`` empty at first."""

    def sync(self) -> None:
        """Page after page, as a person clicks."""
        self.headers["Content-type"] = "application/taxii+json; version=2.1"
        following = ""
        while True:
            told = self.ask(f"limit=50&next={following}").json
            self.keep(told["objects"])
            following = told.get("next", "")
            if not following:
                return


class Minemeld(Client):
    """By dates alone: any inclusive ``added_after`` and it never ends."""

    since = "1970-01-01T00:00:00Z"

    def sync(self) -> None:
        """Until a page is empty."""
        while True:
            answer = self.ask(f"added_after={self.since}&limit=50")
            if not answer.objects:
                return
            self.keep(answer.objects)
            self.since = answer.headers["x-taxii-date-added-last"]


def clients(hub: Served) -> dict[str, Callable[[], Any]]:
    """Each on C1, with the credentials it can send."""
    path, key = f"{hub.at('C1')}objects/", hub.keys["RO"]
    json_first = "application/json, text/plain, */*"
    taxii = "application/taxii+json;version=2.1"
    return {
        "OpenCTI feed": lambda: OpenCtiFeed(
            hub, path, {"Accept": json_first, "Authorization": f"Bearer {key}"}
        ),
        "OpenCTI connector": lambda: OpenCtiConnector(
            hub, path, {"Accept": taxii, "Authorization": f"Token {key}"}
        ),
        "Elastic": lambda: Elastic(
            hub, path, {"Accept": taxii, "Content-Type": taxii, "Authorization": basic("x", key)}
        ),
        "XSOAR": lambda: Xsoar(hub, path, {"Authorization": f"Token {key}"}),
        "MISP": lambda: MispBrowse(
            hub, path, {"Accept": taxii, "Authorization": basic("misp", key, "basic")}
        ),
        "MineMeld": lambda: Minemeld(
            hub, path, {"Accept": taxii, "Authorization": basic("mm", key)}
        ),
    }


NAMES = ["OpenCTI feed", "OpenCTI connector", "Elastic", "XSOAR", "MISP", "MineMeld"]


def current(hub: Served, *, of: str = "") -> dict[str, Json]:
    """What C1 holds, from the shortest possible walk."""
    pages = hub.pages(f"{hub.at('C1')}objects/?limit=1000{of}")
    return {obj["id"]: obj for page in pages for obj in page.objects}


@pytest.mark.parametrize("name", NAMES)
def test_a_full_and_a_delta_sync_lose_nothing(hub: Served, name: str) -> None:
    wanted = "&match[type]=indicator,relationship" if name == "XSOAR" else ""
    hub.store("C1", *(indicator() for _ in range(120)))
    client = clients(hub)[name]()
    client.sync()
    assert client.objects == current(hub, of=wanted)

    client.requests = 0
    client.sync()  # nothing new, and it has to notice
    assert client.objects == current(hub, of=wanted)

    old, fresh = indicator(), [indicator() for _ in range(130)]
    hub.store("C1", old, *fresh)
    hub.store("C1", later(old, revoked=True), observable(f"{uuid.uuid4().hex}.example"))
    client.requests = 0
    client.sync()
    assert client.objects == current(hub, of=wanted)
    assert client.objects[old["id"]]["revoked"] is True


def test_elastic_keeps_its_filter_over_the_pages(hub: Served) -> None:
    hub.store("C1", *(indicator() for _ in range(220)), malware())
    client = clients(hub)["Elastic"]()
    client.filters = "&match[type]=indicator"
    client.sync()
    assert client.objects == current(hub, of="&match[type]=indicator")
    assert client.requests >= 3


def test_opencti_reads_its_last_millisecond_again_and_no_more(hub: Served) -> None:
    client = clients(hub)["OpenCTI feed"]()
    client.sync()
    client.requests = 0
    before = dict(client.objects)
    for _ in range(3):
        client.sync()
    assert client.objects == before
    assert client.requests < 20


def test_xsoar_knows_every_marking_of_a_key_made_for_it(hub: Served) -> None:
    key, token = ApiKey.issue(hub.port.organisations["rail"], ["taxii:read"], markings="tlp1+2")
    client = clients(hub)["XSOAR"]()
    client.headers["Authorization"] = basic("_api_token_key", token)
    client.sync()
    known = {
        "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
        "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
        "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
        "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
    }
    assert len(client.objects) > 20
    for obj in client.objects.values():
        assert known & set(obj["object_marking_refs"])
    key.delete()


def test_misp_pushes_envelopes_cut_to_the_limit_and_goes(hub: Served) -> None:
    limit = hub.get("/crc/").json["max_content_length"]
    event = [indicator(labels=['misp:type="ip-dst"']) for _ in range(30)]
    custom = {
        **malware(),
        "type": "x-misp-object",
        "id": f"x-misp-object--{uuid.uuid4()}",
        "x_misp_name": "port-of-call",
        "x_misp_attributes": [{"type": "text", "object_relation": "name", "value": "Quay"}],
    }
    left = [*event, custom]
    while left:
        batch: list[Json] = []
        while left and len(json.dumps({"objects": [*batch, left[0]]})) < limit:
            batch.append(left.pop(0))
        answer = hub.post("C2", {"objects": batch}, who="WO")
        assert answer.status == 202
        assert answer.json["total_count"] == len(batch)
        assert answer.json["failure_count"] == 0


def plain_list(hub: Served, kind: str, **headers: str) -> Answer:
    """As a firewall asks for it: Basic, no Accept worth the name."""
    return hub.get(
        f"/lists/{kind}.txt",
        who="ANON",
        headers={
            "Accept": "*/*",
            "Authorization": basic("fortigate", hub.keys["LISTS"]),
            "Connection": "close",
            **headers,
        },
    )


def addresses(objects: Iterator[Json] | list[Json]) -> set[str]:
    """What the patterns of these indicators name."""
    return {obj["pattern"].split("'")[1] for obj in objects}


def test_fortigate_gets_one_type_a_line_and_keeps_its_copy(hub: Served) -> None:
    old, new = indicator(), indicator()
    hub.store("C4", old)
    first = plain_list(hub, "ipv4")
    lines = first.body.decode().splitlines()
    assert first.headers["content-type"].startswith("text/plain")
    assert addresses([old]) <= set(lines)
    assert all(line.replace(".", "").isdecimal() for line in lines)
    assert len(lines) == len(set(lines))
    unchanged = plain_list(hub, "ipv4", **{"If-None-Match": first.headers["etag"]})
    assert (unchanged.status, unchanged.body) == (304, b"")

    hub.store("C4", new, later(old, revoked=True))
    second = plain_list(hub, "ipv4", **{"If-None-Match": first.headers["etag"]})
    assert second.status == 200
    assert set(second.body.decode().splitlines()) == set(lines) - addresses([old]) | addresses(
        [new]
    )


def test_fortigate_stix_feed_is_told_that_there_is_no_stix_2_0(hub: Served) -> None:
    accept = "application/vnd.oasis.stix+json; version=2.0"
    answer = hub.get(f"{hub.at('C1')}objects/", headers={"Accept": accept, "Connection": "close"})
    assert answer.status == 406


def test_palo_alto_gets_urls_a_line(hub: Served) -> None:
    value = f"http://{uuid.uuid4().hex}.example/gate"
    hub.store("C4", indicator(pattern=f"[url:value = '{value}']"))
    key = ApiKey.issue(hub.port.organisations["rail"], ["lists:read"])[1]
    answer = plain_list(hub, "url", Authorization=basic("pan", key))
    assert answer.status == 200
    assert value in answer.body.decode().splitlines()


def sending(header: str) -> Callable[[Any], Any]:
    """How a requests-based client sends a key as a token."""

    def signed(request: Any) -> Any:
        request.headers["Authorization"] = header
        return request

    return signed


@pytest.mark.parametrize("word", ["Token", "Bearer"])
def test_taxii2_client_from_discovery_to_status(hub: Served, word: str) -> None:
    server = Server(f"{hub.base}/taxii2", auth=sending(f"{word} {hub.keys['RW']}"))
    root = server.default
    assert [api_root.url for api_root in server.api_roots] == [root.url]
    assert root.url.endswith("/crc/")
    assert root.max_content_length > 0
    shelves = {collection.title: collection for collection in root.collections}
    shelf = shelves["Quay: TLP:AMBER"]
    assert shelf.can_read
    assert shelf.can_write
    obj = indicator()
    status = shelf.add_objects({"objects": [obj, later(obj)]})
    assert (status.status, status.success_count) == ("complete", 2)
    status.refresh()
    assert root.get_status(status.id).success_count == 2
    pages = list(as_pages(shelf.object_versions, 1, obj["id"]))
    assert [page["versions"] for page in pages] == [[obj["modified"]], [later(obj)["modified"]]]
    every = list(as_pages(shelf.get_object, 1, obj["id"], version="all"))
    assert [page["objects"] for page in every] == [[obj], [later(obj)]]
    assert shelf.get_manifest(id=obj["id"])["objects"][0]["version"] == later(obj)["modified"]
    shelf.delete_object(obj["id"])
    assert shelf.get_objects(id=obj["id"]) == {}
    server.close()


def test_taxii2_client_waits_for_a_large_post(hub: Served) -> None:
    from sharing.tasks import open_waiting

    with TaxiiCollection(f"{hub.base}{hub.at('C4')}", user="x", password=hub.keys["RW"]) as shelf:
        status = shelf.add_objects({"objects": [indicator() for _ in range(1_001)]}, 0)
        assert (status.status, status.pending_count) == ("pending", 1_001)
        assert open_waiting() == 1
        status.wait_until_final(poll_interval=0.1)
        assert (status.status, status.success_count) == ("complete", 1_001)


@pytest.fixture
def store(hub: Served) -> Iterator[stix2.TAXIICollectionStore]:
    """stix2's store on C4, with few objects a page."""
    Collection.objects.get(alias="quay-amber")
    with TaxiiCollection(f"{hub.base}{hub.at('C4')}", user="x", password=hub.keys["RW"]) as shelf:
        yield stix2.TAXIICollectionStore(shelf, allow_custom=True, items_per_page=5)


def test_stix2_store_adds_and_finds(store: stix2.TAXIICollectionStore) -> None:
    made = [
        stix2.v21.Indicator(
            pattern_type="stix",
            pattern=f"[domain-name:value = '{uuid.uuid4().hex}.example']",
            name="Made by stix2",
            object_marking_refs=[MARKING_IDS[Tlp.GREEN]],
        )
        for _ in range(12)
    ]
    store.add(made[0])
    store.add(stix2.v21.Bundle(made[1:]))  # the sink sends bundles, never envelopes
    assert store.get(made[0].id) == made[0]
    assert store.get(f"indicator--{uuid.uuid4()}") is None
    found = store.query([stix2.Filter("type", "=", "indicator")])
    assert {one.id for one in made} <= {one.id for one in found}
    newer = made[0].new_version(name="Made again")
    store.add(newer)
    assert store.get(made[0].id).name == "Made again"
    assert len(store.all_versions(made[0].id)) == 2
    gone = newer.revoke()
    store.add(gone)
    assert store.get(made[0].id).revoked is True


def test_stix2_source_and_sink_by_themselves(hub: Served) -> None:
    with (
        TaxiiCollection(f"{hub.base}{hub.at('C2')}", user="x", password=hub.keys["WO"]) as inbox,
        TaxiiCollection(f"{hub.base}{hub.at('C1')}", user="x", password=hub.keys["RO"]) as shelf,
    ):
        stix2.TAXIICollectionSink(inbox).add(stix2.v21.Malware(name="Dark Tide", is_family=True))
        source = stix2.TAXIICollectionSource(shelf, items_per_page=3)
        found = source.query([stix2.Filter("type", "=", "marking-definition,malware")])
        wanted = current(hub, of="&match[type]=marking-definition,malware")
        assert {one["id"] for one in found} == set(wanted)
        assert len(wanted) > 6  # more than two pages
        assert len(source.all_versions(hub.seeded["versioned"])) == 3
        assert source.get(hub.seeded["versioned"]).id == hub.seeded["versioned"]
        with pytest.raises(stix2.datastore.DataSourceError):
            stix2.TAXIICollectionSink(shelf)


def test_every_page_is_well_inside_the_patience_of_clients(hub: Served) -> None:
    with without_a_hang():
        assert hub.get(f"{hub.at('C1')}objects/?limit=1000").status == 200
