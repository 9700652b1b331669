"""The indicators that every store under measurement holds: about 600 bytes each, by a seed."""

import random
import uuid
from collections.abc import Iterator
from typing import Final

CREATED: Final = "2026-01-01T00:00:00.000Z"
AUTHOR: Final = "identity--a463ffb3-1bd9-4d94-b02d-74e4f1658283"
GREEN: Final = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"

HEAD: Final = '{{"type":"indicator","spec_version":"2.1","id":"{stix_id}",'
# What follows type, spec_version and id, which OpenTAXII keeps in columns of their own.
REST: Final = (
    f'"created_by_ref":"{AUTHOR}","created":"{CREATED}","modified":"{CREATED}",'
    '"name":"Address {number}","description":"Seen in an incident at a port member: ransomware",'
    '"indicator_types":["malicious-activity"],"pattern":"[ipv4-addr:value = \'{address}\']",'
    '"pattern_type":"stix","pattern_version":"2.1","valid_from":"2026-01-01T00:00:00Z",'
    '"valid_until":"2036-04-01T00:00:00Z","confidence":50,"labels":["ransomware"],'
    f'"object_marking_refs":["{GREEN}"]}}}}'
)


def indicators(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """``count`` pairs of a STIX id and the JSON after the ``HEAD``; the same for the same seed."""
    drawn = random.Random(seed)
    for number in range(count):
        stix_id = f"indicator--{uuid.UUID(int=drawn.getrandbits(128), version=4)}"
        a, b, c, d = drawn.getrandbits(32).to_bytes(4, "big")
        address = f"{a % 223 + 1}.{b}.{c}.{d}"
        yield stix_id, REST.format(number=number, address=address)


def whole(stix_id: str, rest: str) -> str:
    """The object, as compact JSON."""
    return HEAD.format(stix_id=stix_id) + rest


def envelopes(count: int, seed: int, *, size: int = 1_000) -> list[bytes]:
    """``count`` envelopes of ``size`` indicators each, no two alike."""
    drawn = indicators(count * size, seed)
    return [
        b'{"objects":[%b]}' % ",".join(whole(*next(drawn)) for _ in range(size)).encode()
        for _ in range(count)
    ]
