"""Notes in memory until a thread of this process writes them: at most once a second, never in a
request. A tool that polls pays for an addition; a database that is away costs it nothing."""

import atexit
import logging
import os
import threading
from typing import Final

from django.conf import settings
from django.db import DatabaseError, DataError, close_old_connections, connection

from sharing.tooluse import ledger
from sharing.tooluse.tally import Noted, Tally

log = logging.getLogger(__name__)

# Keys are named by whoever calls; a flood of invented ones must not fill the memory.
MAX_KEYS: Final = 5_000
IDLE_SECONDS: Final = 30.0


class Buffer:
    """The notes of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._tallies: dict[str, Tally] = {}
        self._unwritten: dict[str, Tally] = {}
        self._something = threading.Event()
        self._writer: threading.Thread | None = None

    def add(self, noted: Noted) -> None:
        """Note one request. A flood of failures with invented keys is cut off, success never."""
        with self._lock:
            tally = self._tallies.get(noted.lookup)
            if tally is None:
                if not noted.ok and len(self._tallies) >= MAX_KEYS:
                    return
                tally = self._tallies[noted.lookup] = Tally(noted.at)
            tally.add(noted)
        if settings.TOOL_USE_SECONDS:
            self._ring()

    def flush(self) -> None:
        """Write what has come together. What a failing database does not take waits its turn.

        What comes meanwhile is for the next time: under load there is always something.
        """
        with self._writing:
            if self._unwritten and not self._written():
                return
            with self._lock:
                self._unwritten, self._tallies = self._tallies, {}
            self._written()

    def _written(self) -> bool:
        """Whether nothing is left to be written."""
        try:
            ledger.write(self._unwritten)
        except DataError:  # it would be refused again and again
            log.exception("poll log holds what the database does not take; left out")
        except DatabaseError as problem:
            log.warning("poll log not written, kept: %s", type(problem).__name__)
            return False
        self._unwritten = {}
        return True

    def _ring(self) -> None:
        if self._writer is None:
            with self._lock:
                if self._writer is None:
                    self._writer = threading.Thread(
                        target=self._write_on, name="poll-log", daemon=True
                    )
                    self._writer.start()
                    atexit.register(self.flush)
        self._something.set()

    def _write_on(self) -> None:
        pause = threading.Event()
        while True:
            if not self._something.wait(IDLE_SECONDS):
                connection.close()  # an idle hub holds no line to the database for this
                self._something.wait()
            pause.wait(settings.TOOL_USE_SECONDS)
            self._something.clear()
            close_old_connections()
            try:
                self.flush()
            except Exception:  # the outermost loop of this thread: it must not end
                log.exception("poll log failed")


buffer = Buffer()
# A forked worker has neither the thread of its parent nor the right to its notes.
os.register_at_fork(after_in_child=lambda: buffer.__init__())  # type: ignore[misc]
