"""A text that holds thousands of indicators: some are taken, none is lost, nobody waits."""

import threading
from typing import Any

import pytest
from django.test import Client

from crc.members.models import Group
from sharing import release as releasing
from sharing.models import Report, StixObject
from sharing.release import Terms, draft
from sharing.stix.extract import MAX_INDICATORS
from sharing.stix.markings import Tlp
from tests.conftest import Port, form

MANY = MAX_INDICATORS + 250


def addresses(count: int) -> str:
    """A firewall's export."""
    return "\n".join(f"44.{number // 250}.{number % 250}.7 deny" for number in range(count))


def test_what_is_not_taken_is_said_and_kept(port: Port) -> None:
    report = port.file("north", technical=addresses(MANY))
    assert report.technical == addresses(MANY)
    assert StixObject.objects.filter(type="indicator").count() == MAX_INDICATORS
    said = f"The first {MAX_INDICATORS} indicators were taken; 250 more stay in the text."
    receipt = port.client("north").get(f"/reports/{report.submission.reference}/")
    preview = port.client("north").post("/report/understood/", {"technical": addresses(MANY)})
    for page in (receipt, preview):
        assert said in page.content.decode()
        assert "over TAXII" in page.content.decode()
    case = port.client("desk").get(f"/desk/{report.submission.reference}/").content.decode()
    assert said in case


def test_the_graph_is_made_before_the_others_have_to_wait(
    busy_port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one release is composed, somebody else's report is taken."""
    first = busy_port.file("north", warn_now="yes")
    compose, outcome = releasing.graph_for, []

    def slowly(*arguments: Any, **named: Any) -> Any:
        if not outcome:
            outcome.append(None)
            thread = threading.Thread(
                target=lambda: outcome.append(busy_port.file("south", narrative="Same here."))
            )
            thread.start()
            thread.join(60)
        return compose(*arguments, **named)

    monkeypatch.setattr(releasing, "graph_for", slowly)
    busy_port.sweep()
    assert isinstance(outcome[1], Report)
    first.refresh_from_db()
    assert first.state == Report.State.RELEASED


def test_what_changed_after_the_draft_is_in_the_release(port: Port) -> None:
    report = port.file("north", technical="seen at 44.1.2.3 and quayside-vpn.com")
    community = Group.objects.get(slug="community")
    ready = draft(report, Terms(group=community, tlp=Tlp.AMBER_STRICT))
    port.organisations["north"].telltales = ["quayside"]
    port.organisations["north"].save()
    report.submission.source.refresh_from_db()
    made = releasing.release(ready, actor="source")
    assert "quayside" not in "".join(made.stix_objects.values_list("body", flat=True))


def test_a_busy_database_is_said_to_be_busy(
    busy_port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says that nothing was stored, and nothing was."""
    from django.db import connection, transaction

    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL makes writers wait as long as it takes")
    answers, client = form(), busy_port.client("north")
    client.raise_request_exception = False
    with transaction.atomic():
        page = _from_another_thread(client, answers)
    assert (page.status_code, page["Retry-After"]) == (503, "10")
    assert "Nothing is lost" in page.content.decode()
    assert not Report.objects.exists()
    assert client.post("/report/", answers).status_code == 302


def _from_another_thread(client: Client, answers: dict[str, str]) -> Any:
    from django.db import connection

    pages = []

    def send() -> None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 50")
        pages.append(client.post("/report/", answers))
        connection.close()

    thread = threading.Thread(target=send)
    thread.start()
    thread.join(60)
    return pages[0]
