"""What a release would say, and to whom, before it is made: the desk looks, then confirms."""

import hashlib
from dataclasses import dataclass

import orjson

from alerts import audience, triage
from alerts.severity import Severity
from crc.members.language import Reading, readings
from crc.members.models import Organisation
from sharing.models import Report
from sharing.release import Terms, left_out
from sharing.stix.markings import Tlp
from sharing.understanding import understood


@dataclass(frozen=True)
class Outgoing:
    """One release before it is made. ``named`` is whether it says who reported."""

    severity: Severity
    tlp: Tlp
    title: str
    body: str
    named: bool
    values: list[str]
    withheld: list[str]
    members: list[Organisation]

    @property
    def readings(self) -> list[Reading]:
        """The words as they are read in each language."""
        return readings(self.title, self.body)

    @property
    def carries_content(self) -> bool:
        """Whether mails and webhooks hold the words, or only say that something waits."""
        return self.tlp.rank <= Tlp.GREEN.rank

    @property
    def digest(self) -> str:
        """By which what was shown is told apart from what would go out a moment later."""
        told = [
            self.severity.value,
            self.tlp.value,
            self.title,
            self.body,
            self.named,
            [member.slug for member in self.members],
            self.values,
        ]
        return hashlib.sha256(orjson.dumps(told)).hexdigest()


def outgoing(report: Report, terms: Terms) -> Outgoing:
    """What releasing under these terms would send."""
    source = report.submission.source
    kept_back = left_out(report, terms)
    return Outgoing(
        severity=triage.severity_of(report),
        tlp=terms.tlp,
        title=terms.title,
        body=terms.advice or triage.standard_advice(report),
        named=terms.named and report.may_name,
        values=sorted({one.value for one in understood(report).indicators} - kept_back),
        withheld=sorted(kept_back),
        members=list(audience.members(terms.group, terms.tlp, silent=source)),
    )
