"""The desk's pages for a change of mind: write, look at who will be told, confirm."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from alerts import corrections, tasks
from alerts.forms import CorrectionForm
from alerts.models import Alert
from crc.members.access import MemberRequest, for_desk
from crc.members.language import readings
from crc.members.models import User
from crc.members.retold import retold
from sharing.models import Release
from sharing.release import NotReleasable, check_words


@require_http_methods(["GET", "HEAD", "POST"])
@for_desk
def correct(request: MemberRequest, reference: str, kind: str) -> HttpResponse:
    """Update, all-clear or withdrawal of one case.

    POST shows who will be told; only with ``confirmed`` it is done. ``?change`` goes back.
    """
    if kind not in Alert.CORRECTIONS:
        raise Http404
    made = get_object_or_404(
        Release.objects.select_related("submission__source", "group"),
        submission__reference=reference,
    )
    what = Alert.Kind(kind)
    over = corrections.closed_by(made)
    # After an all-clear, what proves wrong can still be taken back. What has been written is not
    # taken away: it is refused on its page.
    if (
        request.method != "POST"
        and over
        and (what is not Alert.Kind.WITHDRAWAL or over.kind == Alert.Kind.WITHDRAWAL)
    ):
        messages.error(request, _("This warning is closed already."))
        return redirect("case", reference=reference)
    form = CorrectionForm(request.POST or None, made=made, kind=what)
    if request.method != "POST" or "change" in request.GET or not form.is_valid():
        return _page(request, made, what, form, status=422 if form.errors else 200)
    try:
        check_words(made, form.words)
        if "confirmed" not in request.POST:
            return _page(request, made, what, form, confirm=True)
        alert = _carried_out(made, what, form, request.user)
    except NotReleasable as obstacle:
        form.add_error(None, retold(str(obstacle)))
        return _page(request, made, what, form, status=422)
    if tasks.ring_for(alert):
        messages.success(request, _("Done; those who were warned are being told."))
    else:
        messages.success(request, _("Done. Sending is delayed and will start by itself."))
    return redirect("case", reference=reference)


def _carried_out(made: Release, kind: Alert.Kind, form: CorrectionForm, actor: User) -> Alert:
    if kind is Alert.Kind.UPDATE:
        return corrections.update(made, form.words, actor=actor)
    if kind is Alert.Kind.ALL_CLEAR:
        return corrections.all_clear(made, form.words, actor=actor)
    value = form.cleaned_data["what"]
    if value:
        return corrections.withdraw_value(made, value, form.words, actor=actor)
    return corrections.withdraw(made, form.words, actor=actor)


def _page(
    request: MemberRequest,
    made: Release,
    kind: Alert.Kind,
    form: CorrectionForm,
    *,
    confirm: bool = False,
    status: int = 200,
) -> HttpResponse:
    value = form.cleaned_data.get("what", "") if confirm else ""
    # One value taken back is an update: the warning stays.
    sent_as = Alert.Kind.UPDATE if value else kind
    first = corrections.thread(made).first()
    body = form.words if confirm else ""
    if confirm and kind is Alert.Kind.WITHDRAWAL:
        body = corrections.value_words(value, body) if value else corrections.withdrawal_words(body)
    return render(
        request,
        "alerts/correct.html",
        {
            "release": made,
            "reference": made.submission.reference,
            "kind": kind.value,
            "readings": readings(corrections.title(sent_as, first), body) if first else [],
            "value": value,
            "form": form,
            "confirm": confirm,
            "members": corrections.members_told(made, sent_as),
            "severity": corrections.loudness(made, sent_as, first) if first else "",
            "first": first,
        },
        status=status,
    )
