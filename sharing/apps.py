"""What is known: from report to redistribution."""

from django.apps import AppConfig


class SharingConfig(AppConfig):
    """sharing."""

    name = "sharing"
