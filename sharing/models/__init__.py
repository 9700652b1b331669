"""The rows around STIX: what came in, what is stored, where it is placed, who fetched it."""

from sharing.models.shelves import (
    Collection,
    ListedValue,
    Placement,
    Segment,
    StixObject,
    StoreClock,
)
from sharing.models.sightings import SightingCount, SightingPost
from sharing.models.submissions import (
    Door,
    Envelope,
    Release,
    Report,
    Submission,
    new_reference,
)
from sharing.models.tools import ToolHour, ToolPlace, ToolRequest, ToolUse

__all__ = [
    "Collection",
    "Door",
    "Envelope",
    "ListedValue",
    "Placement",
    "Release",
    "Report",
    "Segment",
    "SightingCount",
    "SightingPost",
    "StixObject",
    "StoreClock",
    "Submission",
    "ToolHour",
    "ToolPlace",
    "ToolRequest",
    "ToolUse",
    "new_reference",
]
