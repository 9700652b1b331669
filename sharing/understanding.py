"""What the hub reads out of a report, before anything is made of it."""

from collections.abc import Iterable
from functools import lru_cache

from crc.members.models import Organisation
from sharing import signals
from sharing.models import Report
from sharing.stix.extract import Extraction, extract
from sharing.stix.internet import Names
from sharing.stix.markings import Tlp
from sharing.stix.port import AttackKind
from sharing.stix.report import IncidentReport, Reporter
from sharing.stix.wellknown import is_open_to_anybody


def incident(report: Report) -> IncidentReport:
    """The framework-free view of a report that graphs are composed from."""
    submission = report.submission
    return IncidentReport(
        reporter=reporter(submission.source),
        reference=submission.reference,
        attack=AttackKind(report.attack),
        noticed_at=report.noticed_at,
        reported_at=submission.received_at,
        systems=report.impact_by_system,
        narrative=report.narrative,
        technical=report.technical,
        tlp=Tlp(report.tlp),
        may_name=report.may_name,
        indicators=understood(report).indicators,
    )


def reporter(organisation: Organisation) -> Reporter:
    """An organisation as STIX names it."""
    return Reporter(
        organisation.identity_id, organisation.name, organisation.port_role, organisation.joined_at
    )


def understood(report: Report) -> Extraction:
    """What the hub read out of a report's text."""
    return read_out(report.technical, report.narrative, report.submission.source)


def read_out(technical: str, narrative: str, source: Organisation) -> Extraction:
    """What the hub reads out of the texts of a report from this source. Raises TextTooLong."""
    return _read_out(f"{technical}\n{narrative}", own_names(source))


@lru_cache(maxsize=16)
def _read_out(text: str, own: frozenset[str]) -> Extraction:
    # One text is asked about again and again: preview, receipt, case, release.
    return extract(text, own=Names(own))


def own_names(organisation: Organisation) -> frozenset[str]:
    """Domains, addresses and networks that are the member's own, so never an attacker's."""
    addresses = [
        *organisation.users.values_list("email", flat=True),
        *organisation.contacts.values_list("email", flat=True),
    ]
    return frozenset(
        mail_domains(addresses)
        | {word.lower() for word in organisation.telltales if "." in word or ":" in word}
        | owned(organisation)
    )


def mail_domains(addresses: Iterable[str]) -> set[str]:
    """The mail domains by which a member is known; a mail service's is nobody's."""
    domains = {address.rpartition("@")[2].lower() for address in addresses}
    return {domain for domain in domains if not is_open_to_anybody(domain)}


def owned(organisation: Organisation | None) -> frozenset[str]:
    """What this member, or any active one, is known to own on the internet."""
    return frozenset(signals.ask(signals.owned, organisation=organisation))
