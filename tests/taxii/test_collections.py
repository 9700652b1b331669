"""Collections (T043 to T048)."""

import uuid

from sharing.models import Collection
from tests.taxii.conftest import Served


def test_t043_who_has_no_collection_gets_an_empty_object(hub: Served) -> None:
    assert hub.get("/crc/collections/", who="NOTHING").body == b"{}"


def test_t044_the_order_is_always_the_same(hub: Served) -> None:
    answers = {hub.get("/crc/collections/", who="RW").body for _ in range(5)}
    assert len(answers) == 1


def test_t045_t047_every_collection_is_described_as_the_standard_wants(hub: Served) -> None:
    for who in ("RW", "RO", "WO", "DESK"):
        for told in hub.get("/crc/collections/", who=who).json["collections"]:
            assert uuid.UUID(told["id"]).version == 4
            assert told["title"]
            assert type(told["can_read"]) is bool
            assert type(told["can_write"]) is bool
            assert told["media_types"] == ["application/stix+json;version=2.1"]
            assert set(told) <= {
                "id", "title", "description", "alias", "can_read", "can_write", "media_types",
            }  # fmt: skip
            assert hub.get(f"/crc/collections/{told['id']}/", who=who).json == told


def test_t045_titles_are_unique_for_clients_that_find_collections_by_them(hub: Served) -> None:
    titles = list(Collection.objects.values_list("title", flat=True))
    assert len(titles) == len(set(titles))


def test_t046_an_alias_is_as_good_as_an_id(hub: Served) -> None:
    told = hub.get("/crc/collections/", who="DESK").json["collections"]
    aliases = [collection["alias"] for collection in told]
    assert len(aliases) == len(set(aliases))
    known = hub.seeded["versioned"]
    for rest in ("", "manifest/", "objects/", f"objects/{known}/", f"objects/{known}/versions/"):
        by_id, by_alias = hub.get(hub.at("C1") + rest), hub.get(hub.at("quay-green") + rest)
        assert by_id.status == by_alias.status == 200
        assert by_id.body == by_alias.body
    cursor = hub.get(f"{hub.at('C1')}objects/?limit=1").json["next"]
    assert hub.get(f"{hub.at('quay-green')}objects/?next={cursor}").status == 200
    assert (
        hub.get(hub.at("C1").upper().replace("/CRC/COLLECTIONS", "/crc/collections")).status == 200
    )


def test_t048_an_unknown_collection_is_404(hub: Served) -> None:
    for name in (str(uuid.uuid4()), "quay", "QUAY-GREEN", "nonsense", "%00", "%ff"):
        for rest in ("", "manifest/", "objects/", "objects/x/", "objects/x/versions/"):
            assert hub.get(f"/crc/collections/{name}/{rest}").status == 404, (name, rest)
