"""verify_audit"""

from typing import Any

from django.core.management.base import CommandError

from crc.members import audit
from crc.members.command import HubCommand


class Command(HubCommand):
    """Exits with an error when the chain is broken."""

    help = "Check that nothing in the audit trail was changed, removed or inserted."

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError naming the first entry that does not fit."""
        verdict = audit.verify()
        if verdict.broken_at is not None:
            raise CommandError(f"The audit trail is broken at entry {verdict.broken_at}.")
        self.answer(
            options,
            f"{verdict.entries} entries, all in order. Head: {verdict.head}",
            entries=verdict.entries,
            head=verdict.head,
        )
