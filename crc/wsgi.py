"""The WSGI halves: Django for pages, medallion for TAXII, and both behind one door for tests and
for servers that speak WSGI alone."""

import gc
import os
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crc.settings")
hub = get_wsgi_application()

from sharing.taxii import app as taxii  # noqa: E402 - needs the settings

# What is loaded by now stays. The garbage collector would walk it again and again, which took a
# tenth of a post of a thousand objects.
gc.collect()
gc.freeze()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """TAXII to medallion with its prefix, the rest to Django."""
    if taxii.serves(environ["PATH_INFO"], environ.get("HTTP_ACCEPT", "")):
        return taxii.application(environ, start_response)
    return hub(environ, start_response)
