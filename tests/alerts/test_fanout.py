"""Severity, audience and answers, piece by piece."""

import pytest
from django.core import signing
from django.test import Client

from alerts import answers
from alerts.models import Answer, Delivery
from alerts.severity import Severity, assess
from crc.members.models import Contact, Group, User
from sharing import visibility
from sharing.models import Collection
from sharing.stix.markings import Tlp
from sharing.stix.port import AttackKind, Impact, PortSystem
from tests.conftest import Port


@pytest.mark.parametrize(
    ("attack", "system", "impact", "expected"),
    [
        (AttackKind.RANSOMWARE, PortSystem.YARD, Impact.DOWN, Severity.CRITICAL),
        (AttackKind.RANSOMWARE, PortSystem.OFFICE, Impact.WATCHING, Severity.CRITICAL),
        (AttackKind.INTRUSION, PortSystem.TERMINAL_OPERATING, Impact.DOWN, Severity.CRITICAL),
        (AttackKind.INTRUSION, PortSystem.OFFICE, Impact.DOWN, Severity.HIGH),
        (AttackKind.DENIAL, PortSystem.WEBSITE, Impact.DOWN, Severity.MEDIUM),
        (AttackKind.PHISHING, PortSystem.EMAIL, Impact.WATCHING, Severity.LOW),
        (AttackKind.PROBE, PortSystem.NETWORK, Impact.WATCHING, Severity.INFO),
    ],
)
def test_severity(
    attack: AttackKind, system: PortSystem, impact: Impact, expected: Severity
) -> None:
    assert assess(attack, {system: impact}) is expected


def test_raising_stops_at_critical() -> None:
    assert Severity.LOW.raised() is Severity.MEDIUM
    assert Severity.CRITICAL.raised() is Severity.CRITICAL


def test_who_may_see_and_what_may_be_seen_agree(port: Port) -> None:
    terminals = Group.objects.create(slug="terminals", title="Terminals")
    terminals.members.set([port.organisations["north"], port.organisations["repair"]])
    for group in Group.objects.all():
        for tlp in Tlp:
            Collection.objects.get_or_create(
                alias=f"x-{group.slug}-{tlp.rank}",
                defaults={"kind": "shelf", "group": group, "tlp": tlp.value, "title": "x"},
            )
    for shelf in Collection.objects.filter(alias__startswith="x-"):
        assert shelf.group
        audience = visibility.organisations_for(shelf.group, Tlp(shelf.tlp))
        for organisation in port.organisations.values():
            if not organisation.is_desk:
                sees = visibility.collections_for(organisation).filter(pk=shelf.pk).exists()
                assert sees == audience.filter(pk=organisation.pk).exists(), (shelf, organisation)


def test_one_mail_for_one_person_however_often_listed(port: Port) -> None:
    south = port.organisations["south"]
    Contact.objects.create(organisation=south, email="DUTY@south.example")
    port.file("north", warn_now="yes")
    port.sweep()
    assert Delivery.objects.filter(organisation=south, channel="email").count() == 1


def test_own_reports_are_silent_and_inactive_users_are_not_mailed(port: Port) -> None:
    User.objects.filter(email="duty@rail.example").update(is_active=False)
    port.file("north", warn_now="yes")
    port.sweep()
    mailed = set(Delivery.objects.filter(channel="email").values_list("address", flat=True))
    assert "duty@north.example" not in mailed
    assert "duty@rail.example" not in mailed


def test_links_that_answer_nothing(port: Port, settings: object) -> None:
    port.file("north", warn_now="yes")
    port.sweep()
    delivery = Delivery.objects.filter(channel="email").first()
    assert delivery
    link = answers.link(delivery, "seen")
    token = link.split("/")[-2]
    assert answers.opened(token).delivery == delivery
    for bad in (token + "x", "x", signing.dumps(["x", "y"], salt="alerts.answer")):
        page = port.client("south").get(f"/answer/{bad}/")
        assert page.status_code == 404
    settings.ANSWER_LINK_DAYS = -1  # type: ignore[attr-defined]
    assert "expired" in port.client("south").get(f"/answer/{token}/").content.decode()


def test_a_link_outlives_neither_the_address_nor_the_clearance(port: Port) -> None:
    contact = Contact.objects.create(
        organisation=port.organisations["south"], email="old@south.example"
    )
    port.file("north", warn_now="yes")
    port.sweep()
    delivery = Delivery.objects.get(address="old@south.example")
    path = "/" + answers.link(delivery, "seen").split("/", 3)[3]
    assert Client().get(path).status_code == 200
    contact.delete()
    assert Client().post(path, {"choice": "affected"}).status_code == 404
    assert not Answer.objects.exists()


def test_the_newest_answer_counts(port: Port) -> None:
    port.file("north", warn_now="yes")
    port.sweep()
    [warning] = port.warnings()
    for choice in ("affected", "contained"):
        port.client("south").post(f"/warnings/{warning.pk}/", {"choice": choice})
    assert answers.current(warning)[port.organisations["south"].pk].choice == "contained"
    assert Answer.objects.count() == 2
    bad = port.client("south").post(f"/warnings/{warning.pk}/", {"choice": "maybe"})
    assert bad.status_code == 422
