"""Times on pages are the reader's."""

import zoneinfo
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from crc.members.models import User

# Set by static/app.js from what the browser knows.
COOKIE: Final = "zone"


class ReaderTimeZone:
    """Activates the user's own time zone for the request, else the browser's, else the hub's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Zones nobody knows (any more) are passed over."""
        user = request.user
        wished = [user.time_zone] if isinstance(user, User) else []
        for name in (*wished, request.COOKIES.get(COOKIE, "")):
            if name in zoneinfo.available_timezones():
                with timezone.override(zoneinfo.ZoneInfo(name)):
                    return self.get_response(request)
        return self.get_response(request)
