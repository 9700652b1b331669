"""Pages on which people choose what reaches them, and members say what is their own."""

from dataclasses import dataclass
from datetime import time
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts import assets, subscriptions
from alerts.audience import Address
from alerts.channels import CHANNELS
from alerts.models import Asset, Endpoint, Subscription
from alerts.wish_forms import ClaimForm, WishForm
from crc.members.access import MemberRequest, for_desk, for_members
from crc.members.models import Contact, User
from crc.members.roles import UserRole

_UNDO: Final = "wishes_before"
_GIVEN_UP: Final = "asset_given_up"
_TIMES: Final = ("quiet_from", "quiet_until")


@dataclass(frozen=True)
class Place:
    """One address that a user may choose for. ``slug`` names it where the address itself, which may
    hold a secret, must not be: in links and in the trail. ``unused`` says why none goes there."""

    slug: str
    label: str
    detail: str
    to: Address
    unused: str = ""


def places(user: User) -> list[Place]:
    """The user's own mail; for a member admin also the member's contacts and endpoints."""
    member, own = user.organisation_id, user.email.lower()
    found = [Place("mine", _("Your mail"), own, Address(member, "email", own))]
    if not may_manage(user):
        return found
    contacts = Contact.objects.filter(organisation=member, is_active=True).order_by("email")
    endpoints = Endpoint.objects.filter(organisation=member, is_active=True).order_by("pk")
    return [
        *found,
        *(
            Place(
                f"contact-{row.pk}",
                row.name or _("Contact"),
                row.email.lower(),
                Address(member, "email", row.email.lower()),
            )
            for row in contacts
            if row.email.lower() != own
        ),
        *map(_endpoint_place, endpoints),
    ]


def _endpoint_place(row: Endpoint) -> Place:
    """Named as on the page of the ways, so without what in the address is secret."""
    way = CHANNELS[row.channel]
    title, where = _(way.title), way.describe(row.address)
    unused = ""
    if not row.verified_at:
        unused = _("Not confirmed yet") if way.needs_tap else _("Not tested yet")
    return Place(
        f"endpoint-{row.pk}",
        row.label or where,
        f"{title} · {where}" if row.label else title,
        Address(row.organisation_id, row.channel, row.address),
        unused,
    )


def may_manage(user: User) -> bool:
    """Whether the user speaks for its organisation; the desk's own addresses are not warned."""
    return user.role == UserRole.MEMBER_ADMIN and not user.is_desk


def _place(request: MemberRequest, slug: str) -> Place:
    """Anybody else's is 404, as one that never was."""
    for place in places(request.user):
        if place.slug == slug and not request.user.organisation.is_desk:
            return place
    raise Http404


