"""Every address of the hub but TAXII's, which crc.asgi hands to medallion."""

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path


def ready(request: HttpRequest) -> HttpResponse:
    """For the runner and the proxy: this process answers."""
    return HttpResponse("ready\n", content_type="text/plain")


def not_here(request: HttpRequest) -> HttpResponse:
    """Pages of allauth that would let people change who they are: that is the desk's to do."""
    raise Http404


urlpatterns = [
    path("health/ready", ready),
    path("accounts/signup/", not_here),
    path("accounts/email/", not_here),
    path("accounts/confirm-email/", not_here),
    path("accounts/", include("allauth.urls")),
    path("", include("sharing.urls")),
    path("", include("alerts.urls")),
]
