"""What a check answers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Why an object cannot be stored: a slug for machines, words for its sender."""

    slug: str
    message: str
