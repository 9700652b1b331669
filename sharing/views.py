"""The member's side of reporting: the form, the receipt, what became of it."""

import uuid
from datetime import timedelta
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from crc import faults
from crc.members.access import MemberRequest, for_members
from sharing import visibility, withdrawal
from sharing.doubts import stayed_behind
from sharing.forms import MAX_TECHNICAL, AskWithdrawalForm, PlainText, ReportForm
from sharing.intake import accept_report
from sharing.models import Release, Report, Submission
from sharing.release import allow_warning, unsaid
from sharing.signals import accepted
from sharing.stix.extract import TextTooLong
from sharing.stix.port import IMPACTS, SYSTEMS
from sharing.understanding import read_out, understood

# Two threads with one token settle in two rounds; a third is for luck.
MAX_RACES: Final = 3
# Triage takes less than a second; what takes longer has hit a broker that is down.
PASSED_ON_WITHIN: Final = timedelta(seconds=3)


@require_safe
@for_members
def home(request: MemberRequest) -> HttpResponse:
    """The first thing to look at: the desk's queue, or the warnings."""
    return redirect("desk" if request.user.is_desk else "warnings")


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def report(request: MemberRequest) -> HttpResponse:
    """The form. Sent twice with one token and the same words, it answers with the first receipt."""
    form = ReportForm(
        request.POST or None, author=request.user, initial=ReportForm.offered(request.GET)
    )
    if request.method == "POST" and form.is_valid():
        made, submission = form.report()
        return redirect("receipt", reference=_taken_in(made, submission, request).reference)
    context = {
        "form": form,
        "warning": _warning(request),
        **(_understood(request) if form.is_bound else {}),
    }
    return render(request, "sharing/report.html", context, status=422 if form.is_bound else 200)


def _warning(request: MemberRequest) -> uuid.UUID | None:
    """The warning that the reporter came from, for the way back."""
    try:
        return uuid.UUID(request.GET.get("from", ""))
    except ValueError:
        return None


def _taken_in(made: Report, submission: Submission, request: MemberRequest) -> Submission:
    """The submission that now holds these words: a new one, or that of an earlier click."""
    for again in reversed(range(MAX_RACES)):
        earlier = Report.objects.filter(
            submission=submission.pk, submission__source=submission.source
        ).first()
        if earlier and made.says_the_same_as(earlier):
            return earlier.submission
        if Submission.objects.filter(pk=submission.pk).exists():
            # The page was sent before, then changed and sent again: both are kept.
            submission.pk = uuid.uuid4()
            messages.info(request, _("Sent as a new report; what you sent before stays as it was."))
        try:
            accept_report(made, submission=submission, author=request.user)
        except IntegrityError:
            continue  # the same click, a moment earlier, on another thread: look again
        except OperationalError as error:
            if again and faults.passes(error):
                continue
            raise
        return submission
    raise RuntimeError("a report met its own key again and again")


@require_POST
@for_members
def preview(request: MemberRequest) -> HttpResponse:
    """What the hub reads out of the text, before anything is sent."""
    return render(request, "sharing/understood.html", _understood(request))


def _understood(request: MemberRequest) -> dict[str, Any]:
    """The preview's context: what was found in both text fields, and what is ticked as private."""
    field = PlainText(max_length=MAX_TECHNICAL, required=False, strip=False)
    try:
        technical = field.clean(request.POST.get("technical", ""))
        narrative = field.clean(request.POST.get("narrative", ""))
        found = read_out(technical, narrative, request.user.organisation)
    except (ValidationError, TextTooLong) as error:
        messages_ = error.messages if isinstance(error, ValidationError) else [str(error)]
        return {"problem": " ".join(messages_)}
    return {
        "found": found,
        "empty": not f"{technical}{narrative}".strip(),
        "withheld": request.POST.getlist("withheld"),
    }


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
    return _receipt_page(request, _report(request, reference))


def _receipt_page(
    request: MemberRequest, found: Report, form: AskWithdrawalForm | None = None
) -> HttpResponse:
    return render(
        request,
        "sharing/receipt.html",
        {
            "report": found,
            "submission": found.submission,
            "understood": understood(found),
            "systems": [
                (_(SYSTEMS[system].label), _(IMPACTS[impact].label))
                for system, impact in found.impact_by_system.items()
            ],
            "waiting": found.submission.triaged_at is None,
            "delayed": found.submission.triaged_at is None and _is_late(found.submission),
            "kept_back": found.withheld,
            "stayed_behind": stayed_behind(found) if found.state == Report.State.RELEASED else {},
            "unsaid": [_(SYSTEMS[system].label) for system in unsaid(found)],
            "since": _said_since(found),
            "own": found.submission.source == request.user.organisation,
            "ask_form": form or AskWithdrawalForm(),
        },
        status=422 if form else 200,
    )


def _said_since(found: Report) -> list[Any]:
    """What was told to others about this report after the first warning, oldest first."""
    made = Release.objects.filter(submission=found.pk).first()
    return list(made.alerts.exclude(kind="warning").order_by("raised_at")) if made else []


def _is_late(submission: Submission) -> bool:
    return timezone.now() - submission.received_at > PASSED_ON_WITHIN


@require_POST
@for_members
def warn(request: MemberRequest, reference: str) -> HttpResponse:
    """The reporter allows the anonymous warning afterwards."""
    found = _report(request, reference)
    if found.submission.source != request.user.organisation:
        raise Http404  # the desk may read it, but only the source may loosen its marking
    if "sure" not in request.POST:
        messages.error(request, _("Nobody was warned: tick “Yes, warn every member now” first."))
    elif allow_warning(found, actor=request.user):
        accepted.send_robust(Submission, submission_id=str(found.pk), by_person=True)
        messages.success(request, _("The port is being warned, without your name."))
    elif Report.objects.filter(pk=found.pk, state=Report.State.DECLINED).exists():
        messages.error(
            request,
            _(
                "The port was not warned: the desk has decided to keep this report "
                "private. Its reason is below. If things have changed, send a new "
                "report, or telephone the desk."
            ),
        )
    elif Report.objects.filter(pk=found.pk, state=Report.State.WITHDRAWN).exists():
        messages.error(
            request,
            _(
                "The port was not warned: this report's warning has been withdrawn, and that is "
                "final. If things have changed, send a new report."
            ),
        )
    else:
        messages.info(request, _("The port has been warned already."))
    return redirect("receipt", reference=reference)


@require_POST
@for_members
def ask_withdrawal(request: MemberRequest, reference: str) -> HttpResponse:
    """The source asks the desk to take its release back."""
    found = _report(request, reference)
    made = Release.objects.filter(submission=found.pk).select_related("submission").first()
    if found.submission.source != request.user.organisation or made is None:
        raise Http404
    form = AskWithdrawalForm(request.POST)
    if not form.is_valid():
        return _receipt_page(request, found, form)
    if withdrawal.ask(made, reason=form.cleaned_data["reason"], actor=request.user):
        messages.success(request, _("The desk has been asked, and decides."))
    else:
        messages.info(request, _("The desk was asked before, or has withdrawn it."))
    return redirect("receipt", reference=reference)


def _report(request: MemberRequest, reference: str) -> Report:
    found = get_object_or_404(
        Report.objects.select_related("submission__source", "author"),
        submission__reference=reference,
        submission__in=visibility.submissions_for(request.user.organisation),
    )
    own = found.submission.source == request.user.organisation
    if not own and not request.user.is_desk:
        raise Http404  # the desk's organisation has people who are not analysts
    return found


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form was open too long, or cookies are off."""
    return render(request, "403_csrf.html", status=403)
