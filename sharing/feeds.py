"""Plain lists for firewalls: one value a line, of what the key may see."""

import hashlib
from typing import Final

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from crc.members import credentials
from crc.members.models import ApiKey, Organisation
from crc.members.roles import Scope
from sharing import visibility
from sharing.models import ListedValue
from sharing.stix.extract import IndicatorKind
from sharing.tooluse.recording import recorded_view, served

KINDS: Final = frozenset(kind.value for kind in IndicatorKind if kind is not IndicatorKind.CVE)


def values(kind: str, *, reader: Organisation) -> list[str]:
    """The current values of one kind, sorted: newest version, not revoked, inside its window."""
    now = timezone.now()
    current = visibility.placements_for(reader).filter(latest=True, object__revoked=False)
    rows = ListedValue.objects.filter(
        Q(valid_until=None) | Q(valid_until__gt=now),
        kind=kind,
        valid_from__lte=now,
        object__in=current.values("object"),
    )
    return list(rows.order_by("value").values_list("value", flat=True).distinct())


@require_safe
@recorded_view
def plain_list(request: HttpRequest, kind: str) -> HttpResponse:
    """``/lists/<kind>.txt`` for a key with ``lists:read``: Basic, Bearer or Token."""
    if kind not in KINDS:
        return HttpResponse(
            f"There is no such list. There are: {', '.join(sorted(KINDS))}.\n",
            status=404,
            content_type="text/plain",
        )
    key = ApiKey.authenticate(credentials.read(request.headers.get("Authorization", "")).token)
    if key is None:
        return HttpResponse(
            "Send an API key: as the password of HTTP Basic, or as a Bearer token.\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": 'Basic realm="hub"'},
        )
    if not key.allows(Scope.LISTS_READ):
        return HttpResponse(
            "This key lacks the scope lists:read.\n", status=403, content_type="text/plain"
        )
    found = values(kind, reader=key.organisation)
    body = "".join(f"{value}\n" for value in found).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    answer = HttpResponse(
        body,
        content_type="text/plain; charset=utf-8",
        headers={"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"},
    )
    conditional = get_conditional_response(request, etag=etag, response=answer)
    if isinstance(conditional, HttpResponse):
        answer = conditional
    served(len(found) if answer.status_code == 200 else 0)
    return answer
