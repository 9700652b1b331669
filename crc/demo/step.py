"""A step of the story: said, timed, and held to."""

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

PATIENCE: Final = 10.0


class StepFailed(AssertionError):
    """A step of the story that does not hold."""


def say(text: str) -> None:
    """One line for the audience."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def row(when: str, who: str, what: str) -> None:
    """One line of the story, in columns."""
    say(f"{when:>11}  {who:<22} {what}")


def hold(condition: object, what: str) -> None:
    """Raises StepFailed unless the condition holds."""
    if not condition:
        raise StepFailed(what)


def find(pattern: str, text: str, what: str) -> str:
    """What the pattern's group matches in the text. Raises StepFailed when nothing does."""
    found = re.search(pattern, text)
    if found is None:
        raise StepFailed(what)
    return found[1]


def wait_for(look: Callable[[], Any], what: str) -> Any:
    """What ``look`` finds, asked every 10 ms. Raises StepFailed after PATIENCE seconds."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise StepFailed(f"{what}: nothing within {PATIENCE:g} s")


@dataclass
class Clock:
    """Milliseconds since the click that it was started for."""

    zero: float = field(default_factory=time.monotonic)

    def tell(self, who: str, what: str) -> float:
        """Print one step; returns its milliseconds."""
        elapsed = (time.monotonic() - self.zero) * 1000
        row(f"{elapsed:.0f} ms", who, what)
        return elapsed
