"""What a request shows from outside: noted around TAXII and the lists, at the cost of an addition.

Nothing here asks the database. The key is the one the request names, by its look-up part: whether
it was let in, and if not why, shows in the status and is put into words when the notes are written.
"""

import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

import orjson
from django.http import HttpRequest, HttpResponse

from crc.members import credentials
from crc.members.models import ApiKey
from sharing.tooluse.buffer import buffer
from sharing.tooluse.tally import Noted, without_keys
from sharing.tooluse.words import AS_USER_NAME

_KEY: Final = re.compile(rf"{ApiKey.PREFIX}_([0-9a-f]{{12}})_")
_CURSOR: Final = "x-taxii-date-added-last"

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
View = Callable[..., HttpResponse]

_now: ContextVar[Noted | None] = ContextVar("hub_tool_request", default=None)


def served(count: int) -> None:
    """Say how many objects or values the answer to the current request holds."""
    noted = _now.get()
    if noted:
        noted.served = count


def recorded(application: Wsgi) -> Wsgi:
    """A WSGI application whose requests are noted."""

    @wraps(application)
    def noting(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        noted = _noted(environ)
        if noted is None:
            return application(environ, start_response)

        def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            noted.status = int(status[:3])
            noted.cursor = next((v for n, v in headers if n.lower() == _CURSOR), "")
            return start_response(status, headers, *more)

        was = _now.set(noted)
        try:
            body = application(environ, started)
            if not noted.ok:
                body = list(body)
                _explain(noted, b"".join(body))
            return body
        finally:
            _now.reset(was)
            _keep(noted)

    return noting


def recorded_view(view: View) -> View:
    """A Django view whose requests are noted."""

    @wraps(view)
    def noting(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        noted = _noted(request.META)
        if noted is None:
            return view(request, *args, **kwargs)
        was = _now.set(noted)
        try:
            answer = view(request, *args, **kwargs)
            noted.status = answer.status_code
            if not noted.ok:
                _explain(noted, answer.content)
            return answer
        finally:
            _now.reset(was)
            _keep(noted)

    return noting


def _noted(environ: dict[str, Any]) -> Noted | None:
    lookup, reason = claimed(environ.get("HTTP_AUTHORIZATION", ""))
    if not lookup:
        return None
    return Noted(
        lookup=lookup,
        reason=reason,
        method=environ["REQUEST_METHOD"][:8],
        path=environ["PATH_INFO"],
        query=environ.get("QUERY_STRING", ""),
        accept=without_keys(environ.get("HTTP_ACCEPT", "")[:200]),
        user_agent=without_keys(environ.get("HTTP_USER_AGENT", "")[:200]),
    )


def claimed(header: str) -> tuple[str, str]:
    """The look-up part of the key in an Authorization header, and what is wrong with its place."""
    given = credentials.read(header)
    if found := _KEY.match(given.secret):
        return found[1], ""
    found = _KEY.match(given.user)
    return (found[1], AS_USER_NAME) if found else ("", "")


def _explain(noted: Noted, body: bytes) -> None:
    """The hub's own words, out of a TAXII error or a line of text. A 401 says the same to all, so
    its reason is found later; that the key is in the wrong field is known already."""
    if noted.status == 401:
        return
    try:
        said = str(orjson.loads(body)["description"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        said = body.decode(errors="replace") if len(body) < 1000 else ""
    noted.reason = without_keys(said.strip())


def _keep(noted: Noted) -> None:
    if noted.status == 0:  # it ended in an exception, which the server answers
        noted.status, noted.reason = 500, "The hub failed to answer."
    buffer.add(noted)
