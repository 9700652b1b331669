"""Every address of the hub but TAXII's, which crc.asgi hands to medallion."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def ready(request: HttpRequest) -> HttpResponse:
    """For the runner and the proxy: this process answers."""
    return HttpResponse("ready\n", content_type="text/plain")


urlpatterns = [
    path("health/ready", ready),
    path("accounts/", include("allauth.urls")),
    path("", include("sharing.urls")),
    path("", include("alerts.urls")),
]
