"""The polling tenant's pages: what its tools do, its keys, settings to copy, a connection test."""

import uuid
from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from crc.members import keys
from crc.members.access import MemberRequest, for_members
from crc.members.models import ApiKey
from sharing import recipes
from sharing.forms import KeyForm
from sharing.models import ToolUse
from sharing.tooluse import picture, rhythm, watch

# What htmx takes for "stop asking".
STOP_POLLING: Final = 286
_ISSUED: Final = "issued_forms"
_REMEMBERED: Final = 20
_WORST_FIRST: Final = (
    rhythm.State.FAILING,
    rhythm.State.SILENT,
    rhythm.State.LATE,
    rhythm.State.NEVER,
    rhythm.State.FINE,
    rhythm.State.ENDED,
)


@require_safe
@for_members
def tools(request: MemberRequest) -> HttpResponse:
    """Every key this user may know of, those that need a look first."""
    drawn = picture.pictures(keys.keys_for(request.user))
    drawn.sort(key=lambda one: _WORST_FIRST.index(one.state))
    return render(
        request,
        "sharing/tools.html",
        {
            "live": [one for one in drawn if one.state is not rhythm.State.ENDED],
            "ended": [one for one in drawn if one.state is rhythm.State.ENDED],
            "recipes": recipes.RECIPES.values(),
            "may_issue": keys.may_issue(request.user),
        },
    )


def _key(request: MemberRequest, lookup: str) -> ApiKey:
    """Anybody else's is 404, as one that was never issued."""
    return get_object_or_404(keys.keys_for(request.user), lookup=lookup)


@require_safe
@for_members
def tool(request: MemberRequest, lookup: str) -> HttpResponse:
    """One key: how far it has got, what went wrong."""
    [drawn] = picture.pictures([_key(request, lookup)])
    return render(
        request,
        "sharing/tool.html",
        {
            "picture": drawn,
            "key": drawn.key,
            "places": picture.places(drawn),
            "errors": picture.errors(drawn),
            "may_revoke": keys.may_revoke(request.user, drawn.key),
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def test(request: MemberRequest, lookup: str) -> HttpResponse:
    """The connection test: POST starts it, htmx asks for what has come since."""
    key = _key(request, lookup)
    if request.method == "POST":
        watch.start(key)
        return redirect("tool-test", lookup=lookup)
    use = ToolUse.objects.filter(key=key).first()
    left = watch.seconds_left(use)
    context = {
        "key": key,
        "use": use,
        "left": left,
        "seen": watch.seen(use) if use else [],
        "recipes": recipes.RECIPES.values(),
    }
    if request.htmx:
        status = 200 if left else STOP_POLLING
        return render(request, "sharing/tool_seen.html", context, status=status)
    return render(request, "sharing/tool_test.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def issue(request: MemberRequest) -> HttpResponse:
    """A new key for the user's own organisation. Its secret is in this one answer and nowhere else,
    so it is not redirected; the form sent again issues nothing."""
    if not keys.may_issue(request.user):
        raise PermissionDenied
    form = KeyForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        status = 422 if form.is_bound else 200
        return render(request, "sharing/tool_issue.html", {"form": form}, status=status)
    if _sent_before(request, form.cleaned_data["token"]):
        messages.error(
            request, _("That key was issued already, and is not shown again. Lost it? Revoke it.")
        )
        return redirect("tools")
    key, secret = keys.issue(request.user.organisation, actor=request.user, **form.terms())
    return render(request, "sharing/tool_issued.html", {"key": key, "secret": secret})


def _sent_before(request: MemberRequest, token: uuid.UUID) -> bool:
    sent = request.session.get(_ISSUED, [])
    if str(token) in sent:
        return True
    request.session[_ISSUED] = [*sent[-_REMEMBERED:], str(token)]
    return False


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def revoke(request: MemberRequest, lookup: str) -> HttpResponse:
    """Ask first, as it cannot be undone."""
    key = _key(request, lookup)
    if not keys.may_revoke(request.user, key):
        raise PermissionDenied
    if request.method == "POST":
        if keys.revoke(key, actor=request.user):
            messages.success(
                request,
                _("%(key)s is revoked, from this moment on.") % {"key": key.label or _("The key")},
            )
        else:
            messages.info(request, _("It was revoked before."))
        return redirect("tools")
    [drawn] = picture.pictures([key])
    return render(request, "sharing/tool_revoke.html", {"key": key, "picture": drawn})


@require_safe
@for_members
def recipe(request: MemberRequest, slug: str) -> HttpResponse:
    """Settings for one tool, made for this member."""
    if slug not in recipes.RECIPES:
        raise Http404
    return render(
        request,
        "sharing/tool_recipe.html",
        {
            "recipe": recipes.RECIPES[slug],
            "recipes": recipes.RECIPES.values(),
            **recipes.ingredients(request.user.organisation),
        },
    )
