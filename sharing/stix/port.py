"""The port's own vocabulary: what can happen, to which systems, how badly.

Framework-free. Every form choice, every STIX label and every triage rule reads these tables, so
that a word means the same thing on the form, in the graph and in the warning.
Scales: App. A and B of the OASIS incident extension suite (availability and criticality, 0..100).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class AttackKind(StrEnum):
    """What kind of thing happened, in the words a duty officer would use."""

    RANSOMWARE = "ransomware"
    MALWARE = "malware"
    PHISHING = "phishing"
    ACCOUNT = "account"
    INTRUSION = "intrusion"
    DENIAL = "denial"
    DATA_THEFT = "data-theft"
    FRAUD = "fraud"
    OT_TAMPERING = "ot-tampering"
    POSITIONING = "positioning"
    SUPPLIER = "supplier"
    PROBE = "probe"
    OTHER = "other"


@dataclass(frozen=True)
class AttackWords:
    """How one attack kind is asked for, and how STIX says it.

    ``incident_type`` is from event-type-ov, ``indicator_type`` from indicator-type-ov;
    ``weight`` is the kind's own contribution to severity, 0..100 (see alerts.severity).
    """

    label: str
    hint: str
    incident_type: str
    indicator_type: str
    weight: int


ATTACKS: Final[dict[AttackKind, AttackWords]] = {
    AttackKind.RANSOMWARE: AttackWords(
        "Ransomware",
        "Files locked, a ransom note on a screen or a printer",
        "ransomware",
        "malicious-activity",
        90,
    ),
    AttackKind.MALWARE: AttackWords(
        "Other malicious software",
        "A virus, a trojan, something the scanner found",
        "infected-by-known-malware",
        "malicious-activity",
        60,
    ),
    AttackKind.PHISHING: AttackWords(
        "Phishing",
        "A message that wants a click, a password or a payment",
        "dissemination-phishing-emails",
        "malicious-activity",
        40,
    ),
    AttackKind.ACCOUNT: AttackWords(
        "Stolen account",
        "Someone logged in who should not have",
        "theft-access-credentials",
        "compromised",
        65,
    ),
    AttackKind.INTRUSION: AttackWords(
        "Break-in",
        "Someone is or was inside a system",
        "unauthorized-access-system",
        "compromised",
        75,
    ),
    AttackKind.DENIAL: AttackWords(
        "Overload (DoS)",
        "A service flooded until it stops",
        "denial-of-service",
        "malicious-activity",
        55,
    ),
    AttackKind.DATA_THEFT: AttackWords(
        "Data stolen or leaked",
        "Lists, manifests, personal data gone",
        "data-exfiltration",
        "malicious-activity",
        65,
    ),
    AttackKind.FRAUD: AttackWords(
        "Fraud",
        "Changed bank details, false release orders, PIN theft",
        "theft-access-credentials",
        "malicious-activity",
        50,
    ),
    AttackKind.OT_TAMPERING: AttackWords(
        "Machines behave wrongly",
        "Cranes, gates, PLCs, sensors do what nobody asked",
        "exploit",
        "malicious-activity",
        90,
    ),
    AttackKind.POSITIONING: AttackWords(
        "GPS or AIS disturbed",
        "Ships or vehicles shown where they are not",
        "exploit",
        "anomalous-activity",
        60,
    ),
    AttackKind.SUPPLIER: AttackWords(
        "Attack through a supplier",
        "A vendor, a software update, a remote connection",
        "supply-chain-vendor",
        "malicious-activity",
        70,
    ),
    AttackKind.PROBE: AttackWords(
        "Someone is trying",
        "Scans, password guessing, suspicious calls; nothing lost yet",
        "undetermined",
        "anomalous-activity",
        20,
    ),
    AttackKind.OTHER: AttackWords(
        "Something else", "Not sure, or none of these", "undetermined", "unknown", 40
    ),
}


class PortSystem(StrEnum):
    """What was hit."""

    TERMINAL_OPERATING = "terminal-operating"
    GATE = "gate"
    CRANE = "crane"
    YARD = "yard"
    RAIL = "rail"
    VESSEL_TRAFFIC = "vessel-traffic"
    BOOKING = "booking"
    CUSTOMS = "customs"
    REEFER = "reefer"
    BULK = "bulk"
    OFFICE = "office"
    EMAIL = "email"
    WEBSITE = "website"
    NETWORK = "network"
    CAMERAS = "cameras"
    PAYMENT = "payment"
    OTHER = "other"


@dataclass(frozen=True)
class SystemWords:
    """``infrastructure_type`` is infrastructure-type-ov or our own open-vocabulary term.

    ``operational`` marks what stops cargo when it stops. ``run_by`` are the port roles that run
    such a system (words of crc.members.roles), empty when anybody may: where few members have them,
    naming the system names the member.
    """

    label: str
    infrastructure_type: str
    operational: bool
    run_by: frozenset[str] = frozenset()


_TERMINALS: Final = frozenset({"terminal", "cargo-handler"})


SYSTEMS: Final[dict[PortSystem, SystemWords]] = {
    PortSystem.TERMINAL_OPERATING: SystemWords(
        "Terminal operating system", "terminal-operating-system", True, _TERMINALS
    ),
    PortSystem.GATE: SystemWords("Gate and truck appointment", "gate-system", True, _TERMINALS),
    PortSystem.CRANE: SystemWords("Cranes and quay equipment", "control-system", True, _TERMINALS),
    PortSystem.YARD: SystemWords(
        "Yard vehicles and positioning", "control-system", True, _TERMINALS
    ),
    PortSystem.RAIL: SystemWords(
        "Rail planning and signalling", "rail-system", True, frozenset({"railway"})
    ),
    PortSystem.VESSEL_TRAFFIC: SystemWords(
        "Vessel traffic and pilotage", "vessel-traffic", True, frozenset({"authority"})
    ),
    PortSystem.BOOKING: SystemWords(
        "Booking, manifest and release orders", "port-community-system", True
    ),
    PortSystem.CUSTOMS: SystemWords("Customs and declarations", "customs-system", True),
    PortSystem.REEFER: SystemWords(
        "Reefer monitoring", "control-system", True, _TERMINALS | {"shipping-line"}
    ),
    PortSystem.BULK: SystemWords(
        "Tanks, pipes and bulk handling", "control-system", True, _TERMINALS
    ),
    PortSystem.OFFICE: SystemWords("Office computers and files", "workstation", False),
    PortSystem.EMAIL: SystemWords("E-mail", "email-system", False),
    PortSystem.WEBSITE: SystemWords("Website or portal", "web-server", False),
    PortSystem.NETWORK: SystemWords("Network, VPN, firewall", "routers-switches", False),
    PortSystem.CAMERAS: SystemWords("Cameras and access control", "physical-security", False),
    PortSystem.PAYMENT: SystemWords("Invoicing and payment", "payment-system", False),
    PortSystem.OTHER: SystemWords("Something else", "unknown", False),
}


class Impact(StrEnum):
    """How badly one system is hit."""

    NONE = "none"
    WATCHING = "watching"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True)
class ImpactWords:
    """``availability`` is the suite's availability_impact, 0..100."""

    label: str
    availability: int


IMPACTS: Final[dict[Impact, ImpactWords]] = {
    Impact.NONE: ImpactWords("Works normally", 0),
    Impact.WATCHING: ImpactWords("Works, but suspicious", 5),
    Impact.DEGRADED: ImpactWords("Slow or partly out", 50),
    Impact.DOWN: ImpactWords("Stopped", 90),
}
