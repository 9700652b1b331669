"""How warnings reach a member: the page of its addresses, and the pages behind the links that
confirm one or ask for fewer mails."""

from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts import audience, confirming, endpoints, mailing, subscriptions, tasks
from alerts.channels import CHANNELS
from alerts.forms import EndpointForm, MailFloorForm, NewEndpointForm
from alerts.models import Delivery, Endpoint, Subscription
from alerts.severity import Severity
from crc.members.access import MemberRequest, for_members

# What htmx takes for "stop asking".
STOP_POLLING: Final = 286
_ENDED: Final = {Delivery.State.SENT, Delivery.State.FAILED, Delivery.State.SKIPPED}


def _managing(request: MemberRequest) -> None:
    """Raises PermissionDenied for who may look at the addresses but not change them."""
    if not endpoints.manages(request.user):
        raise PermissionDenied


def _endpoint(request: MemberRequest, pk: int) -> Endpoint:
    """Anybody else's is 404, as one that never was."""
    mine = Endpoint.objects.select_related("organisation")
    return get_object_or_404(mine, pk=pk, organisation=request.user.organisation)


def _facts(endpoint: Endpoint) -> dict[str, object]:
    way, until = CHANNELS[endpoint.channel], endpoint.old_secret_until
    return {
        "endpoint": endpoint,
        "way": way,
        "where": way.describe(endpoint.address),
        "old_until": until if until and until > timezone.now() else None,
    }


@require_safe
@for_members
def ways(request: MemberRequest) -> HttpResponse:
    """Every address of the member's, those that need a look first."""
    organisation = request.user.organisation
    rows = [_facts(one) for one in organisation.endpoints.order_by("channel", "label", "pk")]
    rows.sort(key=lambda row: _calm(row["endpoint"]))
    verified = organisation.endpoints.filter(channel="email", verified_at__isnull=False)
    added = {one.address for one in verified}
    people = [
        to
        for to in audience.addresses_of(organisation)
        if to.channel == "email" and to.address not in added
    ]
    context = {"rows": rows, "people": people, "may_change": endpoints.manages(request.user)}
    return render(request, "alerts/ways/list.html", context)


def _calm(endpoint: object) -> bool:
    """Whether nothing about it waits for somebody."""
    assert isinstance(endpoint, Endpoint)  # noqa: S101 - for the type checker
    return bool(endpoint.is_active and endpoint.verified_at and not endpoint.failing_since)


