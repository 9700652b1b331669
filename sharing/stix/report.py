"""What one incident report says, free of any framework.

The form, and later every other door that people write through, fills an :class:`IncidentReport`;
``compose`` turns it into graphs. Nothing here touches the database.
"""

from dataclasses import dataclass, field
from datetime import datetime

from sharing.stix.extract import Indicator
from sharing.stix.markings import Tlp
from sharing.stix.port import AttackKind, Impact, PortSystem


@dataclass(frozen=True)
class Reporter:
    """The reporting organisation as its STIX identity sees it."""

    identity_id: str
    name: str
    port_role: str
    since: datetime


@dataclass(frozen=True)
class IncidentReport:
    """One report. ``noticed_at`` is aware; ``systems`` holds every system named, if any."""

    reporter: Reporter
    reference: str
    attack: AttackKind
    noticed_at: datetime
    reported_at: datetime
    systems: dict[PortSystem, Impact]
    narrative: str
    technical: str
    tlp: Tlp
    may_name: bool
    indicators: tuple[Indicator, ...] = field(default=())
