"""Every address of the hub but TAXII's, which crc.asgi hands to medallion."""

import sys
from typing import Final

from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig, TooManyFieldsSent
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import loader
from django.urls import include, path
from django.utils.translation import gettext as _
from django.views.defaults import server_error

from crc.members.language import language

RETRY_SECONDS: Final = 10


def ready(request: HttpRequest) -> HttpResponse:
    """For the runner and the proxy: this process answers."""
    return HttpResponse("ready\n", content_type="text/plain")


def not_here(request: HttpRequest) -> HttpResponse:
    """Pages of allauth that would let people change who they are: that is the desk's to do."""
    raise Http404


def unreadable(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, with the reason where it is one that the sender can do something about."""
    reason = _("The request was not complete.")
    if isinstance(exception, TooManyFieldsSent):
        reason = _("The form holds more than %(most)s answers.") % {
            "most": f"{settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:,}"
        }
    elif isinstance(exception, RequestDataTooBig):
        reason = _("It is longer than %(most)s bytes.") % {
            "most": f"{settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,}"
        }
    elif isinstance(exception, BadRequest):
        reason = str(exception)
    return render(request, "400.html", {"reason": reason}, status=400)


def fault(request: HttpRequest) -> HttpResponse:
    """500; or 503 when it is the database that cannot, whoever asked it."""
    if isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        page = loader.render_to_string("503.html")
        return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_SECONDS)})
    return server_error(request)


handler400, handler500 = unreadable, fault

urlpatterns = [
    path("health/ready", ready),
    path("language/", language, name="language"),
    path("accounts/signup/", not_here),
    path("accounts/email/", not_here),
    path("accounts/confirm-email/", not_here),
    path("accounts/", include("allauth.urls")),
    path("", include("sharing.urls")),
    path("", include("alerts.urls")),
]
