"""The standard titles: what happened to which systems, at nobody in particular."""

from typing import Final

from sharing.stix.port import ATTACKS, SYSTEMS, AttackKind, Impact
from sharing.stix.report import IncidentReport

INCIDENT: Final = "Incident"
# By how many systems are hit: none, one, more.
TITLES: Final = (
    "%(attack)s at a port member",
    "%(attack)s at a port member: %(system)s",
    "%(attack)s at a port member: %(system)s and %(more)s more",
)


def title_for(report: IncidentReport) -> str:
    """The standard title: what, on which system, at nobody in particular."""
    hit = [
        SYSTEMS[system].label
        for system, impact in report.systems.items()
        if impact is not Impact.NONE
    ]
    what = ATTACKS[report.attack].label
    if report.attack is AttackKind.OTHER:
        what = INCIDENT
    words = {"attack": what, "system": hit[0].lower() if hit else "", "more": len(hit) - 1}
    return TITLES[min(len(hit), 2)] % words
