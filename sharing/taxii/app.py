"""The TAXII 2.1 server: medallion's views, hardened.

medallion 3.0.0 calls itself a prototype. What it gets wrong is corrected here and pinned by
tests/taxii: header negotiation and bodies before its views run, its login, its error pages, its
JSON. Its Flask object is a module global, so this module configures it once, at import.
"""

import base64
import logging
from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final

import flask
import medallion
import orjson
from django.db import OperationalError, close_old_connections
from flask.json.provider import JSONProvider
from medallion import auth
from medallion.exceptions import ProcessingError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from crc.members.models import ApiKey
from crc.members.roles import Scope
from sharing.stix import reading
from sharing.taxii.backend import API_ROOT, MAX_CONTENT_LENGTH, TAXII, HubBackend
from sharing.taxii.paging import MAX_LIMIT, BadQuery

log = logging.getLogger(__name__)

PATHS: Final = ("/taxii2/", f"/{API_ROOT}/")
REALM: Final = "hub"


class FastJson(JSONProvider):
    """orjson, so that stored bodies go out as they are; reading refuses what we never store."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Compact JSON."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parsed JSON; raises ValueError with a reason."""
        return reading.parse(s.encode() if isinstance(s, str) else s)


def error(status: int, title: str, description: str) -> Response:
    """A TAXII error resource (3.6.1)."""
    body = orjson.dumps({"title": title, "http_status": str(status), "description": description})
    return Response(body, status, content_type=TAXII)


def _configured() -> flask.Flask:
    app: flask.Flask = medallion.application_instance
    medallion.set_config(app, "taxii", {"taxii": {"max_page_size": MAX_LIMIT}})
    # Flask-HTTPAuth asks medallion's password callback first, which crashes without this.
    medallion.set_config(app, "users", {"users": {}})
    medallion.register_blueprints(app)
    app.medallion_backend = HubBackend()  # type: ignore[attr-defined]
    app.json = FastJson(app)
    app.register_error_handler(500, _crashed)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(ProcessingError, _processing)
    app.register_error_handler(BadQuery, lambda bad: error(400, "Bad query", str(bad)))
    app.register_error_handler(OperationalError, _crashed)
    return app


def _crashed(problem: Exception) -> Response:
    log.exception("TAXII request failed", exc_info=getattr(problem, "original_exception", problem))
    return error(500, "Server error", "The hub failed to answer. Nothing was stored; try again.")


def _refused(problem: HTTPException) -> Response:
    if problem.response is not None or problem.code is None or problem.code < 400:
        return problem.get_response()  # a redirect to the path with its slash
    return error(problem.code, problem.name, problem.description or problem.name)


def _processing(problem: ProcessingError) -> Response:
    titles = {
        403: "Forbidden",
        404: "Not found",
        406: "Not acceptable",
        413: "Too large",
        415: "Unsupported media type",
        422: "Cannot be processed",
    }
    return error(problem.status, titles.get(problem.status, "Bad request"), problem.message)


@auth.verify_password  # type: ignore[untyped-decorator]
def caller(username: str, password: str) -> ApiKey | None:
    """The API key in the password, whatever the user name.

    Flask-HTTPAuth calls this with empty strings when no credentials came, and takes only None or
    False for a refusal.
    """
    key = ApiKey.authenticate(password) if password else None
    if key and not (key.allows(Scope.TAXII_READ) or key.allows(Scope.TAXII_WRITE)):
        flask.abort(403, "This key has no TAXII scope. Issue one with taxii:read or taxii:write.")
    return key


@auth.error_handler  # type: ignore[untyped-decorator]
def unauthorized(status: int) -> Response:
    """401 with a TAXII body; 3.6.1 wants the challenge too."""
    answer = error(
        401,
        "Unauthorized",
        "Send an API key: as the password of HTTP Basic with any user name, or as a Bearer token.",
    )
    answer.headers["WWW-Authenticate"] = f'Basic realm="{REALM}", Bearer realm="{REALM}"'
    return answer


def _one_scheme(environ: dict[str, Any]) -> None:
    """Turn ``Bearer KEY`` and ``Token KEY`` into Basic, the one scheme medallion knows."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() in {"bearer", "token"}:
        basic = base64.b64encode(f"key:{token.strip()}".encode("latin-1")).decode()
        environ["HTTP_AUTHORIZATION"] = f"Basic {basic}"


def _accepts(header: str) -> bool:
    """Whether the client takes TAXII 2.1. No version, or a wildcard, means the newest (1.6.8)."""
    for part in header.lower().split(",") if header.strip() else ["*/*"]:
        media, *parameters = [word.strip() for word in part.split(";")]
        said = dict(word.partition("=")[::2] for word in parameters)
        if said.get("q", "1").rstrip("0") in {"0.", "", "0"} and "q" in said:
            continue
        if media in {"*/*", "application/*"}:
            return True
        version = said.get("version", "2.1").strip('"')
        if media == "application/taxii+json" and version == "2.1":
            return True
    return False


def _body(environ: dict[str, Any]) -> Response | None:
    """Read a chunked body to its end, so that medallion finds a length; refuse what is too long."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdecimal():
        too_long = int(length) > MAX_CONTENT_LENGTH
    else:
        taken = environ["wsgi.input"].read(MAX_CONTENT_LENGTH + 1)
        environ["wsgi.input"] = BytesIO(taken)
        environ["CONTENT_LENGTH"] = str(len(taken))
        too_long = len(taken) > MAX_CONTENT_LENGTH
    if too_long:
        return error(413, "Too large", f"Send at most {MAX_CONTENT_LENGTH} bytes at a time.")
    return None


def _prepared(environ: dict[str, Any]) -> Response | None:
    """What has to be settled before medallion's views look; an answer when it ends here."""
    _one_scheme(environ)
    if _accepts(environ.get("HTTP_ACCEPT", "")):
        environ["HTTP_ACCEPT"] = TAXII
    if environ["REQUEST_METHOD"] == "POST":
        sent = environ.get("CONTENT_TYPE", "").lower().replace(" ", "").replace('"', "")
        if sent in {"application/taxii+json", TAXII, f"{TAXII};charset=utf-8"}:
            environ["CONTENT_TYPE"] = TAXII
        return _body(environ)
    return None


_flask = _configured()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The WSGI application for PATHS, which must arrive with their prefix."""
    # Django closes stale connections on its own request signals; Flask sends none.
    close_old_connections()
    try:
        ended = _prepared(environ)
        answer = ended or Response.from_app(_flask, environ)
        return answer(environ, start_response)
    finally:
        close_old_connections()
