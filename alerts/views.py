"""What members see of warnings, and the page behind the one-tap links."""

import asyncio
import contextlib
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from time import monotonic
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth import aget_user
from django.db import connections
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseForbidden,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from alerts import answers, audience, fanout, notices
from alerts.channels import CHANNELS
from alerts.forms import AnswerForm
from alerts.live import Line, TooManyLines, switchboard
from alerts.models import Alert, Answer, Delivery
from crc.members.access import MemberRequest, for_members
from crc.members.models import Organisation, User
from sharing import visibility
from sharing.models import ListedValue, Report

# A proxy that hears nothing for a minute closes the line. As often the session is asked for again.
KEEP_ALIVE_SECONDS = 20.0
# Nobody reads more; tools get them all.
MAX_VALUES = 500


def _inbox(organisation: Organisation) -> list[Alert]:
    """The warnings sent to this member that it may still see, newest first, with its answer."""
    newest = Answer.objects.filter(alert=OuterRef("pk"), organisation=organisation)
    row = Delivery.objects.filter(alert=OuterRef("pk"), organisation=organisation, channel="inbox")
    sent = (
        Alert.objects.filter(
            deliveries__organisation=organisation,
            deliveries__channel="inbox",
        )
        .exclude(kind__in=Alert.CORRECTIONS)
        .annotate(
            answer=Subquery(newest.values("choice")[:1]),
            touches=Subquery(row.values("touches")[:1]),
        )
        .select_related("group")
    )
    cleared = visibility.levels(port_role=organisation.port_role, ceiling=organisation.ceiling)
    theirs = Q(group__everyone=True) | Q(group__members=organisation) | Q(only=organisation)
    found = list(sent.filter(theirs, tlp__in=[tlp.value for tlp in cleared]).distinct()[:100])
    said = _corrections(found)
    for alert in found:
        alert.said = said[alert.pk]
    # The last word on top; what it changed is on the warning's page.
    return sorted(found, key=_last_word, reverse=True)


def _last_word(alert: Alert) -> datetime:
    return next(iter(alert.said), alert).raised_at


def _corrections(alerts: Sequence[Alert]) -> dict[uuid.UUID, list[Alert]]:
    """What was said about each of these since, newest first."""
    releases = {alert.release_id for alert in alerts} - {None}
    rows = Alert.objects.filter(release__in=releases, kind__in=Alert.CORRECTIONS)
    later: dict[uuid.UUID | None, list[Alert]] = defaultdict(list)
    for row in rows.order_by("-raised_at"):
        later[row.release_id].append(row)
    return {
        alert.pk: [row for row in later[alert.release_id] if row.raised_at > alert.raised_at]
        for alert in alerts
    }


@require_safe
@vary_on_headers("HX-Request")
@for_members
def warnings(request: MemberRequest) -> HttpResponse:
    """The member's inbox; a fragment of it for live update."""
    inbox = _inbox(request.user.organisation)
    page = "alerts/inbox.html" if request.htmx else "alerts/warnings.html"
    unanswered = sum(alert.asks and not getattr(alert, "answer", None) for alert in inbox)
    return render(request, page, {"alerts": inbox, "unanswered": unanswered})


def _warning(request: MemberRequest, pk: str) -> Alert:
    """One warning, if it was sent to this member and the member may see it still."""
    member = request.user.organisation
    alert = get_object_or_404(
        Alert.objects.filter(deliveries__organisation=member).distinct(), pk=pk
    )
    if not audience.cleared(alert).filter(pk=member.pk).exists():
        get_object_or_404(Alert.objects.none())
    if alert.kind in Alert.CORRECTIONS:
        # Read on the page of what it corrects.
        warned = Alert.objects.filter(release=alert.release_id, deliveries__organisation=member)
        first = warned.exclude(kind__in=Alert.CORRECTIONS).order_by("raised_at").first()
        return first or alert
    return alert


def _touches(alert: Alert, member: Organisation) -> str:
    """What of the member's own a warning is about."""
    row = alert.deliveries.filter(organisation=member, channel="inbox").first()
    return row.touches if row else ""


