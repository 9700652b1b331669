"""Members of the trust community."""

from importlib import import_module

from django.apps import AppConfig


class MembersConfig(AppConfig):
    """crc.members."""

    name = "crc.members"
    label = "members"
    verbose_name = "Members"

    def ready(self) -> None:
        """Register the checks of settings."""
        import_module("crc.checks")
