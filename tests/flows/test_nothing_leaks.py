"""A report full of identifying words, and a look into everything that leaves the hub."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core import mail
from django.utils import timezone

from alerts.channels import signing
from alerts.models import Endpoint
from crc.members.models import Contact
from sharing.models import Report
from sharing.stix.extract import IndicatorKind
from tests.conftest import HASH, Port, Receiver

WORDS = (
    "North Quay",
    "northquay",
    "NQ-YARD",
    "INC-88231",
    "Morikawa",
    "+81-52",
    "10.20.30.40",
    "duty@north",
)


def test_no_identifying_word_reaches_anybody_else(
    port: Port, receiver: Receiver, taxii: Callable[..., Any]
) -> None:
    north = port.organisations["north"]
    north.telltales = ["northquay", "NQ-YARD"]
    north.save()
    Contact.objects.create(
        organisation=north, email="k.morikawa@northquay.example", name="K. Morikawa"
    )
    Endpoint.objects.create(
        organisation=port.organisations["anchor"],
        address=receiver.url,
        secret=signing.new_secret(),
        verified_at=timezone.now(),
    )
    noticed = timezone.now() - timedelta(hours=3, minutes=17)
    port.client("south")  # a session exists before the report does
    report = port.file(
        "north",
        warn_now="yes",
        noticed_at=f"{noticed:%Y-%m-%dT%H:%M}",
        narrative="North Quay Terminal, ticket INC-88231: K. Morikawa (+81-52-000-0000) saw it on "
        "NQ-YARD-07.northquay.example.",
        technical=f"NQ-YARD-07.northquay.example 10.20.30.40 k.morikawa@northquay.example {HASH}\n"
        "hxxps://dark-tide[.]example/pay?victim=northquay 203.0.113[.]66",
    )
    port.file("rail", warn_now="no", system_yard="", system_rail="down")
    port.sweep()
    report.refresh_from_db()
    assert report.state == Report.State.RELEASED, report.hold_reason

    leaving = everything(port, receiver, taxii)
    assert HASH in leaving["taxii"]
    assert "203.0.113.66" in leaving["lists"]
    assert len(receiver.got) == 2
    own_identity = north.identity_id
    for where, text in leaving.items():
        for word in (*WORDS, own_identity, report.submission.reference, f"{noticed:%H:%M}"):
            if word == f"{noticed:%H:%M}":
                assert f"T{word}" not in text, f"the minute is in {where}"
                continue
            assert word.lower() not in text.lower(), f"{word} is in {where}"


def everything(port: Port, receiver: Receiver, ask: Callable[..., Any]) -> dict[str, str]:
    """All that another member, its tools and its mailbox can see."""
    key = port.key("south", "taxii:read", "lists:read")
    taxii = [ask(key, "/taxii2/").text, ask(key, "/crc/collections/").text]
    for collection in ask(key, "/crc/collections/").json["collections"]:
        base = f"/crc/collections/{collection['id']}"
        taxii += [
            ask(key, f"{base}/{part}/?match[version]=all").text for part in ("objects", "manifest")
        ]
    south = port.client("south")
    lists = [
        south.get(
            f"/lists/{kind.value}.txt", headers={"authorization": f"Bearer {key}"}
        ).content.decode()
        for kind in IndicatorKind
        if kind is not IndicatorKind.CVE
    ]
    pages = [south.get(path).content.decode() for path in ("/warnings/", "/reports/", "/report/")]
    pages += [south.get(f"/warnings/{alert.pk}/").content.decode() for alert in port.warnings()]
    return {
        "taxii": "".join(taxii),
        "lists": "".join(lists),
        "pages": "".join(pages),
        "mails": "".join(
            f"{m.to} {m.subject} {m.body} {m.alternatives}"
            for m in mail.outbox
            if not m.to[0].endswith(("northquay.example", "north.example"))
        ),
        "webhooks": "".join(f"{head}{body.decode()}" for head, body in receiver.got),
    }


def test_a_member_cannot_open_what_is_not_its_own(port: Port) -> None:
    report = port.file("north")
    reference = report.submission.reference
    south = port.client("south")
    for path in (
        f"/reports/{reference}/",
        f"/desk/{reference}/",
        "/desk/",
        "/reports/R-0000-0000/",
        "/admin/login/x",
    ):
        assert south.get(path).status_code in {302, 404}, path
    assert south.post(f"/reports/{reference}/warn/").status_code == 404
    assert south.get(f"/reports/{reference}/").status_code == 404
