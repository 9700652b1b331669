"""The connection test: for two minutes every request of one key is kept and shown.

The flag is a column that the writing of notes reads anyway, so nobody's poll pays for it, and it
works across processes and without the broker.
"""

from django.db.models import QuerySet
from django.utils import timezone

from crc.members.models import ApiKey
from sharing.models import ToolRequest, ToolUse
from sharing.tooluse.ledger import KEPT_WATCHED, WATCH


def start(key: ApiKey) -> None:
    """Watch from now on; starting again starts afresh."""
    until = timezone.now() + WATCH
    ToolUse.objects.update_or_create(key=key, defaults={"watch_until": until})


def seconds_left(use: ToolUse | None) -> int:
    """0 when nobody watches."""
    if use is None or use.watch_until is None:
        return 0
    return max(0, int((use.watch_until - timezone.now()).total_seconds()))


def seen(use: ToolUse) -> QuerySet[ToolRequest]:
    """What came since the last test began, newest first."""
    if use.watch_until is None:
        return ToolRequest.objects.none()
    began = use.watch_until - WATCH
    return use.seen.filter(watched=True, at__gte=began)[:KEPT_WATCHED]
