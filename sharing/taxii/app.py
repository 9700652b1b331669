"""The TAXII 2.1 server: medallion's views, hardened.

medallion 3.0.0 calls itself a prototype. What it gets wrong is corrected here and pinned by
tests/taxii: header negotiation and bodies before its views run, its login, its error pages, its
JSON. Its Flask object is a module global, so this module configures it once, at import.
"""

import logging
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import flask
import medallion
import orjson
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from flask.json.provider import JSONProvider
from medallion import auth
from medallion.exceptions import ProcessingError
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, ServiceUnavailable
from werkzeug.wrappers import Response

from crc.members.models import ApiKey
from crc.members.roles import TAXII_SCOPES
from sharing.addresses import API_ROOT
from sharing.segments import pack
from sharing.stix import reading
from sharing.taxii import access, answers, refusals
from sharing.taxii.backend import HubBackend
from sharing.taxii.negotiation import (
    MAX_CONTENT_LENGTH,
    TAXII,
    WORTH_COMPRESSING,
    TooLarge,
    password_in,
    prepare,
    takes_gzip,
)
from sharing.taxii.pages import Ready
from sharing.taxii.paging import MAX_LIMIT, BadQuery
from sharing.tooluse.recording import recorded

log = logging.getLogger(__name__)

PATHS: Final = ("/taxii2/", f"/{API_ROOT}/")
REALM: Final = "hub"
RETRY_SECONDS: Final = 5
ASKED: Final = "hub.asked"


class FastJson(JSONProvider):
    """orjson, so that stored bodies go out as they are; reading refuses what we never store."""

    def dumps(self, obj: Any, **kwargs: Any) -> Any:
        """Compact JSON, as bytes: what goes out needs no other form."""
        return obj.body if isinstance(obj, Ready) else orjson.dumps(obj)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parsed JSON; raises ValueError with a reason."""
        return reading.parse(s.encode() if isinstance(s, str) else s)


class Request(flask.Request):
    """medallion's views read bodies through this."""

    def on_json_loading_failed(self, e: ValueError | None) -> NoReturn:
        """Say what is wrong with the JSON; Flask keeps it to itself."""
        raise BadRequest(str(e))


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
    app.request_class = Request
    app.url_map.merge_slashes = False  # it would redirect
    app.register_error_handler(500, _crashed)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(ProcessingError, _processing)
    app.register_error_handler(BadQuery, lambda bad: error(400, "Bad query", str(bad)))
    for away in (OperationalError, InterfaceError):
        app.register_error_handler(away, _overloaded)
    return app


def _crashed(problem: Exception) -> Response:
    log.exception("TAXII request failed", exc_info=getattr(problem, "original_exception", problem))
    return error(500, "Server error", "The hub failed to answer. Nothing was stored; try again.")


def _overloaded(problem: Exception) -> Response:
    """The database is away, or a query took longer than it may (App. B)."""
    log.warning("TAXII request given up: %s", type(problem.__cause__ or problem).__name__)
    said = "The hub could not answer in time. Ask for less: a later added_after, a smaller limit."
    if flask.request.method != "GET":
        said = "The hub is busy. Nothing was stored or taken out; send it again."
    answer = error(503, "Try again", said)
    answer.headers["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _refused(problem: HTTPException) -> Response:
    answer = error(problem.code or 500, problem.name, refusals.of_werkzeug(problem))
    if isinstance(problem, MethodNotAllowed) and problem.valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(problem.valid_methods))
    if isinstance(problem, ServiceUnavailable) and problem.retry_after:
        answer.headers["Retry-After"] = str(problem.retry_after)
    return answer


def _processing(problem: ProcessingError) -> Response:
    titles = {
        403: "Forbidden",
        404: "Not found",
        406: "Not acceptable",
        413: "Too large",
        415: "Unsupported media type",
        422: "Cannot be processed",
    }
    title = titles.get(problem.status, "Bad request")
    return error(problem.status, title, refusals.of_medallion(problem))


