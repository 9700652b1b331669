"""Members of the trust community."""

from django.apps import AppConfig


class MembersConfig(AppConfig):
    """crc.members."""

    name = "crc.members"
    label = "members"
    verbose_name = "Members"
