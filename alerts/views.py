"""What members see of warnings, and the page behind the one-tap links."""

from collections.abc import AsyncIterator

import redis.asyncio
from django.conf import settings
from django.contrib import messages
from django.db.models import OuterRef, Q, Subquery
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseForbidden,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from alerts import answers, audience, fanout, notices
from alerts.channels import CHANNELS
from alerts.channels.inbox import topic
from alerts.forms import AnswerForm
from alerts.models import Alert, Answer
from crc.members.access import MemberRequest, for_members
from crc.members.models import Organisation, User
from sharing import visibility
from sharing.models import ListedValue

# A proxy that hears nothing for a minute closes the line.
KEEP_ALIVE_SECONDS = 20.0


def _inbox(organisation: Organisation) -> list[Alert]:
    """The warnings sent to this member that it may still see, newest first, with its answer."""
    newest = Answer.objects.filter(alert=OuterRef("pk"), organisation=organisation)
    sent = (
        Alert.objects.filter(
            deliveries__organisation=organisation,
            deliveries__channel="inbox",
        )
        .annotate(answer=Subquery(newest.values("choice")[:1]))
        .select_related("group")
    )
    cleared = visibility.levels(port_role=organisation.port_role, ceiling=organisation.ceiling)
    theirs = Q(group__everyone=True) | Q(group__members=organisation) | Q(only=organisation)
    return list(sent.filter(theirs, tlp__in=[tlp.value for tlp in cleared]).distinct()[:100])


@require_safe
@for_members
def warnings(request: MemberRequest) -> HttpResponse:
    """The member's inbox; a fragment of it for live update."""
    inbox = _inbox(request.user.organisation)
    page = "alerts/inbox.html" if request.htmx else "alerts/warnings.html"
    unanswered = sum(not getattr(alert, "answer", None) for alert in inbox)
    return render(request, page, {"alerts": inbox, "unanswered": unanswered})


def _warning(request: MemberRequest, pk: str) -> Alert:
    """One warning, if it was sent to this member and the member may see it still."""
    member = request.user.organisation
    alert = get_object_or_404(
        Alert.objects.filter(deliveries__organisation=member).distinct(), pk=pk
    )
    if not audience.cleared(alert).filter(pk=member.pk).exists():
        get_object_or_404(Alert.objects.none())
    return alert


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def warning(request: MemberRequest, pk: str) -> HttpResponse:
    """Read one warning and answer it."""
    alert, member = _warning(request, pk), request.user.organisation
    form = AnswerForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        answers.record(
            alert,
            member,
            form.cleaned_data["choice"],
            by=request.user,
            note=form.cleaned_data["note"],
        )
        messages.success(request, "Your answer is with the desk. You can change it any time.")
        return redirect("warning", pk=alert.pk)
    fanout.mark_seen(alert, member)
    listed = ListedValue.objects.filter(
        object__release=alert.release, object__in=visibility.objects_for(member).values("pk")
    )
    return render(
        request,
        "alerts/warning.html",
        {
            "alert": alert,
            "form": form,
            "answer": answers.current(alert).get(member.pk),
            "choices": Answer.Choice,
            "values": listed.order_by("kind", "value")[:500],
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


@require_http_methods(["GET", "HEAD", "POST"])
def answer(request: HttpRequest, token: str) -> HttpResponse:
    """A one-tap link. Opening it answers nothing (mail scanners open links); the button does.

    The page needs no login, so it shows no more than the mail did.
    """
    try:
        invitation = answers.opened(token)
    except answers.BadLink as problem:
        return render(request, "alerts/badlink.html", {"problem": str(problem)}, status=404)
    delivery = invitation.delivery
    context = {
        "notice": notices.notice(delivery),
        "member": delivery.organisation,
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
    """Live update: an event for each warning that reaches this member, ids only."""
    user = await request.auser()
    if not isinstance(user, User):
        return HttpResponseForbidden()
    slug = user.organisation.slug
    return StreamingHttpResponse(
        _stream(slug),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(slug: str) -> AsyncIterator[bytes]:
    client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_timeout=None)
    try:
        async with client.pubsub() as subscription:
            await subscription.subscribe(topic(slug))
            yield b": connected\n\n"
            while True:
                heard = await subscription.get_message(
                    ignore_subscribe_messages=True, timeout=KEEP_ALIVE_SECONDS
                )
                if heard is None:
                    yield b": still here\n\n"
                else:
                    yield b"event: warning\ndata: " + heard["data"] + b"\n\n"
    except redis.RedisError:
        return  # the browser reconnects by itself
    finally:
        await client.aclose()