@require_safe
@for_members
def wishes(request: MemberRequest) -> HttpResponse:
    """Every address that the user may choose for, with what reaches it in a sentence."""
    user = request.user
    chosen = subscriptions.of([user.organisation_id])
    return render(
        request,
        "alerts/wishes.html",
        {
            "places": [
                (place, subscriptions.in_words(chosen.get(place.to) or Subscription()))
                for place in ([] if user.organisation.is_desk else places(user))
            ],
            "undoable": request.session.get(_UNDO, {}).get("slug"),
            "may_manage": may_manage(user),
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def wish(request: MemberRequest, slug: str) -> HttpResponse:
    """Choose for one address."""
    place = _place(request, slug)
    now = subscriptions.of([place.to.organisation_id]).get(place.to)
    form = WishForm(request.POST) if request.method == "POST" else WishForm.of(now)
    if form.is_bound and form.is_valid():
        _save(request, place, form.chosen())
        messages.success(request, _("Saved. It counts from now on."))
        return redirect("wishes")
    said = subscriptions.in_words(now or Subscription())
    if form.is_bound:  # what was typed is not what holds
        said.insert(0, _("As it was saved last:"))
    return render(
        request,
        "alerts/wish.html",
        {
            "place": place,
            "form": form,
            "quiet": [form[name] for name in _TIMES],
            "said": said,
        },
        status=422 if form.is_bound else 200,
    )


def _save(request: MemberRequest, place: Place, chosen: dict[str, Any] | None) -> None:
    slug = f"user-{request.user.pk}" if place.slug == "mine" else place.slug
    before = subscriptions.save(place.to, chosen, actor=request.user, place=slug)
    if before:
        before |= {name: f"{before[name]:%H:%M}" for name in _TIMES if before[name]}
    request.session[_UNDO] = {"slug": place.slug, "before": before}


@require_POST
@for_members
def undo(request: MemberRequest, slug: str) -> HttpResponse:
    """Back to what was chosen before the last save; undone again, forth."""
    place, last = _place(request, slug), request.session.get(_UNDO, {})
    if last.get("slug") != slug:
        messages.error(request, _("There is nothing to undo here any more."))
        return redirect("wishes")
    before = last["before"]
    if before:
        before |= {name: time.fromisoformat(before[name]) for name in _TIMES if before[name]}
    _save(request, place, before)
    messages.success(request, _("Undone."))
    return redirect("wishes")


@require_POST
@for_members
def preview(request: MemberRequest, slug: str) -> HttpResponse:
    """What the choices on the page would mean, in words; nothing is saved."""
    _place(request, slug)
    form = WishForm(request.POST)
    if form.is_valid():
        said = subscriptions.in_words(Subscription(**form.chosen()))
    else:
        said = [str(error) for errors in form.errors.values() for error in errors]
    return render(request, "alerts/wish_said.html", {"said": said})


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def assets_page(request: MemberRequest) -> HttpResponse:
    """What the member says is its own, and where that stands."""
    member = request.user.organisation
    if member.is_desk:
        return redirect("claims")
    form = ClaimForm(request.POST or None)
    if request.method == "POST":
        _managers_only(request)
        if form.is_valid() and _claimed(request, form):
            return redirect("assets")
    return render(
        request,
        "alerts/assets.html",
        {
            "assets": member.assets.all(),
            "form": form,
            "may_manage": may_manage(request.user),
            "given_up": request.session.get(_GIVEN_UP, {}).get("value"),
        },
        status=422 if form.is_bound else 200,
    )


def _managers_only(request: MemberRequest) -> None:
    if not may_manage(request.user):
        raise PermissionDenied


def _claimed(request: MemberRequest, form: ClaimForm) -> bool:
    try:
        made = assets.claim(request.user.organisation, form.cleaned_data["lines"], by=request.user)
    except assets.NotClaimable as problem:
        form.add_error("lines", str(problem))
        return False
    if made:
        messages.success(request, _("The desk looks at it and confirms. It counts from then on."))
    else:
        messages.info(request, _("That was on the list already."))
    return True


@require_POST
@for_members
def give_up(request: MemberRequest, pk: int) -> HttpResponse:
    """Take one off the list."""
    _managers_only(request)
    asset = get_object_or_404(Asset, pk=pk, organisation=request.user.organisation)
    request.session[_GIVEN_UP] = assets.give_up(asset, by=request.user)
    return redirect("assets")


@require_POST
@for_members
def undo_giving_up(request: MemberRequest) -> HttpResponse:
    """Put the last one back as it was."""
    _managers_only(request)
    kept = request.session.pop(_GIVEN_UP, None)
    if kept:
        assets.restore(request.user.organisation, kept, by=request.user)
    return redirect("assets")


@require_safe
@for_desk
def claims(request: MemberRequest) -> HttpResponse:
    """What members claim: what waits first, then what was decided."""
    rows = Asset.objects.select_related("organisation").order_by("organisation__name", "value")
    waiting = list(assets.open_claims().order_by("claimed_at"))
    others = assets.also_claimed(waiting)
    return render(
        request,
        "alerts/claims.html",
        {
            "waiting": [(asset, others.get(asset.pk, [])) for asset in waiting],
            "decided": rows.exclude(confirmed_at=None, refused_at=None),
        },
    )


@require_POST
@for_desk
def decide(request: MemberRequest, pk: int) -> HttpResponse:
    """Confirm, refuse, or take the decision back."""
    asset = get_object_or_404(Asset.objects.select_related("organisation"), pk=pk)
    decisions = {"confirm": assets.confirm, "refuse": assets.refuse, "reopen": assets.reopen}
    decision = decisions.get(request.POST.get("decision", ""))
    if decision is None:
        raise Http404
    decision(asset, by=request.user)
    return redirect("claims")
