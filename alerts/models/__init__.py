"""The rows around warnings: what is told, to whom, by which way, and what they say to it."""

from alerts.models.addresses import Asset, Endpoint, Subscription
from alerts.models.deliveries import Delivery, Pulse
from alerts.models.ladders import Escalation, LadderPause, LadderStep
from alerts.models.warnings import Alert, Answer, Corroboration, DeskEntry, Observation

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
    "Pulse",
    "Subscription",
]
