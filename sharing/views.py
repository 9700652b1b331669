"""The member's side of reporting: the form, the receipt, what became of it."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from crc.members.access import MemberRequest, for_members
from sharing import visibility
from sharing.forms import PlainText, ReportForm
from sharing.intake import accept_report, own_names, understood
from sharing.models import Report, Submission
from sharing.release import allow_warning
from sharing.signals import accepted
from sharing.stix.extract import MAX_CHARS, extract
from sharing.stix.port import IMPACTS, SYSTEMS


@require_safe
@for_members
def home(request: MemberRequest) -> HttpResponse:
    """The first thing to look at: the desk's queue, or the warnings."""
    return redirect("desk" if request.user.is_desk else "warnings")


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def report(request: MemberRequest) -> HttpResponse:
    """The form. Sent twice with one token, it answers with the first receipt."""
    form = ReportForm(request.POST or None, author=request.user)
    if request.method == "POST" and form.is_valid():
        made, submission = form.report()
        own = Submission.objects.filter(source=request.user.organisation)
        earlier = own.filter(pk=submission.pk).first()
        if earlier is None:
            try:
                accept_report(made, submission=submission, author=request.user)
            except IntegrityError:  # the same click, a moment earlier, on another thread
                earlier = get_object_or_404(own, pk=submission.pk)
        return redirect("receipt", reference=(earlier or submission).reference)
    status = 422 if form.is_bound else 200
    return render(request, "sharing/report.html", {"form": form}, status=status)


@require_POST
@for_members
def preview(request: MemberRequest) -> HttpResponse:
    """What the hub reads out of a pasted text, before anything is sent."""
    field = PlainText(max_length=MAX_CHARS, required=False, strip=False)
    try:
        text = field.clean(request.POST.get("technical", ""))
    except ValidationError as error:
        return render(request, "sharing/understood.html", {"problem": " ".join(error.messages)})
    found = extract(text, own=own_names(request.user.organisation))
    return render(request, "sharing/understood.html", {"found": found, "empty": not text.strip()})


@require_safe
@for_members
def reports(request: MemberRequest) -> HttpResponse:
    """What this organisation has reported."""
    own = Report.objects.filter(submission__source=request.user.organisation)
    rows = own.select_related("submission", "author").order_by("-submission__received_at")
    return render(request, "sharing/reports.html", {"reports": rows[:200]})


@require_safe
@for_members
def receipt(request: MemberRequest, reference: str) -> HttpResponse:
    """One report: what happens next, what was understood, what became of it."""
    found = _own_report(request, reference)
    return render(
        request,
        "sharing/receipt.html",
        {
            "report": found,
            "submission": found.submission,
            "understood": understood(found),
            "systems": [
                (SYSTEMS[system].label, IMPACTS[impact].label)
                for system, impact in found.impact_by_system.items()
            ],
            "delayed": found.submission.triaged_at is None,
        },
    )


@require_POST
@for_members
def warn(request: MemberRequest, reference: str) -> HttpResponse:
    """The reporter allows the anonymous warning afterwards."""
    found = _own_report(request, reference)
    allow_warning(found, actor=request.user)
    accepted.send_robust(Submission, submission_id=str(found.pk))
    messages.success(request, "The port is being warned, without your name.")
    return redirect("receipt", reference=reference)


def _own_report(request: MemberRequest, reference: str) -> Report:
    own = visibility.submissions_for(request.user.organisation)
    return get_object_or_404(
        Report.objects.select_related("submission__source", "author"),
        submission__reference=reference,
        submission__in=own,
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form was open too long, or cookies are off."""
    return render(request, "403_csrf.html", status=403)
