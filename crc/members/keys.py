"""Keys from birth to end: who may issue, see and revoke them, and the trail of both.

The pages and the operator's commands come here; a key's secret leaves ``issue`` once.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from crc.members import audit
from crc.members.models import ApiKey, Organisation, User
from crc.members.roles import Markings, UserRole


def keys_for(user: User) -> QuerySet[ApiKey]:
    """The keys this user may know of: its own organisation's; the desk, all."""
    keys = ApiKey.objects.select_related("organisation")
    return keys if user.is_desk else keys.filter(organisation=user.organisation)


def may_issue(user: User) -> bool:
    """Whether the user may issue keys, which are always for its own organisation."""
    return user.is_desk or user.role == UserRole.MEMBER_ADMIN


def may_revoke(user: User, key: ApiKey) -> bool:
    """Member admins their own organisation's, the desk any."""
    return user.is_desk or (may_issue(user) and key.organisation_id == user.organisation_id)


def issue(
    organisation: Organisation,
    scopes: list[str],
    *,
    actor: User | str,
    label: str = "",
    markings: str = Markings.TLP2,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its secret text, with its line in the trail. Raises ValueError for a scope
    nobody knows."""
    with transaction.atomic():
        key, token = ApiKey.issue(
            organisation, scopes, label=label, markings=markings, expires_at=expires_at
        )
        audit.record(
            "key.issued",
            actor=actor,
            subject=key.lookup,
            organisation=organisation.slug,
            scopes=key.scopes,
            markings=key.markings,
        )
    return key, token


def revoke(key: ApiKey, *, actor: User | str) -> bool:
    """End the key at once; False when it was revoked before, which leaves no second line."""
    with transaction.atomic():
        live = ApiKey.objects.filter(pk=key.pk, revoked_at=None)
        if not live.update(revoked_at=timezone.now()):
            return False
        audit.record(
            "key.revoked",
            actor=actor,
            subject=key.lookup,
            organisation=key.organisation.slug,
        )
    return True
