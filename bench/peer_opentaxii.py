"""OpenTAXII as it is measured; gunicorn runs this in the peers' environment.

0.9.3 stores a post and then answers 500, since it cannot write the status's UUID as JSON (its issue
243). The workaround from that issue is applied here, so that its posts can be measured at all: it
costs nothing where no UUID is written, as in pages.
"""

import json

from opentaxii.taxii2 import http


class _Json:
    """What the module under repair uses of json."""

    @staticmethod
    def dumps(data: object) -> str:
        """As text, UUIDs too."""
        return json.dumps(data, default=str)


http.json = _Json

from opentaxii.http import app  # noqa: E402 - the repair goes first

__all__ = ["app"]
