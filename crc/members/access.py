"""Who may open a page."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib import messages
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.views import redirect_to_login
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError, close_old_connections
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django_htmx.middleware import HtmxDetails

from crc.members.models import User

P = ParamSpec("P")


class MemberRequest(HttpRequest):
    """A request whose user is signed in (for the type checker)."""

    user: User  # type: ignore[assignment]
    htmx: HtmxDetails


View = Callable[Concatenate[MemberRequest, P], HttpResponseBase]


def for_members(view: View[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Signed-in users only; others are sent to log in and come back."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not isinstance(request.user, User):
            return _logged_out(request)
        return view(request, *args, **kwargs)  # type: ignore[arg-type]

    return guarded  # type: ignore[return-value]  # wraps() keeps the narrower request


def _logged_out(request: HttpRequest) -> HttpResponseBase:
    """To the login, and back; a part of a page must not become a login page itself."""
    if request.headers.get("HX-Request"):
        return render(request, "logged_out.html")
    if request.method == "POST":
        messages.error(
            request,
            _(
                "You had been logged out, so nothing was sent. Log in; what you wrote in "
                "a report is kept in this tab."
            ),
        )
    return redirect_to_login(request.get_full_path())


def for_desk(view: View[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """The desk only. A member gets the same 404 as for a page that does not exist."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not isinstance(request.user, User):
            return _logged_out(request)
        if not request.user.is_desk:
            raise Http404
        return view(request, *args, **kwargs)  # type: ignore[arg-type]

    return guarded  # type: ignore[return-value]  # wraps() keeps the narrower request


def has_session(key: str) -> bool:
    """Whether somebody has logged in under this session's key, asked before a body is read.

    Who that is, and whether it is still a member, the page asks.
    """
    close_old_connections()
    try:
        return SESSION_KEY in SessionStore(key)
    except DatabaseError:  # which the answer will say
        return False
    finally:
        close_old_connections()
