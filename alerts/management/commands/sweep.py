"""sweep"""

from typing import Any

from alerts.tasks import run_sweep
from crc.members.command import HubCommand


class Command(HubCommand):
    """What beat does every few seconds, by hand: works without a broker."""

    help = "Open large posts, triage what waits, look for jumps and send what is due, now."

    def handle(self, *args: Any, **options: Any) -> None:
        """See the class."""
        counts = run_sweep()
        self.answer(
            options,
            f"{counts['opened']} opened, {counts['triaged']} triaged, {counts['sent']} sent, "
            f"{counts['jumps']} jumps in sightings.",
            **counts,
        )
