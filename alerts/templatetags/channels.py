"""How templates name channels."""

from django import template

from alerts.channels import CHANNELS

register = template.Library()


@register.filter
def channel_title(channel: str) -> str:
    """What people call it: "E-mail" for "email"."""
    return str(CHANNELS[channel].title)