@require_safe
@for_members
def choose(request: MemberRequest) -> HttpResponse:
    """The channel first: each needs another kind of address."""
    _managing(request)
    offered = {name: way for name, way in CHANNELS.items() if way.offered}
    return render(request, "alerts/ways/choose.html", {"offered": offered})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def add(request: MemberRequest, channel: str) -> HttpResponse:
    """A new address. A secret is in this one answer and nowhere else, so that is not redirected;
    the form sent again is refused as listed already."""
    _managing(request)
    way = CHANNELS.get(channel)
    if way is None or not way.offered:
        raise Http404
    initial = {"language": request.user.language}
    form = NewEndpointForm(request.POST or None, channel=way, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            made = endpoints.add(
                request.user.organisation, channel, actor=request.user, **form.cleaned_data
            )
        except endpoints.Refused as problem:
            form.add_error("address", str(problem))
        else:
            if made.secret:
                return render(request, "alerts/ways/secret.html", _facts(made))
            messages.success(request, _("Added. Send a test now: it is used once that worked."))
            return redirect("way", pk=made.pk)
    status = 422 if form.is_bound else 200
    context = {"form": form, "way": way, "channel": channel}
    return render(request, "alerts/ways/add.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def way(request: MemberRequest, pk: int) -> HttpResponse:
    """One address: whether it works, what its last test did, and what can be done with it."""
    endpoint = _endpoint(request, pk)
    named = {"label": endpoint.label, "language": endpoint.language}
    form = EndpointForm(request.POST or None, initial=named)
    if request.method == "POST":
        _managing(request)
        if form.is_valid():
            endpoints.change(endpoint, actor=request.user, **form.cleaned_data)
            messages.success(request, _("Saved."))
            return redirect("way", pk=pk)
    last = endpoints.last_test(endpoint)
    live = last is not None and last.state not in _ENDED and not last.attempts
    context = {
        **_facts(endpoint),
        "form": form,
        "test": last,
        "live": live,
        "may_change": endpoints.manages(request.user),
    }
    if request.htmx:
        status = 200 if live else STOP_POLLING
        return render(request, "alerts/ways/state.html", context, status=status)
    status = 422 if form.is_bound else 200
    return render(request, "alerts/ways/one.html", context, status=status)


@require_POST
@for_members
def test(request: MemberRequest, pk: int) -> HttpResponse:
    """Send a test by the way that warnings take; the address's page shows what becomes of it."""
    _managing(request)
    endpoint = _endpoint(request, pk)
    try:
        endpoints.test(endpoint, actor=request.user)
    except endpoints.Refused as problem:
        messages.error(request, str(problem))
    else:
        tasks.ring(tasks.deliver, endpoint.channel)
    return redirect("way", pk=pk)


@require_POST
@for_members
def switch(request: MemberRequest, pk: int) -> HttpResponse:
    """On or off, as the button said: pressed twice, it says the same twice."""
    _managing(request)
    endpoint = _endpoint(request, pk)
    if request.POST.get("to") == "on":
        owed = endpoints.switch_on(endpoint, actor=request.user)
        if owed:
            tasks.ring(tasks.deliver, endpoint.channel)
            messages.info(request, _told_missed(owed))
    else:
        endpoints.switch_off(endpoint, actor=request.user)
    return redirect("way", pk=pk)


def _told_missed(owed: int) -> str:
    return ngettext(
        "%(count)d warning that it missed is on its way there.",
        "%(count)d warnings that it missed are on their way there.",
        owed,
    ) % {"count": owed}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def secret(request: MemberRequest, pk: int) -> HttpResponse:
    """Ask first; then the new secret, in this one answer and nowhere else. The form names the
    change-over that it was made before, so that sent again it changes nothing."""
    _managing(request)
    endpoint = _endpoint(request, pk)
    if not CHANNELS[endpoint.channel].needs_secret:
        raise Http404
    until = endpoint.old_secret_until
    before = until.isoformat() if until else "never"
    if request.method == "POST":
        try:
            if request.POST.get("before") != before:
                raise endpoints.Refused(
                    _("The secret was replaced already, and is not shown again.")
                )
            endpoint.secret = endpoints.replace_secret(endpoint, actor=request.user)
        except endpoints.Refused as reason:
            messages.error(request, str(reason))
            return redirect("way", pk=pk)
        return render(request, "alerts/ways/secret.html", {**_facts(endpoint), "replaced": True})
    context = {**_facts(endpoint), "before": before}
    return render(request, "alerts/ways/replace.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def remove(request: MemberRequest, pk: int) -> HttpResponse:
    """Ask first, as it cannot be undone."""
    _managing(request)
    endpoint = _endpoint(request, pk)
    if request.method == "POST":
        endpoints.remove(endpoint, actor=request.user)
        messages.success(request, _("Removed. Nothing is sent there any more."))
        return redirect("ways")
    return render(request, "alerts/ways/remove.html", _facts(endpoint))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """The link in a test to a phone or a mailbox. Opening it says nothing; the button does."""
    endpoint = confirming.opened(token)
    if endpoint is None:
        return render(request, "alerts/ways/badlink.html", status=404)
    if request.method == "POST":
        endpoints.confirm(endpoint)
        endpoint.refresh_from_db()
    return render(request, "alerts/ways/confirm.html", _facts(endpoint))


# Mail programs press the button of List-Unsubscribe-Post (RFC 8058) without cookies; the signed
# link is what shows that they may.
@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def mails(request: HttpRequest, token: str) -> HttpResponse:
    """A reader of mails asks for fewer. Opening the page changes nothing."""
    reader = mailing.opened(token)
    if reader is None:
        return render(request, "alerts/ways/badlink.html", {"mails": True}, status=404)
    if request.POST.get("List-Unsubscribe") == "One-Click":
        mailing.choose(reader, Severity.CRITICAL)
        return HttpResponse(status=204)
    wish = mailing.chosen(reader) or Subscription()
    form = MailFloorForm(request.POST or None, initial={"severity": wish.floor})
    saved = request.method == "POST" and form.is_valid()
    if saved:
        mailing.choose(reader, Severity(form.cleaned_data["severity"]))
        wish = mailing.chosen(reader) or wish
    said = subscriptions.in_words(wish)
    context = {"reader": reader, "form": form, "saved": saved, "chosen": said}
    status = 422 if form.is_bound and not saved else 200
    return render(request, "alerts/ways/mails.html", context, status=status)
