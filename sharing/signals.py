"""The threads from sharing to alerts."""

from typing import Any

from django.dispatch import Signal

# Sent after commit, with ``submission_id`` (a UUID as text) and ``by_person``: whether a person
# reports it.
accepted = Signal()

# Asked for what members own on the internet: ``organisation`` is one, or None for all that are
# active. A receiver answers with domains and networks (text, CIDR).
owned = Signal()

# Asked for the other sources of what a ``submission`` tells of, which no text may name either.
corroborated = Signal()


def ask(signal: Signal, **facts: object) -> set[Any]:
    """What all receivers know, together. What one of them raises is raised."""
    return {one for _, answer in signal.send(None, **facts) for one in answer or ()}
