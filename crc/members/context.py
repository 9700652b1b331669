"""What every page knows."""

from django.conf import settings
from django.http import HttpRequest


def hub(request: HttpRequest) -> dict[str, str]:
    """The hub's name for the frame."""
    return {"hub_name": settings.HUB_NAME}
