"""How templates name channels."""

from django import template
from django.utils.translation import gettext

from alerts.channels import CHANNELS

register = template.Library()


@register.filter
def channel_title(channel: str) -> str:
    """What people call it: "E-mail" for "email"."""
    return gettext(CHANNELS[channel].title)
