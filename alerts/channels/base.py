"""What every way of reaching people has in common."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class DeliveryError(Exception):
    """A send that did not work.

    ``permanent``: trying again cannot help. ``host_down``: nothing answered, so the other addresses
    of the same host would fare no better now. ``gone``: the receiver says it wants no more at all.
    ``after``: seconds that the receiver asks to be left alone.
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        host_down: bool = False,
        gone: bool = False,
        after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent or gone
        self.host_down = host_down
        self.gone = gone
        self.after = after


@dataclass(frozen=True)
class Notice:
    """One rendered warning for one address.

    ``title`` and ``body`` are already cut down to what may leave the hub under ``tlp``: for AMBER
    and above they only say that something waits. ``answers`` maps each answer's words to its link.
    ``secrets`` are the address's own, the newest first.
    """

    message_id: str
    alert_id: str
    kind: str
    hub_name: str
    address: str
    secrets: tuple[str, ...]
    tlp: str
    severity: str
    title: str
    body: str
    raised_at: datetime
    link: str
    answers: dict[str, str]
    # A correction's: message and alert that this address got first.
    thread_id: str = ""
    about: str = ""


Send = Callable[[Notice], Awaitable[None]]
"""Returns when the other side has taken the notice, within 20 seconds. Raises DeliveryError."""


class Channel(Protocol):
    """One way of reaching people. Never retries, never writes rows: alerts.sending does."""

    # How many notices one worker holds at once; how many of them may be open to one host; and how
    # many may be held for a host that nothing is known of.
    at_once: int
    per_host: int
    ahead: int

    def host(self, address: str) -> str:
        """What this address shares with others of the channel: when it hangs, they all do."""

    def open(self) -> AbstractAsyncContextManager[Send]:
        """What the sends of one worker share: connections, and their end."""
