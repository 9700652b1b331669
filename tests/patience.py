"""Guards against hanging and against quadratic work, which no busy or slow machine can trip."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

# Seconds. What the hub itself does inside ``without_a_hang`` takes none on a quiet machine, as
# CRC_TEST_PATIENCE=1 shows there.
PATIENCE: Final = float(os.environ.get("CRC_TEST_PATIENCE", "30"))
_LARGER: Final = 8
# Half way, by factors, between linear (8) and quadratic (64).
_TOLERATED: Final = 23
_TOO_SHORT_TO_TELL: Final = 0.005


@contextlib.contextmanager
def without_a_hang() -> Iterator[None]:
    """What is done inside ends soon."""
    started = time.monotonic()
    yield
    taken = time.monotonic() - started
    assert taken < PATIENCE, f"took {taken:.1f} s"


def assert_linear(work: Callable[[int], object], size: int) -> None:
    """``work(size)`` costs about eight times the processor time of an eighth of it, not 64 times.

    A machine that stalls spoils one attempt, not three.
    """
    ratios = []
    for _ in range(3):
        small = min(_cost(work, size // _LARGER) for _ in range(2))
        ratios.append(_cost(work, size) / max(small, _TOO_SHORT_TO_TELL))
        if ratios[-1] < _TOLERATED:
            return
    raise AssertionError(f"{_LARGER} times the size costs {min(ratios):.0f} times as much")


def _cost(work: Callable[[int], object], size: int) -> float:
    started = time.process_time()
    work(size)
    return time.process_time() - started
