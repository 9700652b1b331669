"""The desk's pages: the queue, and one case with both graphs."""

from dataclasses import dataclass
from typing import Final

from django.contrib import messages
from django.db.models import Case, Count, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from alerts import assets, corrections, escalation, graphs, jumps, ladder, tasks, triage
from alerts.coverage import summaries
from alerts.forms import DeclineForm, ReleaseForm, StandForm
from alerts.models import Alert, DeskEntry
from alerts.outgoing import outgoing
from alerts.severity import Severity
from crc.members.access import MemberRequest, for_desk
from crc.members.models import Group
from crc.members.retold import retold, told_in
from sharing import withdrawal
from sharing.doubts import stayed_behind
from sharing.models import Release, Report, StixObject, Submission
from sharing.release import (
    NotReleasable,
    Terms,
    decline,
    graph_for,
    standard_title,
    unsaid,
)
from sharing.stix.markings import Json, Tlp
from sharing.stix.port import IMPACTS, SYSTEMS
from sharing.understanding import understood

_QUEUE: Final = 100
_ALERTS: Final = 20
_JUMPS: Final = 20
_UNANSWERED: Final = 20
_OPEN: Final = Q(report__state=Report.State.OPEN)
_HELD: Final = _OPEN & ~Q(report__hold_reason="")
_ASKED: Final = Q(release__in=Release.objects.filter(withdrawal.WITHDRAWAL_ASKED))
# What the links above the queue show, by their word in the address.
_SHOWS: Final = {
    "all": (gettext_lazy("Everything"), Q()),
    "open": (gettext_lazy("Open"), _OPEN),
    "held": (gettext_lazy("Held"), _HELD),
    "released": (gettext_lazy("Released"), Q(report__state=Report.State.RELEASED)),
    "asked": (gettext_lazy("Withdrawal asked for"), _ASKED),
    "withdrawn": (gettext_lazy("Withdrawn"), Q(report__state=Report.State.WITHDRAWN)),
    "declined": (gettext_lazy("Kept private"), Q(report__state=Report.State.DECLINED)),
    "tools": (gettext_lazy("From tools"), Q(report=None)),
}


@dataclass(frozen=True)
class Entry:
    """One line of the queue; what tools post is no report and has no severity of its own."""

    submission: Submission
    report: Report | None
    severity: Severity | None


@require_safe
@vary_on_headers("HX-Request")
@for_desk
def queue(request: MemberRequest) -> HttpResponse:
    """What came in, open cases first, and the warnings that are out; a part of it for live
    update."""
    show = request.GET.get("show", "all")
    if show not in _SHOWS:
        raise Http404
    counts = Submission.objects.aggregate(
        open=Count("pk", filter=_OPEN),
        held=Count("pk", filter=_HELD),
        asked=Count("pk", filter=_ASKED),
    )
    alerts = Alert.objects.exclude(release=None).select_related("group")[:_ALERTS]
    return render(
        request,
        "alerts/desk_queue.html" if request.htmx else "alerts/desk.html",
        {
            "entries": _entries(_SHOWS[show][1]),
            "shows": [(key, words, counts.get(key)) for key, (words, _) in _SHOWS.items()],
            "show": show,
            "open": counts["open"],
            "asked": counts["asked"],
            "limit": _QUEUE,
            "alerts": [(one.alert, one) for one in summaries(alerts)],
            "unanswered": escalation.unanswered(_UNANSWERED),
            "pauses": ladder.pauses_now(),
            "jumps": [
                (entry, jumps.explained(entry), entry.members.all())
                for entry in DeskEntry.objects.filter(looked_at=None)[:_JUMPS]
            ],
            "claims": assets.open_claims().count(),
        },
    )


def _entries(wanted: Q) -> list[Entry]:
    """The queue's lines. A post's receipt may have a line for each of many thousand objects, so it
    is not read here."""
    objects = StixObject.objects.filter(submission=OuterRef("pk")).order_by()
    count = objects.values("submission").annotate(count=Count("pk")).values("count")
    found = (
        Submission.objects.exclude(door__in=["import", "sightings"])
        .filter(wanted)
        .select_related("source", "report", "release")
        .defer("receipt", "report__narrative", "report__technical")
        .annotate(new_objects=Coalesce(Subquery(count), 0))
        .order_by(Case(When(_OPEN | _ASKED, then=Value(0)), default=Value(1)), "-received_at")
    )
    reports = [(submission, getattr(submission, "report", None)) for submission in found[:_QUEUE]]
    return [
        Entry(submission, report, triage.severity_of(report) if report else None)
        for submission, report in reports
    ]


