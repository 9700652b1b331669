"""Deleting (T093, T094)."""

import uuid
from typing import Any

from crc.members.models import AuditEntry
from sharing.models import Collection
from sharing.stix.markings import MARKING_IDS, Tlp
from tests.taxii.conftest import Answer, Served
from tests.taxii.content import FIRST, SECOND, THIRD, indicator, later


def delete(hub: Served, obj: Any, query: str = "", who: str = "RW") -> Answer:
    """From C4."""
    return hub.send("DELETE", f"{hub.at('C4')}objects/{obj['id']}/{query}", who=who)


def left(hub: Served, obj: Any) -> list[str]:
    """The versions that C4 still has."""
    found = hub.get(f"{hub.at('C4')}objects/?match[id]={obj['id']}&match[version]=all")
    return [one["modified"] for one in found.objects]


def test_t093_what_is_deleted_is_gone_everywhere(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj, later(obj))
    answer = delete(hub, obj)
    assert (answer.status, answer.body) == (200, b"")
    at = hub.at("C4")
    assert hub.get(f"{at}objects/{obj['id']}/").status == 404
    assert hub.get(f"{at}objects/{obj['id']}/versions/").status == 404
    for rest in ("objects/", "manifest/"):
        found = hub.get(f"{at}{rest}?match[version]=all&limit=1000")
        assert obj["id"] not in found.body.decode()
    assert AuditEntry.objects.filter(action="object.deleted", subject=obj["id"]).count() == 1


def test_t093_one_version_can_be_deleted(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj, later(obj), later(obj, THIRD))
    assert delete(hub, obj, f"?match[version]={SECOND}").status == 200
    assert left(hub, obj) == [FIRST, THIRD]
    assert delete(hub, obj, "?match[version]=last").status == 200
    assert left(hub, obj) == [FIRST]
    [latest] = hub.get(f"{hub.at('C4')}objects/{obj['id']}/").objects
    assert latest["modified"] == FIRST
    assert delete(hub, obj, "?match[spec_version]=2.0").status == 404
    assert delete(hub, obj, "?match[version]=all,last").status == 400
    assert delete(hub, obj, "?match[type]=indicator").status == 400
    assert left(hub, obj) == [FIRST]


def test_t093_what_was_deleted_can_come_back(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj, later(obj))
    assert delete(hub, obj).status == 200
    hub.store("C4", obj)
    [again] = hub.get(f"{hub.at('C4')}objects/{obj['id']}/").objects
    assert again == obj
    hub.store("C4", later(obj))
    assert hub.get(f"{hub.at('C4')}objects/{obj['id']}/").objects == [later(obj)]


def test_t094_what_is_unknown_cannot_be_deleted(hub: Served) -> None:
    obj = indicator()
    assert delete(hub, obj).status == 404
    hub.store("C4", obj)
    assert delete(hub, obj, f"?match[version]={SECOND}").status == 404
    assert delete(hub, obj).status == 200
    assert delete(hub, obj).status == 404
    assert delete(hub, {"id": f"indicator--{uuid.uuid4()}"}).status == 404


def test_deleting_from_a_shelf_leaves_the_desks_copy(hub: Served) -> None:
    obj = indicator()
    hub.store("C4", obj)
    assert delete(hub, obj).status == 200
    desk = f"/crc/collections/desk/objects/{obj['id']}/"
    assert hub.get(desk, who="DESK").objects == [obj]


def test_nobody_deletes_what_another_put_there(hub: Served) -> None:
    for hubs_own in (MARKING_IDS[Tlp.GREEN],):
        answer = delete(hub, {"id": hubs_own})
        assert answer.status == 403
        assert hub.get(f"{hub.at('C4')}objects/{hubs_own}/").status == 200
    hub.port.organisations["kestrel"].refresh_from_db()
    Collection.objects.get(alias="quay-amber").writers.add(hub.port.organisations["kestrel"])
    other = hub.port.key("kestrel", "taxii:read", "taxii:write")
    obj = indicator()
    hub.store("C4", obj)
    assert delete(hub, obj, who=other).status == 403
    assert left(hub, obj) == [FIRST]
