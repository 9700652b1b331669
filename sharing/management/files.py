"""What the commands that move files share: opening them, and telling how far they have got."""

import gzip
import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.core.management.base import CommandError, OutputWrapper

_GZIP: Final = b"\x1f\x8b"
_EVERY_SECONDS: Final = 0.5


@contextmanager
def opened(name: str) -> Iterator[tuple[BinaryIO, io.BufferedReader]]:
    """A file, or standard input for ``-``: its content unpacked, and itself for counting.

    Raises CommandError when it cannot be opened.
    """
    try:
        file = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}") from None
    raw = io.BufferedReader(file) if not isinstance(file, io.BufferedReader) else file  # type: ignore[type-var]
    try:
        packed = raw.peek(len(_GZIP)).startswith(_GZIP)
        yield (gzip.GzipFile(fileobj=raw) if packed else raw), raw  # type: ignore[misc]
    except OSError as error:
        raise CommandError(f"{name}: {error}") from None
    finally:
        if name != "-":
            raw.close()


class Progress:
    """One line on a terminal, drawn over itself; nothing anywhere else."""

    def __init__(self, out: OutputWrapper, total: int | None = None) -> None:
        """``total`` is what ``done`` will be at the end, where that is known."""
        self._out = out
        self._total = total
        self._shown = out.isatty()
        self._started = self._last = time.monotonic()

    def tell(self, objects: int, done: int | None = None) -> None:
        """Draw, unless it was drawn a moment ago."""
        now = time.monotonic()
        if not self._shown or now - self._last < _EVERY_SECONDS:
            return
        self._last = now
        rate = objects / (now - self._started)
        part = f" {min(100, 100 * done // self._total):3d}%" if self._total and done else ""
        self._draw(f"{objects:,} objects, {rate:,.0f}/s{part}")

    def end(self) -> None:
        """Leave the line."""
        if self._shown:
            self._draw("")

    def _draw(self, line: str) -> None:
        self._out.write(f"\r\x1b[K{line}", str, ending="")
        self._out.flush()


def size_of(file: Any) -> int | None:
    """How long a file is, None for a pipe."""
    try:
        return Path(file.name).stat().st_size if isinstance(file.name, str) else None
    except (OSError, AttributeError):
        return None


def position(file: io.BufferedReader) -> int | None:
    """How far a file was read, None for a pipe."""
    try:
        return file.tell()
    except OSError:
        return None
