"""One port: live events on ASGI, TAXII to medallion, everything else Django on threads.

Django's own ASGI handler costs a thread hop for every synchronous layer; live events alone need it.
Bodies are read here, and TAXII's only from who has a key, so that no sender holds a thread.
"""

import asyncio
import os
from collections.abc import Callable

import django
from a2wsgi import WSGIMiddleware
from asgiref.typing import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    HTTPScope,
    Scope,
)
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import parse_cookie
from django.template.loader import render_to_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crc.settings")
django.setup()

from crc import bodies  # noqa: E402 - needs the settings
from crc.members.access import has_session  # noqa: E402
from crc.wsgi import hub  # noqa: E402
from sharing.taxii import app as taxii  # noqa: E402
from sharing.taxii.negotiation import MAX_CONTENT_LENGTH  # noqa: E402

THREADS = 16
READY = "/health/ready"
# Answers without a bound on the way out: a thread must not wait for who reads slowly.
_UNBOUNDED = 0

_live: ASGI3Application = get_asgi_application()  # type: ignore[assignment]
_taxii = WSGIMiddleware(taxii.application, THREADS, _UNBOUNDED)  # type: ignore[arg-type]
_pages = WSGIMiddleware(hub, THREADS, _UNBOUNDED)  # type: ignore[arg-type]


async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Route by path. Live events are the one thing that must not occupy a thread."""
    if scope["type"] != "http":
        return
    path = scope["path"]
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
    if path == READY:  # also when every thread is at work
        await bodies.answer(send, 200, b"ready\n", [("Content-Type", "text/plain")])
    elif path == "/warnings/events/":
        await _with_body(_live, scope, receive, send)
    elif taxii.serves(path, accept.decode("latin-1")):
        await _taxii_with_body(scope, receive, send)
    else:
        await _with_body(_pages, scope, receive, send)  # type: ignore[arg-type]


async def _with_body(
    inner: ASGI3Application,
    scope: HTTPScope,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
) -> None:
    """Hand a request on once its body is here, or refuse it."""
    if not bodies.is_sent(scope):
        await inner(scope, receive, send)
        return
    is_taxii = inner is _taxii
    known = is_taxii or await _has_logged_in(scope)
    pool = (bodies.TOOLS if is_taxii else bodies.PEOPLE) if known else bodies.UNKNOWN
    body = bodies.Body(pool)
    most = MAX_CONTENT_LENGTH if is_taxii else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    try:
        await body.read(scope, receive, most=most if known else min(most, bodies.SMALL))
        await inner(body.described(scope), body.replayed(receive), bodies.releasing(body, send))
    except bodies.Refused as refusal:
        body.release()
        say = _refuse_taxii if is_taxii else _refuse_page
        await say(refusal, bodies.unread(receive, send))
    except bodies.Gone:
        return
    finally:
        body.release()


async def _taxii_with_body(
    scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """A body is read from who has a key; anybody else is answered at once without."""
    if not bodies.is_sent(scope) or await _has_key(scope):
        await _with_body(_taxii, scope, receive, send)  # type: ignore[arg-type]
        return
    answering = bodies.unread(receive, send)
    await _taxii(bodies.without(scope), bodies.nothing, answering)  # type: ignore[arg-type]


async def _has_key(scope: HTTPScope) -> bool:
    """Whether a TAXII request comes with a live key."""
    header = bodies.header(scope, b"authorization").decode("latin-1")
    return bool(header) and await _asked(_taxii, taxii.knows, header)


async def _has_logged_in(scope: HTTPScope) -> bool:
    """Whether a page's request comes with a session; the page itself asks whose it is now."""
    cookies = parse_cookie(bodies.header(scope, b"cookie").decode("latin-1"))
    session = cookies.get(settings.SESSION_COOKIE_NAME, "")
    return bool(session) and await _asked(_pages, has_session, session)


async def _asked(part: WSGIMiddleware, knows: Callable[[str], bool], word: str) -> bool:
    """By a thread of the part that is asked: people do not wait behind tools, nor tools behind
    people."""
    return await asyncio.get_running_loop().run_in_executor(part.executor, knows, word)


async def _refuse_taxii(refusal: bodies.Refused, send: ASGISendCallable) -> None:
    said = taxii.error(refusal.status, refusal.title, refusal.reason)
    headers = [(name, value) for name, value in said.headers if name != "Content-Length"]
    await bodies.answer(send, refusal.status, said.get_data(), headers)


async def _refuse_page(refusal: bodies.Refused, send: ASGISendCallable) -> None:
    page = render_to_string("refused.html", {"title": refusal.title, "reason": refusal.reason})
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")]
    await bodies.answer(send, refusal.status, page.encode(), headers)
