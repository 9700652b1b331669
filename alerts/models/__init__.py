"""The rows around warnings: what goes out to whom, who is called, and what comes back."""

from alerts.models.ladders import Escalation, LadderPause, LadderStep
from alerts.models.warnings import (
    Alert,
    Answer,
    Asset,
    Corroboration,
    Delivery,
    DeskEntry,
    Endpoint,
    Observation,
    Subscription,
)

__all__ = [
    "Alert",
    "Answer",
    "Asset",
    "Corroboration",
    "Delivery",
    "DeskEntry",
    "Endpoint",
    "Escalation",
    "LadderPause",
    "LadderStep",
    "Observation",
    "Subscription",
]
