"""Values that a column, an encoding or a list cannot hold: refused or served back, never a 5xx."""

import json
import uuid
from typing import Any

import pytest

from tests.taxii.conftest import Served
from tests.taxii.content import indicator, observable

LONG = "x" * 5_000
FAR = "9999-12-31T23:59:59.999Z"


def odd() -> list[dict[str, Any]]:
    """Objects that are odd in one place each."""
    changes: list[dict[str, Any]] = [
        {"name": "a\0b"},
        {"a\0b": "x"},
        {"name": "\ud800"},
        {"x_deep": {"\ud800": 1}},
        {"labels": [LONG] * 50},
        {"x_number": 10**30},
        {"x_number": 2**63},
        {"x_number": 1e308},
        {"confidence": 10**19},
        {"spec_version": "2.1" + LONG},
        {"type": "x-" + "a" * 300},
        {"id": f"indicator--{uuid.uuid4()}" + "0" * 400},
        {"created_by_ref": f"identity--{uuid.uuid4()}" + "0" * 400},
        {"object_marking_refs": [f"marking-definition--{uuid.uuid4()}" + "0" * 400]},
        {"modified": FAR},
        {"modified": "0001-01-01T00:00:00.000Z", "created": "0001-01-01T00:00:00.000Z"},
        {"modified": "2026-01-01T00:00:00." + "1" * 300 + "Z"},
        {"valid_from": "0001-01-01T00:00:00Z"},
        {"valid_from": "9999-12-31T23:59:59.999999999Z"},
        {"valid_from": "2026-01-01T00:00:00Z", "valid_until": FAR},
        {"valid_from": "2026-06-30T23:59:60Z"},
        {"pattern": f"[url:value = 'http://evil.example/{LONG}']"},
        {"pattern": "[domain-name:value = 'evil.example\\nfriendly.example']"},
        {"pattern": "[domain-name:value = 'evil\0.example']"},
        {"pattern": "[ipv4-addr:value = '0.0.0.0/0']"},
        {"pattern": "[file:hashes.MD5 = '" + "a" * 5_000 + "']"},
        {"lang": "en" * 500},
        {"revoked": "true"},
        {"revoked": 2**70},
    ]
    found = [{**indicator(), **change} for change in changes]
    for change in ({"value": "evil\0.example"}, {"value": LONG}, {"value": "a\nb"}):
        found.append({**observable(f"{uuid.uuid4().hex}.example"), **change})
    return found


@pytest.mark.parametrize("where", ["C1", "inbox-south"])
@pytest.mark.parametrize("number", range(len(odd())))
def test_one_odd_object_costs_neither_the_others_nor_the_hub(
    hub: Served, where: str, number: int
) -> None:
    plain = [indicator(), indicator()]
    objects = [plain[0], odd()[number], plain[1]]
    body = json.dumps({"objects": objects}).encode()
    answer = hub.post(where, body)
    # A body that is no JSON of ours is refused as a whole, and says why.
    assert answer.status in {202, 400, 422}, answer.body
    if answer.status != 202:
        assert answer.json["description"]
        return
    told = answer.json
    assert told["success_count"] >= 2, told
    assert all(failure["message"] for failure in told.get("failures", []))
    for path in ("objects", "manifest"):
        page = hub.get(
            f"{hub.at('desk' if where != 'C1' else where)}{path}/?limit=1000", who="DESK"
        )
        assert page.status == 200
        assert page.json


@pytest.mark.parametrize("kind", ["ipv4", "ipv6", "domain", "url", "md5", "sha256", "email"])
def test_a_list_has_one_value_of_its_kind_on_each_line(hub: Served, kind: str) -> None:
    answer = hub.get(f"/lists/{kind}.txt", who="LISTS", headers={"Accept": "*/*"})
    assert answer.status == 200
    lines = answer.body.decode().splitlines()
    assert all(line.isprintable() and " " not in line for line in lines if line), lines
    assert "0.0.0.0/0" not in lines