def _listed(alert: Alert, member: Organisation) -> QuerySet[ListedValue]:
    """The values that a warning tells the member to look for."""
    if alert.release is None:  # which would match every object that is not released
        return ListedValue.objects.none()
    holds = visibility.placements_for(member).filter(latest=True, object__revoked=False)
    return ListedValue.objects.filter(
        object__release=alert.release, object__in=holds.values("object")
    )


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def warning(request: MemberRequest, pk: str) -> HttpResponse:
    """Read one warning and answer it."""
    alert, member = _warning(request, pk), request.user.organisation
    alert.said = _corrections([alert])[alert.pk]
    given = answers.current(alert).get(member.pk)
    told = {"choice": given.choice, "note": given.note} if given else {}
    form = AnswerForm(request.POST or None, initial=told)
    if request.method == "POST" and form.is_valid():
        try:
            answers.record(
                alert,
                member,
                form.cleaned_data["choice"],
                by=request.user,
                note=form.cleaned_data["note"],
            )
        except answers.Closed as over:
            messages.error(request, str(over))
            return redirect("warning", pk=alert.pk)
        messages.success(request, _("Your answer is with the desk. You can change it any time."))
        affected = Answer.Choice.AFFECTED.value
        hit = form.cleaned_data["choice"] == affected and told.get("choice") != affected
        return redirect("warning-report" if hit and alert.release else "warning", pk=alert.pk)
    for one in (alert, *alert.said):
        fanout.mark_seen(one, member)
    listed = _listed(alert, member)
    return render(
        request,
        "alerts/warning.html",
        {
            "alert": alert,
            "corrections": alert.said,
            "form": form,
            "answer": given,
            "choices": Answer.Choice,
            "touches": _touches(alert, member),
            "values": list(listed.order_by("kind", "value")[:MAX_VALUES]),
            "unlisted": max(0, listed.count() - MAX_VALUES),
        },
        status=422 if form.is_bound else 200,
    )


@require_safe
def short(request: HttpRequest, code: str) -> HttpResponse:
    """A text message's way to a warning; who may read it, the warning's own page asks."""
    try:
        return redirect("warning", pk=notices.lengthened(code))
    except ValueError:
        raise Http404 from None


@require_safe
@for_members
def report_too(request: MemberRequest, pk: str) -> HttpResponse:
    """The report form, filled in from a warning as far as the member may know."""
    alert = _warning(request, pk)
    if alert.release is None:  # a test, a drill, a word from the hub: there is nothing to report
        raise Http404
    told = Report.objects.filter(submission__release=alert.release).first()
    query = {"from": str(alert.pk), **({"attack": told.attack} if told else {})}
    return redirect(f"{reverse('report')}?{urlencode(query)}")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def answer(request: HttpRequest, token: str) -> HttpResponse:
    """A one-tap link. Opening it answers nothing (mail scanners open links); the button does.

    The page needs no login, so it shows no more than the mail did.
    """
    try:
        return _by_link(request, answers.opened(token))
    except (answers.BadLink, answers.Closed) as problem:
        said = {"problem": str(problem), "closed": isinstance(problem, answers.Closed)}
        return render(request, "alerts/badlink.html", said, status=404)


def _by_link(request: HttpRequest, invitation: answers.Invitation) -> HttpResponse:
    delivery = invitation.delivery
    context = {
        "notice": notices.notice(delivery),
        "member": delivery.organisation,
        "given": answers.current(delivery.alert).get(delivery.organisation_id),
        "choice": invitation.choice,
        "choices": Answer.Choice,
    }
    if request.method == "POST":
        form = AnswerForm(request.POST)
        if not form.is_valid():
            return render(request, "alerts/answer.html", {**context, "form": form}, status=422)
        made = answers.record(
            delivery.alert,
            delivery.organisation,
            form.cleaned_data["choice"],
            by=f"link:{CHANNELS[delivery.channel].describe(delivery.address)}"[:160],
            note=form.cleaned_data["note"],
        )
        return render(request, "alerts/answered.html", {**context, "answer": made})
    form = AnswerForm(initial={"choice": invitation.choice})
    return render(request, "alerts/answer.html", {**context, "form": form})


async def events(request: HttpRequest) -> HttpResponseBase:
    """Live update: an event for each warning that reaches this member, ids only; for an analyst
    also one, with nothing in it, whenever the desk's pages have changed."""
    user = await _signed_in(request)
    if user is None:
        return HttpResponseForbidden()
    try:
        switchboard().check(user)
    except TooManyLines:
        return HttpResponse("Too many open pages; close some.\n", "text/plain", 429)
    return StreamingHttpResponse(
        _stream(request, user),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _signed_in(request: HttpRequest) -> User | None:
    """Who the session's user is now. The page stays open for hours; its connection to the database
    must not."""
    fresh = HttpRequest()
    fresh.session = type(request.session)(request.session.session_key)
    user = await aget_user(fresh)
    await sync_to_async(connections.close_all)()
    return user if isinstance(user, User) else None


async def _stream(request: HttpRequest, user: User) -> AsyncIterator[bytes]:
    with contextlib.suppress(TooManyLines):
        async with switchboard().line(user) as line:
            async for event in _heard(request, line):
                yield event


_NOTHING = ("", b"")


async def _heard(request: HttpRequest, line: Line) -> AsyncIterator[bytes]:
    yield b": connected\n\n"
    checked = monotonic()
    while True:
        try:
            heard = await asyncio.wait_for(line.get(), KEEP_ALIVE_SECONDS)
        except TimeoutError:
            heard = _NOTHING
        if monotonic() - checked >= KEEP_ALIVE_SECONDS:
            if await _signed_in(request) is None:
                return
            checked = monotonic()
        if heard is None:
            return  # the browser reconnects by itself
        name, data = heard
        told = f"event: {name}\ndata: ".encode() + data if name else b": still here"
        yield told + b"\n\n"
