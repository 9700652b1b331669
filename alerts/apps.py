"""What to do about what is known."""

from importlib import import_module

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """alerts."""

    name = "alerts"

    def ready(self) -> None:
        """Connect to sharing's signal."""
        import_module("alerts.receivers")
