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
class Line:
    """A further warning that a message tells of, cut down as the message itself is.

    ``answer`` is the link that answers it, empty for what asks nothing.
    """

    alert_id: str
    kind: str
    tlp: str
    severity: str
    title: str
    raised_at: datetime
    link: str
    answer: str


@dataclass(frozen=True)
class Notice:
    """One rendered warning for one address.

    ``title`` and ``body`` are already cut down to what may leave the hub under ``tlp``: for AMBER
    and above they only say that something waits. ``answers`` maps each answer's words to its link.
    ``secrets`` are the address's own, the newest first. A message that tells of several warnings
    has the further ones in ``more``; ``body`` ends with them as text, ``opening`` is without them.
    ``short_link`` leads where ``link`` does, in few letters. ``thread_id`` is the same for all that
    is said about one thing: the id of the alert that said it first, and so equal to ``alert_id`` in
    the first; a correction names in ``about`` the alert that its reader got. ``unsubscribe`` is the
    page on which the reader of a mail asks for fewer. ``language`` is the reader's; a channel that
    adds words of its own says them under ``override(notice.language)``.
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
    opening: str = ""
    more: tuple[Line, ...] = ()
    short_link: str = ""
    thread_id: str = ""
    unsubscribe: str = ""
    language: str = "en"
    about: str = ""


Send = Callable[[Notice], Awaitable[None]]
"""Returns when the other side has taken the notice, within 20 seconds. Raises DeliveryError."""


class Channel(Protocol):
    """One way of reaching people. Never retries, never writes rows: alerts.sending does.

    The texts are English msgids (``gettext_noop``); pages translate them.
    """

    # Its name on pages; what to do to get an address, in a sentence or three; how one looks.
    title: str
    help: str
    example: str
    # Whether each address gets a secret of its own, shown once, which its sends carry or sign with.
    needs_secret: bool
    # Whether a send that was taken proves nothing (a gateway takes any number): then who reads it
    # confirms the address by the link in the first message.
    needs_tap: bool
    # Whether its messages carry the links by which they are answered.
    asks: bool
    # How many notices one worker holds at once; how many of them may be open to one host; and how
    # many may be held for a host that nothing is known of.
    at_once: int
    per_host: int
    ahead: int

    @property
    def offered(self) -> bool:
        """Whether members may add addresses of this kind: the operator has set up what it needs."""

    def check(self, address: str) -> str:
        """The address in normal form. Raises ValueError that says what to do."""

    def describe(self, address: str) -> str:
        """The address for people and logs, without what in it is secret."""

    def host(self, address: str) -> str:
        """What this address shares with others of the channel: when it hangs, they all do."""

    def open(self) -> AbstractAsyncContextManager[Send]:
        """What the sends of one worker share: connections, and their end."""
