"""The desk's pages: the queue, one case with both graphs, the coverage of each warning."""

import orjson
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from alerts import assets, tasks, triage
from alerts.coverage import coverage
from alerts.forms import DeclineForm, ReleaseForm
from alerts.models import Alert
from crc.members.access import MemberRequest, for_desk
from crc.members.models import Group
from sharing.intake import understood
from sharing.models import Report, StixObject, Submission
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


@require_safe
@for_desk
def queue(request: MemberRequest) -> HttpResponse:
    """What came in, newest first, and the warnings that are out."""
    submissions = Submission.objects.select_related("source", "report", "release")
    alerts = [(alert, coverage(alert)) for alert in Alert.objects.select_related("group")[:20]]
    return render(
        request,
        "alerts/desk.html",
        {
            "submissions": submissions.exclude(door="import")[:100],
            "alerts": alerts,
            "claims": assets.open_claims().count(),
            "open": Report.objects.filter(state=Report.State.OPEN).count(),
        },
    )


def _report(reference: str) -> Report:
    reports = Report.objects.select_related("submission__source", "author")
    return get_object_or_404(reports, submission__reference=reference)


def _case_page(
    request: MemberRequest,
    report: Report,
    release_form: ReleaseForm | None = None,
    decline_form: DeclineForm | None = None,
) -> HttpResponse:
    submission = report.submission
    made = getattr(submission, "release", None)
    problem, shared = "", []
    if made:
        shared = [orjson.loads(obj.body) for obj in made.stix_objects.order_by("pk")]
    elif report.consent is not Tlp.RED:
        problem, shared = _preview(report)
    failed = any(form and form.errors for form in (release_form, decline_form))
    return render(
        request,
        "alerts/case.html",
        {
            "report": report,
            "submission": submission,
            "release": made,
            "severity": triage.severity_of(report).value,
            "systems": [
                (SYSTEMS[s].label, IMPACTS[i].label) for s, i in report.impact_by_system.items()
            ],
            "understood": understood(report),
            "private": _shown(_private(submission)),
            "shared": _shown(shared),
            "problem": problem,
            "unsaid": [SYSTEMS[system].label for system in unsaid(report)],
            "stories": submission.corroborations.all(),
            "alerts": [(alert, coverage(alert)) for alert in made.alerts.all()] if made else [],
            "release_form": release_form
            or ReleaseForm(
                report=report,
                initial={"tlp": report.consent.value, "title": standard_title(report)},
            ),
            "decline_form": decline_form or DeclineForm(),
        },
        status=422 if failed else 200,
    )


def _preview(report: Report) -> tuple[str, list[Json]]:
    terms = Terms(group=Group.objects.get(slug="community"), tlp=report.consent)
    try:
        return "", graph_for(report, terms, at=timezone.now())
    except NotReleasable as obstacle:
        return str(obstacle), []


def _private(submission: Submission) -> list[Json]:
    """The submission's objects as its receipt lists them: shared ones may have come before."""
    ids = [entry[0] for entry in submission.receipt]
    found = {
        obj.stix_id: obj
        for obj in StixObject.objects.filter(stix_id__in=ids, release=None).order_by(
            "submission_id"
        )
    }
    found |= {obj.stix_id: obj for obj in submission.stix_objects.all()}
    return [orjson.loads(found[stix_id].body) for stix_id in ids if stix_id in found]


def _shown(graph: list[Json]) -> list[dict[str, str]]:
    """Objects as a page lists them, the furniture last."""
    furniture = {"marking-definition", "relationship"}
    names = {obj["id"]: obj.get("name") or obj.get("value") or obj["type"] for obj in graph}
    rows = [
        {
            "type": obj["type"],
            "id": obj["id"],
            "name": _name(obj, names),
            "json": orjson.dumps(obj, option=orjson.OPT_INDENT_2).decode(),
        }
        for obj in graph
    ]
    return sorted(rows, key=lambda row: row["type"] in furniture)


def _name(obj: Json, names: dict[str, str]) -> str:
    """What an object is called on the page; links are told by their ends."""
    if obj["type"] == "relationship":
        source, target = (names.get(obj[end], obj[end]) for end in ("source_ref", "target_ref"))
        return f"{source} {obj['relationship_type']} {target}"
    if obj["type"] == "sighting":
        return f"{names.get(obj['sighting_of_ref'], '')} seen by {obj.get('count', 1)} members"
    if "object_refs" in obj and "name" not in obj:
        return f"of {len(obj['object_refs'])} objects"
    hashes = obj.get("hashes") or {"": ""}
    return str(obj.get("name") or obj.get("value") or next(iter(hashes.values())))


@require_safe
@for_desk
def case(request: MemberRequest, reference: str) -> HttpResponse:
    """One case: the private and the release graph side by side, and what to do."""
    return _case_page(request, _report(reference))


@require_POST
@for_desk
def release_case(request: MemberRequest, reference: str) -> HttpResponse:
    """Share it."""
    report = _report(reference)
    form = ReleaseForm(request.POST, report=report)
    if not form.is_valid():
        return _case_page(request, report, release_form=form)
    try:
        raised = triage.release_from_desk(report, form.terms(), actor=request.user)
    except NotReleasable as obstacle:
        form.add_error(None, str(obstacle))
        return _case_page(request, report, release_form=form)
    rung = sum(tasks.ring_for(alert) for alert in raised) == len(raised)
    messages.success(
        request,
        "Released; the warning is going out."
        if rung
        else "Released. Sending is delayed and will start by itself.",
    )
    return redirect("case", reference=reference)


@require_POST
@for_desk
def decline_case(request: MemberRequest, reference: str) -> HttpResponse:
    """Keep it private, with a reason."""
    report = _report(reference)
    form = DeclineForm(request.POST)
    if form.is_valid():
        try:
            decline(report, reason=form.cleaned_data["reason"], actor=request.user)
        except NotReleasable as obstacle:
            form.add_error(None, str(obstacle))
        else:
            messages.success(request, "Kept private. The reporter sees your reason.")
            return redirect("case", reference=reference)
    return _case_page(request, report, decline_form=form)


@require_safe
@for_desk
def warning_coverage(request: MemberRequest, pk: str) -> HttpResponse:
    """Who was sent one warning, and who has answered."""
    alert = get_object_or_404(Alert.objects.select_related("group", "release__submission"), pk=pk)
    page = "alerts/coverage_table.html" if request.htmx else "alerts/coverage.html"
    return render(request, page, {"alert": alert, "coverage": coverage(alert)})
