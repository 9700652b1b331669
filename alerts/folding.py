"""Many waiting warnings for one address become one message, once.

The newest row of a bundle is sent, under its own id; the others are folded into it and their ids
are never used. So one message id has one body, and no digest goes out twice.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from alerts.models import Delivery

# What a bundle is called whose first message could not be sent.
AGAIN: Final = "again"

# The rows are locked before they are ranked, in one order: of two sweeps at once, the second waits,
# and finds them no longer waiting.
_FOLD: Final = """
UPDATE alerts_delivery SET
    bundle = '',
    state = CASE WHEN alerts_delivery.id = ranked.leader THEN 'due' ELSE 'folded' END,
    folded_into_id = CASE WHEN alerts_delivery.id = ranked.leader THEN NULL ELSE ranked.leader END,
    rank = CASE WHEN alerts_delivery.id = ranked.leader THEN ranked.loudest
        ELSE alerts_delivery.rank END
FROM (
    SELECT id, FIRST_VALUE(id) OVER (addressed ORDER BY raised_at DESC, id) AS leader,
        MAX(rank) OVER (addressed) AS loudest
    FROM (
        SELECT id, organisation_id, channel, address, bundle, raised_at, rank FROM alerts_delivery
        WHERE state = 'waiting' AND next_try_at <= %s AND bundle <> '' {lock}
    ) AS ready
    WINDOW addressed AS (PARTITION BY organisation_id, channel, address, bundle)
) AS ranked
WHERE alerts_delivery.id = ranked.id AND alerts_delivery.state = 'waiting'
"""


def fold() -> int:
    """Make one message of each bundle whose time has come; how many rows that concerned."""
    lock = "ORDER BY id FOR UPDATE" if connection.features.has_select_for_update else ""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(_FOLD.format(lock=lock), [now])
        return int(cursor.rowcount)


def parts(deliveries: Collection[Delivery]) -> dict[object, list[Delivery]]:
    """What is folded into these rows, newest first, by the row's id."""
    rows = Delivery.objects.filter(
        folded_into__in=[row.pk for row in deliveries], state=Delivery.State.FOLDED
    )
    found: dict[object, list[Delivery]] = defaultdict(list)
    for row in rows.order_by("-raised_at", "pk"):
        found[row.folded_into_id].append(row)
    return found


def leave_out(obstacles: Mapping[str, list[Delivery]]) -> None:
    """These parts may not be told after all; the keys say why."""
    for reason, rows in obstacles.items():
        Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(
            state=Delivery.State.SKIPPED, reason=reason
        )


def let_go(deliveries: Collection[Delivery] | QuerySet[Delivery]) -> None:
    """These rows are not sent after all: what was folded into them is folded anew."""
    Delivery.objects.filter(folded_into__in=deliveries, state=Delivery.State.FOLDED).update(
        state=Delivery.State.WAITING, folded_into=None, bundle=AGAIN, next_try_at=timezone.now()
    )
