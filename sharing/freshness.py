"""Whether what this process remembers still holds: one look at the database for each request.

Every change of who may do what writes the audit trail in its own transaction (crc.members.audit),
so the trail's last number tells whether anything remembered of keys, members, groups and
collections may have changed. What a collection holds has a number of its own.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import connection

from crc import hotsql
from sharing.models import Collection

_LOOK: Final = (
    "SELECT (SELECT MAX(number) FROM members_auditentry), c.changed, c.newest"
    " FROM (SELECT 1 AS one) o LEFT JOIN sharing_collection c ON c.id = %s"
)


@dataclass(frozen=True)
class State:
    """``access`` moves with the audit trail, ``changed`` with the collection asked about.

    Nothing in that collection was added after ``newest``. Both are 0 when there is no such one.
    """

    access: int
    changed: int
    newest: int


def look(collection: UUID | None) -> State:
    """The state now, which is all that most polls have to ask: they find nothing new."""
    key = Collection._meta.pk.get_db_prep_value(collection, connection) if collection else None
    found = hotsql.first_row(_LOOK, [key])
    assert found is not None  # noqa: S101 - it joins from one row
    return State(*(number or 0 for number in found))
