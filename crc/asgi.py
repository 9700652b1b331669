"""One port: live events on ASGI, TAXII to medallion, everything else Django on threads.

Django's own ASGI handler costs a thread hop for every synchronous layer; live events alone need it.
"""

import os

import django
from a2wsgi import WSGIMiddleware
from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crc.settings")
django.setup()

from crc.wsgi import hub  # noqa: E402 - needs the settings
from sharing.taxii import app as taxii  # noqa: E402

THREADS = 16

_live = get_asgi_application()
_taxii = WSGIMiddleware(taxii.application, workers=THREADS)  # type: ignore[arg-type]
_pages = WSGIMiddleware(hub, workers=THREADS)  # type: ignore[arg-type]


async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Route by path. Live events are the one thing that must not occupy a thread."""
    if scope["type"] != "http":
        return
    path = scope["path"]
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
    if path == "/warnings/events/":
        await _live(scope, receive, send)  # type: ignore[arg-type]
    elif taxii.serves(path, accept.decode("latin-1")):
        await _taxii(scope, receive, send)  # type: ignore[arg-type]
    else:
        await _pages(scope, receive, send)  # type: ignore[arg-type]
