"""The desk's view of a warning: the coverage map, and one member's part of it."""

from datetime import timedelta
from typing import Final

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from alerts import answers, audience, corrections, escalation, ladder
from alerts.coverage import Line, coverage
from alerts.forms import AnswerForm
from alerts.ladder import NotPossible
from alerts.models import Alert, Escalation
from crc.members.access import MemberRequest, for_desk
from crc.members.models import Organisation
from crc.members.roles import PortRole

# More lines than anybody reads; the most urgent are first, and a role shows its own.
_LINES: Final = 200
# Of a correction nobody is asked anything.
_ABOUT_ANSWERS: Final = frozenset({"affected", "unanswered", "ended"})
_SHOWS: Final = {
    "all": gettext_lazy("All"),
    "affected": gettext_lazy("Affected"),
    "unanswered": gettext_lazy("Not answered"),
    "unreached": gettext_lazy("Not reached"),
    "ended": gettext_lazy("Nobody answered the calls"),
}


class PhoneForm(AnswerForm):
    """What a member says on the phone, and who said it."""

    told_by = forms.CharField(
        label=gettext_lazy("Who told you?"),
        max_length=80,
        help_text=gettext_lazy("Kept with the answer, beside your own name; the member sees both."),
    )
    field_order = ("told_by", "choice", "note")


class PauseForm(forms.Form):
    """For how long nobody is called."""

    minutes = forms.TypedChoiceField(
        label=gettext_lazy("Pause the calls for"),
        coerce=int,
        choices=[
            (15, gettext_lazy("15 minutes")),
            (60, gettext_lazy("1 hour")),
            (240, gettext_lazy("4 hours")),
            (1440, gettext_lazy("1 day")),
        ],
    )


def _alert(pk: str) -> Alert:
    alerts = Alert.objects.select_related("group", "only", "release__submission")
    return get_object_or_404(alerts, pk=pk)


def _closing(alert: Alert) -> Alert | None:
    """What has called this warning off since, if anything."""
    closing = corrections.closed_by(alert.release) if alert.release else None
    return closing if closing and closing.raised_at > alert.raised_at else None


def _shown(line: Line, show: str) -> bool:
    match show:
        case "affected":
            return line.affected
        case "unanswered":
            return line.answer is None
        case "unreached":
            return not line.reached
        case "ended":
            return bool(line.escalation) and line.urgency == 1
    return True


@require_safe
@vary_on_headers("HX-Request")
@for_desk
def show(request: MemberRequest, pk: str) -> HttpResponse:
    """Who was sent one warning, whom it reached, who has answered; a part of it for live update."""
    chosen, role = request.GET.get("show", "all"), request.GET.get("role", "")
    if chosen not in _SHOWS or (role and role not in PortRole.values):
        raise Http404
    alert = _alert(pk)
    whole = coverage(alert)
    wanted = [
        line
        for line in whole.lines
        if _shown(line, chosen) and role in ("", line.organisation.port_role)
    ]
    paused = {pause.organisation_id: pause for pause in ladder.pauses_now()}
    return render(
        request,
        "alerts/coverage_table.html" if request.htmx else "alerts/coverage.html",
        {
            "alert": alert,
            "closing": _closing(alert),
            "coverage": whole,
            "asks": alert.kind not in Alert.CORRECTIONS,
            "reporters": audience.sources(alert),
            "lines": [(line, paused.get(line.organisation.pk)) for line in wanted[:_LINES]],
            "more": max(0, len(wanted) - _LINES),
            "shows": [
                (key, words)
                for key, words in _SHOWS.items()
                if alert.kind not in Alert.CORRECTIONS or key not in _ABOUT_ANSWERS
            ],
            "show": chosen,
            "role": role,
            "role_label": PortRole(role).label if role else "",
        },
    )


def _line(pk: str, slug: str) -> tuple[Alert, Organisation, Line]:
    """One member's part of a warning; 404 for a member that was not warned."""
    alert, member = _alert(pk), get_object_or_404(Organisation, slug=slug)
    lines = coverage(alert, of=member).lines
    if not lines:
        raise Http404
    return alert, member, lines[0]


@require_safe
@for_desk
def member(request: MemberRequest, pk: str, slug: str) -> HttpResponse:
    """Everything that was sent to one member, what it said, and what the desk can do."""
    return _member_page(request, pk, slug)


def _member_page(
    request: MemberRequest, pk: str, slug: str, form: PhoneForm | None = None
) -> HttpResponse:
    alert, organisation, line = _line(pk, slug)
    steps = ladder.steps_of([organisation.pk])[organisation.pk]
    return render(
        request,
        "alerts/coverage_member.html",
        {
            "alert": alert,
            "member": organisation,
            "line": line,
            "closing": _closing(alert),
            "asks": alert.kind not in Alert.CORRECTIONS,
            "answers": alert.answers.filter(organisation=organisation),
            "steps": [
                (step, words)
                for step, (words, _listed) in zip(
                    steps, ladder.described(organisation, steps), strict=True
                )
            ],
            "pause": ladder.pause_now(organisation),
            "form": form or PhoneForm(),
            "pause_form": PauseForm(),
            "open": line.escalation and line.escalation.state in Escalation.OPEN,
        },
        status=422 if form else 200,
    )


@require_POST
@for_desk
def answer_for(request: MemberRequest, pk: str, slug: str) -> HttpResponse:
    """Write down what the member said on the phone."""
    alert, organisation, _unused = _line(pk, slug)
    if alert.kind in Alert.CORRECTIONS:
        raise Http404
    form = PhoneForm(request.POST)
    if not form.is_valid():
        return _member_page(request, pk, slug, form)
    said = form.cleaned_data
    try:
        answers.record(
            alert,
            organisation,
            said["choice"],
            by=request.user,
            note=said["note"],
            told_by=said["told_by"],
        )
    except answers.Closed as over:
        messages.error(request, str(over))
        return redirect("coverage-member", pk=alert.pk, slug=slug)
    messages.success(
        request,
        _("Written down for %(member)s. Nobody is called any more.") % {"member": organisation},
    )
    return redirect("coverage-member", pk=alert.pk, slug=slug)


@require_POST
@for_desk
def pause(request: MemberRequest, pk: str, slug: str) -> HttpResponse:
    """Make no calls to this member for a while, or go on with them at once."""
    line = _line(pk, slug)[2]
    if line.escalation is None:
        raise Http404
    form = PauseForm(request.POST)
    try:
        if request.POST.get("what") == "resume":
            escalation.resume(line.escalation, actor=request.user)
        elif form.is_valid():
            until = timezone.now() + timedelta(minutes=form.cleaned_data["minutes"])
            escalation.pause(line.escalation, until, actor=request.user)
    except NotPossible as problem:
        messages.error(request, str(problem))
    return redirect("coverage-member", pk=pk, slug=slug)
