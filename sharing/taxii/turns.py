"""Small posts are taken in at once, but one at a time in a process.

Several threads at it together store no more in a second, and on SQLite they leave no other process,
which sends the warnings, a moment to write in.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from werkzeug.exceptions import ServiceUnavailable

# Of one member, all its keys together: half the threads of a process (crc.asgi), so that its posts
# do not keep the others' tools waiting.
MOST_IN_LINE: Final = 8
RETRY_SECONDS: Final = 1

_at_the_door: Final = Lock()
_counting: Final = Lock()
_in_line: Final[Counter[int]] = Counter()


@contextmanager
def turn(member: int) -> Iterator[None]:
    """Wait for one's turn, and have it. Raises ServiceUnavailable when too many of this member's
    posts wait already."""
    _join(member)
    try:
        with _at_the_door:
            yield
    finally:
        _leave(member)


def _join(member: int) -> None:
    with _counting:
        if _in_line[member] >= MOST_IN_LINE:
            raise ServiceUnavailable(
                f"{MOST_IN_LINE} posts of yours are being taken in; nothing of this one was stored."
                " Send it again when they are answered.",
                retry_after=RETRY_SECONDS,
            )
        _in_line[member] += 1


def _leave(member: int) -> None:
    with _counting:
        _in_line[member] -= 1
        if not _in_line[member]:
            del _in_line[member]