@require_POST
@for_desk
def looked_at(request: MemberRequest, pk: int) -> HttpResponse:
    """Take one jump off the page."""
    if jumps.look(get_object_or_404(DeskEntry, pk=pk), actor=request.user):
        messages.success(request, _("Noted. It comes back only if the rate falls and jumps again."))
    return redirect("desk")


def _report(reference: str) -> Report:
    reports = Report.objects.select_related("submission__source", "author")
    return get_object_or_404(reports, submission__reference=reference)


def _case_page(
    request: MemberRequest,
    report: Report,
    release_form: ReleaseForm | None = None,
    decline_form: DeclineForm | None = None,
    stand_form: StandForm | None = None,
) -> HttpResponse:
    submission = report.submission
    made = _release(report)
    form = release_form or ReleaseForm(
        report=report,
        initial={
            "tlp": report.consent.value,
            "title": standard_title(report),
            "title_ja": told_in("ja", standard_title(report)),
        },
    )
    offered = not made and report.state == Report.State.OPEN and report.consent is not Tlp.RED
    problem, preview = _preview(report) if offered else ("", [])
    failed = any(form and form.errors for form in (release_form, decline_form, stand_form))
    return render(
        request,
        "alerts/case.html",
        {
            "report": report,
            "submission": submission,
            "release": made,
            "severity": triage.severity_of(report).value,
            "systems": [
                (_(SYSTEMS[s].label), _(IMPACTS[i].label))
                for s, i in report.impact_by_system.items()
            ],
            "understood": understood(report),
            "private": graphs.private_listing(submission),
            "shared": graphs.released_listing(made) if made else graphs.listing(preview),
            "problem": problem,
            "stayed_behind": stayed_behind(report) if made else {},
            "unsaid": [_(SYSTEMS[system].label) for system in unsaid(report)],
            "stories": submission.corroborations.all(),
            "alerts": [(one.alert, one) for one in summaries(made.alerts.all())] if made else [],
            "closed": corrections.closed_by(made) if made else None,
            "consumers": withdrawal.consumers(made) if made else [],
            "offered": offered,
            "release_form": form,
            "decline_form": decline_form or DeclineForm(),
            "stand_form": stand_form or StandForm(),
        },
        status=422 if failed else 200,
    )


def _release(report: Report) -> Release | None:
    return getattr(report.submission, "release", None)


def _preview(report: Report) -> tuple[str, list[Json]]:
    terms = Terms(group=Group.objects.get(slug="community"), tlp=report.consent)
    try:
        return "", graph_for(report, terms, at=timezone.now())
    except NotReleasable as obstacle:
        return str(obstacle), []


@require_safe
@for_desk
def case(request: MemberRequest, reference: str) -> HttpResponse:
    """One case: the private and the release graph side by side, and what to do."""
    return _case_page(request, _report(reference))


@require_safe
@never_cache
@for_desk
def private_json(request: MemberRequest, reference: str) -> HttpResponse:
    """The whole private graph."""
    return _file(graphs.private_graph(_report(reference).submission), f"{reference}-private")


@require_safe
@never_cache
@for_desk
def released_json(request: MemberRequest, reference: str) -> HttpResponse:
    """The whole release graph; before the release, as it would be."""
    report = _report(reference)
    made = _release(report)
    if made:
        return _file(graphs.released_graph(made), f"{reference}-released")
    if report.consent is Tlp.RED:
        raise Http404
    problem, graph = _preview(report)
    if problem:
        raise Http404
    return _file(graph, f"{reference}-preview")


def _file(graph: list[Json], name: str) -> HttpResponse:
    return HttpResponse(
        graphs.bundle(graph),
        content_type="application/stix+json;version=2.1",
        headers={"Content-Disposition": f'attachment; filename="{name}.json"'},
    )


