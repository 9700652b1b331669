"""The drill's look into a hub's database, in that hub's environment: ``seed URL PASSWORD`` makes
members and people; ``settle`` waits for what is due and prints what the rows say, as JSON."""

import io
import json
import sys
import time
from typing import Any, Final

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from alerts import outbox  # noqa: E402
from alerts.channels import signing  # noqa: E402
from alerts.models import Delivery, Endpoint  # noqa: E402
from crc.members.models import Organisation, User  # noqa: E402
from sharing.models import Report, Submission  # noqa: E402

OFFICERS: Final = 2
# Who is warned, by the port's roles.
WARNED: Final = {"anchor": "shipping-line", "rail": "railway", "kestrel": "trucking"}
OPEN: Final = (Delivery.State.DUE, Delivery.State.WAITING, Delivery.State.SENDING)
# Two leases: what a worker died with, and the next one, too; and the longest of the early retries.
SETTLE_SECONDS: Final = 2 * outbox.LEASE.total_seconds() + 180


def seed(url: str, password: str) -> None:
    """One member whose officers report, and three that are warned by webhook, mail and inbox."""
    for slug, role in {"north": "terminal", **WARNED}.items():
        words = [slug.title(), "--slug", slug, "--role", role, "--json"]
        call_command("add_member", *words, stdout=io.StringIO())
    north = Organisation.objects.get(slug="north")
    for number in range(OFFICERS):
        User.objects.create_user(f"duty{number}@north.example", password, organisation=north)
    for member in Organisation.objects.filter(slug__in=WARNED):
        User.objects.create_user(f"duty@{member.slug}.example", password, organisation=member)
        Endpoint.objects.create(
            organisation=member,
            address=f"{url}/{member.slug}",
            secret=signing.new_secret(),
            verified_at=timezone.now(),
        )


def settle() -> dict[str, Any]:
    """What the rows say once nothing is due any more, or after SETTLE_SECONDS."""
    begun = time.monotonic()
    untriaged = Submission.objects.filter(triaged_at=None)
    unsent = Delivery.objects.filter(state__in=OPEN)
    while untriaged.exists() or unsent.exists():
        if time.monotonic() - begun > SETTLE_SECONDS:
            break
        time.sleep(0.5)
    warned = Report.objects.filter(submission__release__alerts__isnull=False)
    reports = Report.objects.values_list("submission__reference", flat=True)
    now = timezone.now()
    return {
        "seconds": time.monotonic() - begun,
        "reports": list(reports),
        "warned": list(warned.distinct().values_list("submission__reference", flat=True)),
        "untriaged": untriaged.count(),
        "expired": Delivery.objects.filter(
            state=Delivery.State.SENDING, lease_until__lt=now
        ).count(),
        "deliveries": [
            (str(pk), channel, state)
            for pk, channel, state in Delivery.objects.values_list("pk", "channel", "state")
        ],
        "notes": sorted(set(Delivery.objects.exclude(reason="").values_list("reason", flat=True))),
    }


if __name__ == "__main__":
    if sys.argv[1] == "seed":
        seed(*sys.argv[2:])
    else:
        print(json.dumps(settle()))
