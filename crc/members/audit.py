"""The append-only audit trail: each entry carries the digest of the one before.

A changed, removed or inserted entry breaks the chain from there on, which ``verify`` finds. The
newest entries can still be cut off unseen by whoever owns the database: print the head now and then
(``verify_audit`` does) and keep it elsewhere.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.db import transaction
from django.utils import timezone

from crc.members.models import ApiKey, AuditEntry, User
from crc.ordering import take_the_pen

_GENESIS: Final = "0" * 64


def record(
    action: str, *, actor: User | ApiKey | str, subject: str, **detail: str | int | list[str]
) -> AuditEntry:
    """Append one entry inside the caller's transaction; ``detail`` holds ids, never content."""
    with transaction.atomic():
        take_the_pen()
        last = AuditEntry.objects.order_by("-number").first()
        entry = AuditEntry(
            number=last.number + 1 if last else 1,
            at=timezone.now(),
            actor=_name(actor),
            action=action,
            subject=subject,
            detail=detail,
            previous=last.digest if last else _GENESIS,
        )
        entry.digest = digest_of(entry)
        entry.save(force_insert=True)
        return entry


def _name(actor: User | ApiKey | str) -> str:
    if isinstance(actor, User):
        return f"user:{actor.email}"
    if isinstance(actor, ApiKey):
        return f"key:{actor.lookup}"
    return actor


def digest_of(entry: AuditEntry) -> str:
    """SHA-256 over every field and the previous digest."""
    fields: list[Any] = [
        entry.number,
        entry.at.isoformat(),
        entry.actor,
        entry.action,
        entry.subject,
        entry.detail,
        entry.previous,
    ]
    return hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """``broken_at`` is the number of the first entry that does not fit, None when all do."""

    entries: int
    head: str
    broken_at: int | None


def verify() -> Verdict:
    """Walk the whole chain."""
    previous, count = _GENESIS, 0
    for entry in AuditEntry.objects.order_by("number").iterator(chunk_size=2000):
        count += 1
        fits = (
            entry.number == count
            and entry.previous == previous
            and entry.digest == digest_of(entry)
        )
        if not fits:
            return Verdict(count, previous, entry.number)
        previous = entry.digest
    return Verdict(count, previous, None)
