"""How loud a warning is. Framework-free: a table and two functions."""

from enum import StrEnum
from typing import Final

from sharing.stix.port import ATTACKS, SYSTEMS, AttackKind, Impact, PortSystem


class Severity(StrEnum):
    """From a note to an alarm."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info to 4 for critical."""
        return list(Severity).index(self)

    def raised(self) -> "Severity":
        """One step louder; critical stays."""
        return list(Severity)[min(self.rank + 1, len(Severity) - 1)]


_FLOORS: Final = (
    (90, Severity.CRITICAL),
    (70, Severity.HIGH),
    (45, Severity.MEDIUM),
    (25, Severity.LOW),
    (0, Severity.INFO),
)
_CARGO_STOPS: Final = 15
_CARGO_SLOWS: Final = 5


def assess(attack: AttackKind, systems: dict[PortSystem, Impact]) -> Severity:
    """The attack's own weight, more when what moves cargo is down."""
    operational = {impact for system, impact in systems.items() if SYSTEMS[system].operational}
    extra = 0
    if Impact.DOWN in operational:
        extra = _CARGO_STOPS
    elif Impact.DEGRADED in operational:
        extra = _CARGO_SLOWS
    score = ATTACKS[attack].weight + extra
    return next(severity for floor, severity in _FLOORS if score >= floor)