@auth.verify_password  # type: ignore[untyped-decorator]
def caller(username: str, password: str) -> ApiKey | None:
    """The API key in the password, whatever the user name.

    Flask-HTTPAuth calls this with empty strings when no credentials came, and takes only None or
    False for a refusal.
    """
    key = access.sign_in(password) if password else None
    if key and not any(key.allows(scope) for scope in TAXII_SCOPES):
        flask.abort(
            403, f"This key has no TAXII scope. Issue one with {' or '.join(TAXII_SCOPES)}."
        )
    return key


def knows(header: str) -> bool:
    """Whether an Authorization header holds a live key, asked before a body is read.

    The answer to a request is not decided here: without a body it is asked again, and refused.
    """
    close_old_connections()
    try:
        return ApiKey.authenticate(password_in(header)) is not None
    except OperationalError:  # which the answer will say
        return False
    finally:
        close_old_connections()


@auth.error_handler  # type: ignore[untyped-decorator]
def unauthorized(status: int) -> Response:
    """401 with a TAXII body; 3.6.1 wants the challenge too."""
    schemes = ["Basic", "Bearer"] if settings.TAXII_BASIC else ["Bearer"]
    way = "as the password of HTTP Basic with any user name, or " if settings.TAXII_BASIC else ""
    wrong = ""
    if flask.request.headers.get("Authorization"):
        wrong = "This key is wrong, cut off, expired or revoked. "
    answer = error(401, "Unauthorized", f"{wrong}Send an API key: {way}as a Bearer token.")
    answer.headers["WWW-Authenticate"] = ", ".join(f'{name} realm="{REALM}"' for name in schemes)
    return answer


_flask = _configured()


@_flask.after_request
def finished(answer: flask.Response) -> flask.Response:
    """TAXII's media type on everything (3.1, OPTIONS too), compressed where that is worth it."""
    headers = answer.headers
    headers["Content-Type"] = TAXII
    length = answer.content_length or 0
    packed = "Content-Encoding" in headers
    if not packed and length >= WORTH_COMPRESSING and takes_gzip(flask.request.environ):
        answer.set_data(pack(answer.get_data()))
        headers["Content-Encoding"] = "gzip"
        packed = True
    headers["Vary"] = "Accept-Encoding, Authorization" if packed else "Authorization"
    _keep(answer)
    return answer


def _keep(answer: flask.Response) -> None:
    grounds: answers.Grounds | None = flask.g.get("grounds")
    environ = flask.request.environ
    if grounds and ASKED in environ and answer.status_code == 200:
        said = answer.get_wsgi_headers(environ).to_wsgi_list()
        kept = answers.Answer(answer.status, said, answer.get_data(), grounds)
        answers.keep(environ[ASKED], kept)


def serves(path: str, accept: str) -> bool:
    """Whether a request is for TAXII: by its address, or because it asks for TAXII.

    The latter so that an API root that does not exist answers in TAXII as well (4.2).
    """
    return f"{path}/".startswith(PATHS) or "application/taxii+json" in accept.lower()


@recorded
def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The WSGI application for what it ``serves``, which must arrive with its prefix."""
    # Django closes stale connections on its own request signals; Flask sends none.
    close_old_connections()
    # sharing.freshness asks the first question, and notices.
    connection.health_check_done = True  # type: ignore[attr-defined]
    try:
        return _answered(environ, start_response)
    finally:
        close_old_connections()


def _answered(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    method = environ["REQUEST_METHOD"]
    try:
        prepare(environ)
    except TooLarge:
        refusal = error(413, "Too large", f"Send at most {MAX_CONTENT_LENGTH} bytes at a time.")
        return refusal(environ, start_response)
    if method == "HEAD":
        answer = Response.from_app(_flask, environ)
        environ["REQUEST_METHOD"] = "HEAD"  # it was asked as GET, and gets no body
        return answer(environ, start_response)
    if method == "GET":
        environ[ASKED] = answers.asked(environ)
        if held := answers.again(environ[ASKED]):
            start_response(held.status, held.headers)
            return [held.body]
    return _flask(environ, start_response)
