"""What became of everything in a file, for the operator."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sharing.store import Outcome, Result

_REASONS_KEPT: Final = 1_000


@dataclass
class Tally:
    """Counts, and the first thousand refusals with their reasons."""

    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    reasons: list[list[str]] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """How many objects there were."""
        return self.accepted + self.duplicate + self.refused

    def add(self, results: Iterable[Result]) -> None:
        """Count these in."""
        for result in results:
            if result.outcome is Outcome.ACCEPTED:
                self.accepted += 1
            elif result.outcome is Outcome.DUPLICATE:
                self.duplicate += 1
            else:
                self.refuse(result.stix_id, result.reason)

    def refuse(self, stix_id: str, reason: str) -> None:
        """One object that was left out."""
        self.refused += 1
        if len(self.reasons) < _REASONS_KEPT:
            self.reasons.append([stix_id, reason])

    def counts(self) -> dict[str, Any]:
        """For the machine that asked."""
        return {"accepted": self.accepted, "duplicate": self.duplicate, "refused": self.refused}

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.counts().items())
