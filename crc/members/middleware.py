"""Times and words on pages are the reader's; pages are nobody else's, and forms are UTF-8."""

import zoneinfo
from collections.abc import Callable
from typing import Final

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from crc.members.language import spoken
from crc.members.models import User

# Set by static/app.js from what the browser knows.
COOKIE: Final = "zone"


Answer = Callable[[HttpRequest], HttpResponse]


class KeptPrivate:
    """No copy of a page stays in a cache or on a shared machine, unless its view says otherwise."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Static files are answered before this."""
        answer = self.get_response(request)
        answer.headers.setdefault("Cache-Control", "private, no-store")
        return answer


class Utf8Alone:
    """Browsers send forms in the page's own charset; whatever else comes is no form of ours."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Raises BadRequest."""
        charset = (request.content_params or {}).get("charset", "utf-8")
        if charset.lower() not in {"utf-8", "utf8"}:
            request.encoding = "utf-8"
            raise BadRequest(_("Forms are taken in UTF-8 alone."))
        return self.get_response(request)


class ReaderTimeZone:
    """Activates the user's own time zone for the request, else the browser's, else the hub's."""

    def __init__(self, get_response: Answer) -> None:
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


class ReaderLanguage:
    """Once somebody has logged in, the language is theirs, whatever the browser asks for."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Not undone afterwards: error pages and LocaleMiddleware still have to know it."""
        if isinstance(request.user, User):
            translation.activate(spoken(request.user.language))
            request.LANGUAGE_CODE = translation.get_language()
        return self.get_response(request)
