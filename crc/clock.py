"""A machine's clock that is set back: what is a length of time must not wait for it to catch up."""

from datetime import timedelta
from typing import Final

from django.db.models import Q
from django.utils import timezone

# The clocks of one hub's machines are closer together than this.
SKEW: Final = timedelta(seconds=15)


def run_out(lease: timedelta) -> Q:
    """Rows whose ``lease_until`` is over, or is further ahead than any lease made by this clock."""
    now = timezone.now()
    return Q(lease_until__lt=now) | Q(lease_until__gt=now + lease + SKEW)
