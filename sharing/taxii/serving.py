"""A stored body as one key gets it: as it came, but for two things a client may need."""

import orjson

from crc.members.models import ApiKey
from crc.members.roles import Markings
from sharing.stix.markings import with_tlp1

_SPEC_VERSION = b'{"spec_version":"2.1",'


def served(body: bytes, *, lacks_spec_version: bool, key: ApiKey) -> bytes:
    """The bytes that go out for one object."""
    # Stored JSON is compact and never empty: what follows the brace is its first key.
    told = _SPEC_VERSION + body[1:] if lacks_spec_version else body
    if key.markings == Markings.TLP1_2:
        told = orjson.dumps(with_tlp1(orjson.loads(told)))
    return told
