"""Times on pages are the reader's."""

import zoneinfo
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from crc.members.models import User


class ReaderTimeZone:
    """Activates the signed-in user's time zone for the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Fall back to the hub's zone when the user has none, or one that is no longer known."""
        user = request.user
        if isinstance(user, User) and user.time_zone in zoneinfo.available_timezones():
            with timezone.override(zoneinfo.ZoneInfo(user.time_zone)):
                return self.get_response(request)
        return self.get_response(request)
