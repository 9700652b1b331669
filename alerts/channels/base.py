"""What every way of reaching people has in common."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class DeliveryError(Exception):
    """A send that did not work; ``permanent`` says that trying again cannot help."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


@dataclass(frozen=True)
class Notice:
    """One rendered warning for one address.

    ``title`` and ``body`` are already cut down to what may leave the hub under ``tlp``: for AMBER
    and above they only say that something waits. ``answers`` maps each answer's words to its link.
    """

    message_id: str
    alert_id: str
    kind: str
    hub_name: str
    address: str
    secret: str
    tlp: str
    severity: str
    title: str
    body: str
    raised_at: datetime
    link: str
    answers: dict[str, str]


class Channel(Protocol):
    """One way of reaching people. Never retries, never writes rows: fanout does."""

    def send(self, notice: Notice) -> None:
        """Return when the other side has taken it. Raises DeliveryError."""
