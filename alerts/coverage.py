"""Who was sent a warning, and who has answered."""

from dataclasses import dataclass

from alerts import answers
from alerts.channels import CHANNELS
from alerts.models import Alert, Answer, Delivery
from crc.members.models import Organisation


@dataclass(frozen=True)
class Line:
    """One member's line: its deliveries and its newest answer."""

    organisation: Organisation
    deliveries: list[Delivery]
    answer: Answer | None

    @property
    def reached(self) -> bool:
        """Whether anything got through. The hub's own inbox counts once somebody has looked."""
        return any(row.seen_at if row.channel == "inbox" else _sent(row) for row in self.deliveries)


def _sent(row: Delivery) -> bool:
    """By a message of its own, or by the one that it was folded into."""
    message = row.folded_into or row
    return message.state == Delivery.State.SENT


@dataclass(frozen=True)
class Coverage:
    """The lines, those that have not answered first, and their sums."""

    lines: list[Line]

    @property
    def reached(self) -> int:
        """How many members."""
        return sum(line.reached for line in self.lines)

    @property
    def answered(self) -> int:
        """How many members."""
        return sum(line.answer is not None for line in self.lines)

    @property
    def affected(self) -> int:
        """How many members say so now."""
        return sum(
            line.answer is not None and line.answer.choice == Answer.Choice.AFFECTED
            for line in self.lines
        )

    @property
    def folded(self) -> int:
        """How many addresses hear of it in a message about another warning, or will."""
        return sum(
            row.state == Delivery.State.FOLDED or bool(row.bundle)
            for line in self.lines
            for row in line.deliveries
        )


def coverage(alert: Alert) -> Coverage:
    """The coverage of one warning."""
    newest = answers.current(alert)
    lines: dict[int, Line] = {}
    rows = alert.deliveries.select_related("organisation", "folded_into__alert").order_by(
        "organisation__name", "channel"
    )
    for row in rows:
        line = lines.setdefault(
            row.organisation_id, Line(row.organisation, [], newest.get(row.organisation_id))
        )
        # What the desk may read of it: whoever knows a chat channel's address can write there.
        row.address = CHANNELS[row.channel].describe(row.address)
        line.deliveries.append(row)
    return Coverage(sorted(lines.values(), key=lambda line: line.answer is not None))
