"""What a release would send, worked out without sending: the desk looks at it, then confirms."""

import hashlib
from dataclasses import dataclass

import orjson
from django.utils import timezone

from alerts import audience, triage
from alerts.severity import Severity
from crc.members.models import Organisation
from sharing.models import Report
from sharing.release import Terms, graph_for, left_out
from sharing.stix.markings import Json, Tlp


@dataclass(frozen=True)
class Outgoing:
    """One release before it is made. ``named`` is whether it says who reported."""

    severity: Severity
    tlp: Tlp
    title: str
    body: str
    named: bool
    withheld: list[str]
    members: list[Organisation]
    graph: list[Json]

    @property
    def carries_content(self) -> bool:
        """Whether mails and webhooks hold the words, or only say that something waits."""
        return self.tlp.rank <= Tlp.GREEN.rank

    @property
    def digest(self) -> str:
        """Told apart from what would go out a moment later: ids and times are new each time."""
        told = [
            self.severity.value,
            self.tlp.value,
            self.title,
            self.body,
            self.named,
            [member.slug for member in self.members],
            sorted(obj["pattern"] for obj in self.graph if obj["type"] == "indicator"),
        ]
        return hashlib.sha256(orjson.dumps(told)).hexdigest()


def outgoing(report: Report, terms: Terms) -> Outgoing:
    """What releasing under these terms would send. Raises NotReleasable."""
    source = report.submission.source
    return Outgoing(
        severity=triage.severity_of(report),
        tlp=terms.tlp,
        title=terms.title,
        body=terms.advice or triage.standard_advice(report),
        named=terms.named and report.may_name,
        withheld=sorted(left_out(report, terms)),
        members=list(audience.members(terms.group, terms.tlp, silent=source)),
        graph=graph_for(report, terms, at=timezone.now()),
    )
