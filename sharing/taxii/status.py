"""Status resources (4.3.1), out of a receipt or for an envelope that still waits."""

from datetime import datetime
from typing import Any

from sharing.models import Envelope, SightingPost, Submission
from sharing.store import Outcome
from sharing.taxii.paging import moment

Answer = dict[str, Any]

# 5.3.1 wants a consistent value for what has no version. One for all of them serves: it is the same
# in statuses, manifests and version lists, in every collection, and match[version] finds it.
NO_VERSION = moment(0)


def complete(submission: Submission) -> Answer:
    """What became of each object; it does not change again."""
    details: dict[str, list[Answer]] = {"successes": [], "failures": []}
    for stix_id, version, outcome, reason in submission.receipt:
        detail = {"id": stix_id or "unknown", "version": version or NO_VERSION}
        if reason:
            detail["message"] = reason
        details["failures" if outcome == Outcome.REFUSED else "successes"].append(detail)
    return {
        **_counts(
            submission.received_at,
            status="complete",
            success=len(details["successes"]),
            failure=len(details["failures"]),
        ),
        "id": str(submission.pk),
        **{name: found for name, found in details.items() if found},
    }


def counted(post: SightingPost) -> Answer:
    """Sightings come by the thousand: only those that were not counted are told one by one."""
    failures = [
        {"id": stix_id or "unknown", "version": version or NO_VERSION, "message": reason}
        for stix_id, version, reason in post.refused
    ]
    return {
        **_counts(post.received_at, status="complete", success=post.taken, failure=len(failures)),
        "id": str(post.pk),
        **({"failures": failures} if failures else {}),
    }


def pending(envelope: Envelope) -> Answer:
    """Nothing is known of the objects yet but how many there are."""
    return {
        **_counts(envelope.received_at, status="pending", pending=envelope.objects_sent),
        "id": str(envelope.pk),
    }


def _counts(
    received: datetime, *, status: str, success: int = 0, failure: int = 0, pending: int = 0
) -> Answer:
    return {
        "status": status,
        "request_timestamp": moment(int(received.timestamp() * 1_000_000)),
        "total_count": success + failure + pending,
        "success_count": success,
        "failure_count": failure,
        "pending_count": pending,
    }
