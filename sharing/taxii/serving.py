"""A stored body as one key gets it: as it came, but for two things a client may need."""

import orjson

from crc.members.models import ApiKey
from crc.members.roles import Markings
from sharing.segments import told
from sharing.stix.markings import with_tlp1


def served(body: bytes, *, lacks_spec_version: bool, key: ApiKey) -> bytes:
    """The bytes that go out for one object."""
    whole = told(body, lacks_spec_version=lacks_spec_version)
    if key.markings == Markings.TLP1_2:
        return orjson.dumps(with_tlp1(orjson.loads(whole)))
    return whole
