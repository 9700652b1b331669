"""A member's ladder: who is called when nobody answers, pausing it, and testing it."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from alerts import escalation, ladder, notices, tasks
from alerts.coverage import Line, coverage
from alerts.ladder import NotPossible
from alerts.models import Alert, Escalation, LadderStep
from crc.members.access import MemberRequest, for_members
from crc.members.models import Organisation, User
from crc.members.roles import UserRole

# Below 0 too: whoever asked says better which numbers will do.
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
# How many tests the page remembers.
_DRILLS: Final = 5


class StepForm(forms.Form):
    """One more step."""

    whom = forms.ChoiceField(label=gettext_lazy("Call"))
    minutes = forms.IntegerField(
        label=gettext_lazy("Minutes until the next call"),
        initial=10,
        min_value=0,
        max_value=ladder.MAX_MINUTES,
        help_text=gettext_lazy("0 calls it together with the next step."),
    )

    def __init__(self, *args: object, organisation: Organisation, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        field = self.fields["whom"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = [(one.key, one.words) for one in ladder.choices(organisation)]


class PauseForm(forms.Form):
    """For how long."""

    hours = forms.TypedChoiceField(
        label=gettext_lazy("Pause for"),
        coerce=int,
        choices=[
            (1, gettext_lazy("1 hour")),
            (4, gettext_lazy("4 hours")),
            (12, gettext_lazy("12 hours")),
            (24, gettext_lazy("1 day")),
            (168, gettext_lazy("7 days")),
        ],
    )


class DrillForm(forms.Form):
    """How fast."""

    speed = forms.TypedChoiceField(
        label=gettext_lazy("How fast?"),
        coerce=int,
        widget=forms.RadioSelect,
        initial=10,
        choices=[
            (10, gettext_lazy("Ten times faster: a wait of 10 minutes is one of 1")),
            (1, gettext_lazy("As in earnest")),
        ],
    )


@dataclass(frozen=True)
class Rung:
    """A step as the page shows it; ``with_next`` when it is called together with the next."""

    call: str
    step: LadderStep
    words: str
    listed: bool
    with_next: bool


@dataclass(frozen=True)
class Drill:
    """A test, and how far it went."""

    alert: Alert
    escalation: Escalation
    line: Line


def may_change(user: User) -> bool:
    """Whether the user may change the ladder of its own organisation."""
    return user.role == UserRole.MEMBER_ADMIN and not user.organisation.is_desk


@require_safe
@vary_on_headers("HX-Request")
@for_members
def show(request: MemberRequest) -> HttpResponse:
    """The ladder; the tests alone for live update. The desk has none: it is where ladders end."""
    if request.user.is_desk:
        raise Http404
    return _page(request)


def _page(
    request: MemberRequest, step_form: StepForm | None = None, status: int = 200
) -> HttpResponse:
    member = request.user.organisation
    steps = ladder.steps_of([member.pk])[member.pk]
    return render(
        request,
        "alerts/drills.html" if request.htmx else "alerts/ladder.html",
        {
            "rungs": _rungs(member, steps),
            "first_call": notices.call(0),
            "wait": settings.ESCALATE_AFTER_MINUTES,
            "standard": not any(step.pk for step in steps),
            "pause": ladder.pause_now(member),
            "may_change": may_change(request.user),
            "step_form": step_form or StepForm(organisation=member),
            "pause_form": PauseForm(),
            "drill_form": DrillForm(),
            "drills": _drills(member),
            "running": escalation.running_drill(member),
        },
        status=status,
    )


def _rungs(member: Organisation, steps: list[LadderStep]) -> list[Rung]:
    rungs, call = [], 1
    described = ladder.described(member, steps)
    for step, (words, listed) in zip(steps, described, strict=True):
        with_next = not step.minutes and step is not steps[-1]
        rungs.append(Rung(notices.call(call), step, words, listed, with_next))
        call += not with_next
    return rungs


def _drills(member: Organisation) -> list[Drill]:
    rows = member.escalations.filter(alert__kind=Alert.Kind.DRILL).select_related("alert")
    return [
        Drill(row.alert, row, coverage(row.alert, of=member).lines[0])
        for row in rows.order_by("-alert__raised_at")[:_DRILLS]
    ]


@require_POST
@for_members
def act(request: MemberRequest, what: str) -> HttpResponse:
    """Do ``what`` to the ladder, for member admins. Others are told whom to ask."""
    if request.user.is_desk or (what != "add" and what not in _ACTIONS):
        raise Http404
    if not may_change(request.user):
        messages.error(request, _("Only your member admins can change this."))
        return redirect("ladder")
    if what == "add":
        return _add(request)
    try:
        _ACTIONS[what](request)
    except NotPossible as problem:
        messages.error(request, str(problem))
    return redirect("ladder")


def _add(request: MemberRequest) -> HttpResponse:
    member = request.user.organisation
    form = StepForm(request.POST, organisation=member)
    if form.is_valid():
        chosen = form.cleaned_data
        try:
            ladder.add(member, chosen["whom"], chosen["minutes"], actor=request.user)
        except NotPossible as problem:
            form.add_error(None, str(problem))
        else:
            return redirect("ladder")
    return _page(request, form, status=422)


def _number(request: MemberRequest, name: str) -> int:
    text = request.POST.get(name, "").strip()
    if not _NUMBER.fullmatch(text):
        raise NotPossible(_("Write a whole number."))
    return int(text)


def _own(request: MemberRequest) -> None:
    ladder.make_own(request.user.organisation, actor=request.user)


def _standard(request: MemberRequest) -> None:
    ladder.replace(request.user.organisation, [], actor=request.user)


def _change(request: MemberRequest) -> None:
    what = request.POST.get("what", "")
    if what not in {"up", "down", "remove", "wait"}:
        raise NotPossible(_("That cannot be done to a step."))
    ladder.change(
        request.user.organisation,
        _number(request, "step"),
        what,
        minutes=_number(request, "minutes") if what == "wait" else 0,
        actor=request.user,
    )
    if not request.user.organisation.ladder.exists():
        messages.info(request, _("That was the last step: the standard ladder applies again."))


def _pause(request: MemberRequest) -> None:
    form = PauseForm(request.POST)
    if not form.is_valid():
        raise NotPossible(_("Choose for how long."))
    until = timezone.now() + timedelta(hours=form.cleaned_data["hours"])
    ladder.pause(request.user.organisation, until, actor=request.user)


def _resume(request: MemberRequest) -> None:
    ladder.resume(request.user.organisation, actor=request.user)


def _test(request: MemberRequest) -> None:
    form = DrillForm(request.POST)
    if not form.is_valid():
        raise NotPossible(_("Choose how fast."))
    speed = form.cleaned_data["speed"]
    alert = escalation.drill(request.user.organisation, speed=speed, actor=request.user)
    tasks.ring(tasks.sweep)
    tasks.ring_for(alert)
    messages.success(request, _("The test has begun. It ends with the first answer."))


def _end_test(request: MemberRequest) -> None:
    running = escalation.running_drill(request.user.organisation)
    if running:
        escalation.stop(running.alert, by=request.user.email)


_ACTIONS: Final = {
    "own": _own,
    "standard": _standard,
    "change": _change,
    "pause": _pause,
    "resume": _resume,
    "test": _test,
    "end-test": _end_test,
}
