"""Clocks: a machine's that is set back, for which no length of time must wait to catch up, and the
zones that people read theirs in."""

import zoneinfo
from datetime import timedelta
from functools import cache
from typing import Final

from django.db.models import Q
from django.utils import timezone

# The clocks of one hub's machines are closer together than this.
SKEW: Final = timedelta(seconds=15)


def zone_called(name: str) -> str | None:
    """A time zone's name as the world writes it, from any letter case; None for no zone's."""
    return _zones().get(name.strip().lower())


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in zoneinfo.available_timezones()}


def run_out(lease: timedelta) -> Q:
    """Rows whose ``lease_until`` is over, or is further ahead than any lease made by this clock."""
    now = timezone.now()
    return Q(lease_until__lt=now) | Q(lease_until__gt=now + lease + SKEW)
