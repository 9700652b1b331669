"""What members say to a warning, from the inbox or by a signed link out of a mail."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.utils.translation import gettext as _

from alerts import audience
from alerts.models import Alert, Answer, Delivery, Escalation
from crc.members import audit
from crc.members.models import Organisation, User
from crc.members.retold import kept

MAX_NOTE: Final = 500
_SALT: Final = "alerts.answer"


class BadLink(ValueError):
    """A link that answers nothing; the message says why."""


class Closed(ValueError):
    """The warning is over, or was taken back: it asks for nothing any more; the message says so."""

    def __init__(self, closing: Alert) -> None:
        if closing.kind == Alert.Kind.ALL_CLEAR:
            said = _("The desk has given the all-clear. This warning asks for no answer any more.")
        else:
            said = _("The desk has taken this warning back. It asks for no answer any more.")
        super().__init__(said)


@dataclass(frozen=True)
class Invitation:
    """Whose answer to which warning a link stands for, and the choice it offers first."""

    delivery: Delivery
    choice: str


def link(delivery: Delivery, choice: str) -> str:
    """The address that answers for this delivery's member. It expires, and does nothing by GET."""
    token = signing.dumps([str(delivery.pk), choice], salt=_SALT)
    return f"{settings.BASE_URL}/answer/{token}/"


def opened(token: str) -> Invitation:
    """What a link stands for. Raises BadLink and Closed."""
    try:
        named, choice = signing.loads(
            token, salt=_SALT, max_age=timedelta(days=settings.ANSWER_LINK_DAYS)
        )
        pk = uuid.UUID(named)
    except signing.SignatureExpired:
        raise BadLink(_("This link has expired. Log in to answer.")) from None
    except (signing.BadSignature, ValueError, TypeError):
        raise BadLink(
            _("This link is not complete. Copy it whole from the mail, or log in.")
        ) from None
    rows = Delivery.objects.select_related("alert__group", "organisation")
    delivery = rows.filter(pk=pk).first()
    if delivery is None or not _still_theirs(delivery):
        raise BadLink(_("This warning is no longer yours to answer by this link. Log in."))
    _must_be_open(delivery.alert)
    return Invitation(delivery, choice)


def _must_be_open(alert: Alert) -> None:
    closing = Alert.objects.filter(
        release=alert.release_id, kind__in=Alert.CLOSING, raised_at__gt=alert.raised_at
    )
    if alert.release_id and (last := closing.order_by("raised_at").last()):
        raise Closed(last)


def _still_theirs(delivery: Delivery) -> bool:
    """Whether the member is still one and cleared, and the address still one of its own: a mail
    outlives the job of the person it was sent to."""
    member = delivery.organisation
    return audience.cleared(delivery.alert).filter(pk=member.pk).exists() and audience.still_listed(
        member, delivery.channel, delivery.address
    )


def record(
    alert: Alert,
    organisation: Organisation,
    choice: str,
    *,
    by: User | str,
    note: str = "",
    told_by: str = "",
) -> Answer:
    """The member's answer from now on, which ends the climbing of its ladder.

    ``told_by``: who of the member's gave it, when ``by`` is an analyst that writes it down. Raises
    Closed, and ValueError for a choice that is none of the four.
    """
    chosen = Answer.Choice(choice)
    _must_be_open(alert)
    user = by if isinstance(by, User) else None
    with transaction.atomic():
        answer = Answer.objects.create(
            alert=alert,
            organisation=organisation,
            user=user,
            choice=chosen,
            note=note.strip()[:MAX_NOTE],
            by=_who(by, told_by),
        )
        # After this no call is made; one that is due is held back as it is sent.
        Escalation.objects.filter(alert=alert, organisation=organisation).exclude(
            state__in=[Escalation.State.ANSWERED, Escalation.State.STOPPED]
        ).update(state=Escalation.State.ANSWERED, moved_at=answer.at)
        audit.record(
            "alert.answered",
            actor=by,
            subject=str(alert.pk),
            organisation=organisation.slug,
            choice=chosen.value,
            **({"on_behalf": 1} if told_by else {}),
        )
    return answer


def _who(by: User | str, told_by: str) -> str:
    name = by.email if isinstance(by, User) else by
    phoned = kept("%(who)s by phone, written down by %(name)s")
    return (phoned % {"who": told_by[:80], "name": name})[:160] if told_by else name


def current(alert: Alert) -> dict[int, Answer]:
    """Each member's newest answer, by organisation id."""
    newest: dict[int, Answer] = {}
    for answer in alert.answers.order_by("at", "pk"):
        newest[answer.organisation_id] = answer
    return newest
