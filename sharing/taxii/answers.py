"""Answers that tools ask for again and again, kept whole while they hold.

Most polls repeat an earlier one to the letter and find nothing new. What medallion's views once
answered to such a request they would answer again, as long as sharing.freshness says that neither
the caller's access nor the collection has changed: one look, and the views are spared.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from django.db import OperationalError

from crc.members.models import ApiKey
from sharing import freshness
from sharing.freshness import State
from sharing.models import Collection
from sharing.tooluse import recording

MAX_REMEMBERED: Final = 20_000
MAX_REMEMBERED_BYTES: Final = 16 * 1024 * 1024
# One page must not push out a thousand empty answers.
MAX_BODY_BYTES: Final = 2 * 1024 * 1024
# All that an answer to GET follows from, after negotiation.prepare has settled it.
_ASKED: Final = (
    "PATH_INFO",
    "QUERY_STRING",
    "HTTP_AUTHORIZATION",
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_ENCODING",
)

Asked = bytes


@dataclass(frozen=True)
class Grounds:
    """What an answer rests on; ``count`` objects are in it."""

    key: ApiKey
    collection: Collection
    state: State
    count: int

    def hold(self) -> bool:
        """Whether the same request would be answered the same now."""
        return self.key.is_live and freshness.look(self.collection.pk) == self.state


@dataclass(frozen=True)
class Answer:
    """As WSGI wants it."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes
    grounds: Grounds


def asked(environ: dict[str, Any]) -> Asked:
    """What tells this GET from others; a digest, so that no key lies in memory in plain."""
    told = repr([environ.get(name, "") for name in _ASKED])
    return hashlib.sha256(told.encode()).digest()


def again(request: Asked) -> Answer | None:
    """The answer to the same request if it still holds."""
    held = _memory.get(request)
    if held is None:
        return None
    try:
        if not held.grounds.hold():
            return None
    except OperationalError:  # the views ask again, and say it in TAXII
        return None
    held.grounds.key.touch()
    recording.served(held.grounds.count)
    return held


class _Memory:
    """Answers, the least recently asked for forgotten first."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Asked, Answer] = OrderedDict()
        self._used = 0
        self._guard = Lock()

    def get(self, request: Asked) -> Answer | None:
        with self._guard:
            found = self._answers.get(request)
            if found:
                self._answers.move_to_end(request)
            return found

    def keep(self, request: Asked, answer: Answer) -> None:
        """Remember an answer, however many others have to go for it."""
        if len(answer.body) > MAX_BODY_BYTES:
            return
        with self._guard:
            before = self._answers.pop(request, None)
            self._used += len(answer.body) - (len(before.body) if before else 0)
            self._answers[request] = answer
            while self._used > MAX_REMEMBERED_BYTES or len(self._answers) > MAX_REMEMBERED:
                _, gone = self._answers.popitem(last=False)
                self._used -= len(gone.body)


_memory: Final = _Memory()
keep: Final = _memory.keep