@require_POST
@for_desk
def confirm_release(request: MemberRequest, reference: str) -> HttpResponse:
    """What would go out, to whom; nothing is sent yet. ``?change`` goes back, with what was typed
    still there."""
    report = _report(reference)
    if report.state != Report.State.OPEN:
        return _decided_meanwhile(request, report)
    form = ReleaseForm(request.POST, report=report)
    if "change" in request.GET or not form.is_valid():
        return _case_page(request, report, release_form=form)
    return _confirm_page(request, report, form)


def _confirm_page(
    request: MemberRequest, report: Report, form: ReleaseForm, *, changed: bool = False
) -> HttpResponse:
    terms = form.terms()
    try:
        graph = graph_for(report, terms, at=timezone.now())
    except NotReleasable as obstacle:
        form.add_error(None, retold(str(obstacle)))
        return _case_page(request, report, release_form=form)
    return render(
        request,
        "alerts/confirm.html",
        {
            "report": report,
            "submission": report.submission,
            "form": form,
            "group": terms.group,
            "out": outgoing(report, terms),
            "graph": graphs.listing(graph),
            "stories": report.submission.corroborations.filter(members__gte=2),
            "changed": changed,
        },
        status=409 if changed else 200,
    )


@require_POST
@for_desk
def release_case(request: MemberRequest, reference: str) -> HttpResponse:
    """Share it, if it is still what the desk was shown (``shown``, its digest)."""
    report = _report(reference)
    if report.state != Report.State.OPEN:
        return _decided_meanwhile(request, report)
    form = ReleaseForm(request.POST, report=report)
    if not form.is_valid():
        return _case_page(request, report, release_form=form)
    terms = form.terms()
    if request.POST.get("shown") not in {None, outgoing(report, terms).digest}:
        return _confirm_page(request, report, form, changed=True)
    try:
        raised = triage.release_from_desk(report, terms, actor=request.user)
    except NotReleasable as obstacle:
        report.refresh_from_db()
        if report.state != Report.State.OPEN:
            return _decided_meanwhile(request, report)
        form.add_error(None, retold(str(obstacle)))
        return _case_page(request, report, release_form=form)
    rung = sum(tasks.ring_for(alert) for alert in raised) == len(raised)
    messages.success(
        request,
        _("Released; the warning is going out.")
        if rung
        else _("Released. Sending is delayed and will start by itself."),
    )
    return redirect("case", reference=reference)


@require_POST
@for_desk
def decline_case(request: MemberRequest, reference: str) -> HttpResponse:
    """Keep it private, with a reason."""
    report = _report(reference)
    if report.state != Report.State.OPEN:
        return _decided_meanwhile(request, report)
    form = DeclineForm(request.POST)
    if not form.is_valid():
        return _case_page(request, report, decline_form=form)
    try:
        decline(report, reason=form.cleaned_data["reason"], actor=request.user)
    except NotReleasable:  # the one reason there is: another tab was quicker
        report.refresh_from_db()
        return _decided_meanwhile(request, report)
    messages.success(request, _("Kept private. The reporter sees your reason."))
    return redirect("case", reference=reference)


@require_POST
@for_desk
def let_stand(request: MemberRequest, reference: str) -> HttpResponse:
    """The reporter wants it taken back; the desk does not, and says why."""
    report = _report(reference)
    made, form = _release(report), StandForm(request.POST)
    if made is None:
        raise Http404
    if not form.is_valid():
        return _case_page(request, report, stand_form=form)
    if withdrawal.decline(made, reason=form.cleaned_data["reason"], actor=request.user):
        messages.success(request, _("The warning stands. The reporter sees your reason."))
    else:
        messages.info(request, _("Nobody asks for it any more."))
    return redirect("case", reference=reference)


def _decided_meanwhile(request: MemberRequest, report: Report) -> HttpResponse:
    """Another tab or analyst, or the reporter, was quicker: the case page shows what was decided,
    and says that this decision was not."""
    made = Release.objects.filter(submission=report.submission_id).first()
    if made:
        who = _("the reporter's own wish") if made.decided_by == "source" else made.decided_by
        what = _("It was released meanwhile, by %(who)s.") % {"who": who}
    else:
        what = _("It was kept private meanwhile.")
    messages.error(request, _("Your decision was not carried out. %(what)s") % {"what": what})
    return redirect("case", reference=report.submission.reference)
