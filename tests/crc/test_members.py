"""Members, keys, the audit trail, and the operator's commands."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client

from alerts.models import Endpoint
from crc.checks import settings_that_do_not_fit
from crc.members import audit, credentials
from crc.members.models import ApiKey, AuditEntry, Organisation, User
from sharing import visibility
from sharing.models import Collection
from tests.conftest import Port, Receiver


def said(name: str, *words: str, stdin: str = "", monkeypatch: Any = None) -> str:
    """What a command prints."""
    out = io.StringIO()
    if monkeypatch:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    call_command(name, *words, stdout=out)
    return out.getvalue().strip()


def test_a_key_is_shown_once_and_stored_as_a_digest(port: Port) -> None:
    token = said("issue_key", "--member", "south", "--scope", "taxii:read", "--label", "SIEM")
    key = ApiKey.objects.get()
    assert token.startswith(f"crc_{key.lookup}_")
    assert token not in json.dumps(key.__dict__, default=str)
    found = ApiKey.authenticate(token)
    assert found
    assert found.last_used_at
    assert ApiKey.authenticate(token[:-1]) is None


def test_a_key_is_read_in_every_spelling(port: Port) -> None:
    token = port.key("south", "lists:read")
    in_latin_1 = base64.b64encode(f"Jürgen:{token}".encode("latin-1")).decode()
    for header in (f"Bearer {token}", f"bEARER  {token} ", f"TOKEN {token}", f"BASIC {in_latin_1}"):
        assert credentials.read(header).token == token
        answer = Client().get("/lists/ipv4.txt", headers={"authorization": header})
        assert answer.status_code == 200
    as_user = base64.b64encode(f"{token}:".encode()).decode()
    for header in ("", token, f"Digest {token}", "Basic", "Basic é", f"Basic {as_user}",
                   f"Bearer {token}{'x' * 500}"):  # fmt: skip
        assert credentials.read(header).token == ""
        answer = Client().get("/lists/ipv4.txt", headers={"authorization": header})
        assert answer.status_code == 401


def test_a_member_that_left_cannot_use_its_key_or_log_in(port: Port) -> None:
    token = port.key("south", "taxii:read")
    browser = port.client("south")
    assert browser.get("/warnings/").status_code == 200
    south = port.organisations["south"]
    south.is_active = False
    south.save()
    assert ApiKey.authenticate(token) is None
    assert browser.get("/warnings/").status_code == 302


def test_the_audit_trail_finds_a_change_a_removal_and_an_insertion(port: Port) -> None:
    for number in range(5):
        audit.record("test", actor="t", subject=str(number))
    assert audit.verify().broken_at is None
    entry = AuditEntry.objects.order_by("number")[3]
    AuditEntry.objects.filter(pk=entry.pk).update(subject="other")
    assert audit.verify().broken_at == 4
    with pytest.raises(CommandError, match="broken at entry 4"):
        said("verify_audit")
    AuditEntry.objects.filter(pk=entry.pk).delete()
    assert audit.verify().broken_at == 5


def test_every_change_of_state_is_in_the_trail(port: Port) -> None:
    report = port.file("north", warn_now="yes")
    port.sweep()
    [warning] = port.warnings()
    port.client("south").post(f"/warnings/{warning.pk}/", {"choice": "seen"})
    actions = list(AuditEntry.objects.values_list("action", flat=True))
    for action in (
        "member.added",
        "submission.accepted",
        "report.released",
        "alert.raised",
        "alert.answered",
    ):
        assert action in actions
    trail = json.dumps(list(AuditEntry.objects.values("detail", "subject", "actor")))
    assert report.narrative not in trail


def test_commands_are_idempotent_and_speak_json(port: Port, monkeypatch: Any) -> None:
    assert (
        json.loads(said("bootstrap", "--json"))["collections"]
        == json.loads(said("bootstrap", "--json"))["collections"]
    )
    again = json.loads(
        said("add_member", "South Basin", "--slug", "south", "--role", "terminal", "--json")
    )
    assert again == {"slug": "south", "inbox": "inbox-south", "made": False}
    group = json.loads(
        said("add_group", "terminals", "--title", "Terminals", "--members", "north,south", "--json")
    )
    assert group["collections"] == ["terminals-green", "terminals-amber", "terminals-strict"]
    said(
        "add_user",
        "new@south.example",
        "--member",
        "south",
        "--role",
        "member",
        "--password-stdin",
        stdin="harbour-lantern-42\n",
        monkeypatch=monkeypatch,
    )
    assert User.objects.get(email="new@south.example").check_password("harbour-lantern-42")
    assert json.loads(said("verify_audit", "--json"))["entries"] > 5
    assert json.loads(said("sweep", "--json")) == {
        "opened": 0,
        "triaged": 0,
        "sent": 0,
        "jumps": 0,
    }


def test_who_leaves_is_out_at_once_and_can_come_back(port: Port, monkeypatch: Any) -> None:
    token = said("issue_key", "--member", "south", "--scope", "lists:read")
    browser, bearer = port.client("south"), {"authorization": f"Bearer {token}"}
    assert browser.get("/lists/ipv4.txt", headers=bearer).status_code == 200
    for _ in range(2):
        assert "revoked" in said("revoke_key", token)
    assert browser.get("/lists/ipv4.txt", headers=bearer).status_code == 401
    assert AuditEntry.objects.filter(action="key.revoked").count() == 1

    said("remove_user", "duty@south.example")
    assert browser.get("/warnings/").status_code == 302
    adding = ("add_user", "duty@south.example", "--member", "south", "--password-stdin")
    said(*adding, stdin="harbour-lantern-42\n", monkeypatch=monkeypatch)
    port.users["south"].refresh_from_db()
    assert port.client("south").get("/warnings/").status_code == 200

    said("remove_member", "south")
    assert port.client("south").get("/warnings/").status_code == 302
    said("add_member", "South Basin", "--slug", "south", "--role", "terminal")
    assert port.client("south").get("/warnings/").status_code == 200


def test_what_add_member_is_not_told_stays_as_it_is(port: Port) -> None:
    adding = ("add_member", "South Basin", "--slug", "south", "--role", "terminal")
    said(*adding, "--ceiling", "GREEN", "--telltale", "southbasin")
    said(*adding)
    south = Organisation.objects.get(slug="south")
    assert (south.ceiling, south.telltales) == ("GREEN", ["southbasin"])


def test_who_is_logged_out_is_told_and_no_page_swallows_the_login(db: None) -> None:
    part = Client().post("/report/understood/", {}, headers={"HX-Request": "true"})
    assert "logged out" in part.content.decode()
    assert "<form" not in part.content.decode()
    login = Client().post("/report/", {}, follow=True)
    assert "nothing was sent" in login.content.decode()


def test_times_are_the_readers(port: Port) -> None:
    browser = port.client("south")
    assert "UTC" in str(browser.get("/report/").context["form"]["time_zone"])
    browser.cookies["zone"] = "Asia/Tokyo"
    assert "Asia/Tokyo" in str(browser.get("/report/").context["form"]["time_zone"])
    browser.cookies["zone"] = "../../etc/passwd"
    assert browser.get("/report/").status_code == 200


def test_settings_that_do_not_fit_are_named(settings: Any) -> None:
    assert settings_that_do_not_fit(None) == []
    settings.BASE_URL = "http://hub.port.example"
    assert [found.id for found in settings_that_do_not_fit(None)] == ["crc.W001"]
    settings.SECURE, settings.DEBUG = True, True
    assert [found.id for found in settings_that_do_not_fit(None)] == ["crc.W002", "crc.W003"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ["issue_key", "--member", "nobody", "--scope", "taxii:read"],
            "There is no member 'nobody'",
        ),
        (["add_group", "community", "--title", "x", "--members", "south"], "holds every member"),
        (["add_member", "X", "--slug", "bad slug", "--role", "terminal"], "valid"),
        (["add_member", "X", "--slug", "desk", "--role", "terminal"], "hub's own"),
        (["add_webhook", "--member", "south", "--url", "https://10.0.0.1/x"], "address"),
        (["revoke_key", "crc_nothing_x"], "ever issued"),
        (["remove_user", "nobody@south.example"], "has no account"),
        (["remove_member", "desk"], "cannot leave"),
        (["add_group", "bad slug", "--title", "x", "--members", "south"], "not a valid slug"),
        (["add_group", "x" * 41, "--title", "x", "--members", "south"], "40 characters"),
        (["add_group", "inbox-x", "--title", "x", "--members", "south"], "hub's own"),
        (["add_group", "empty", "--title", "x", "--members", ","], "names nobody"),
        (["add_member", "X", "--slug", "x" * 41, "--role", "terminal"], "40 characters"),
        (["add_member", "X", "--slug", "x", "--role", "terminal", "--telltale", "x"], "too short"),
        (["issue_key", "--member", "south", "--scope", "taxii:read", "--days", "-3"], "-3 days"),
        (["issue_key", "--member", "south", "--scope", "taxii:read", "--days", "0"], "0 days"),
        (
            ["issue_key", "--member", "south", "--scope", "taxii:read", "--label", "x" * 81],
            "80 characters",
        ),
        (["list_keys", "--member", "nobody"], "There is no member 'nobody'"),
        (["remove_webhook", "--member", "south", "--url", "https://x.example"], "no webhook of"),
        (["remove_contact", "x@y.example", "--member", "south"], "no contact of south"),
        (["remove_group", "nobody"], "There is no group 'nobody'"),
        (["remove_group", "community"], "holds every member"),
        (["import_stix", "/nowhere.json", "--collection", "desk"], "nowhere"),
        (["import_stix", "/dev/null", "--collection", "nope"], "There is no collection 'nope'"),
    ],
)
def test_a_command_that_cannot_do_it_says_why(port: Port, words: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command(*words, stdout=io.StringIO())


def test_a_hub_that_never_started_is_said_in_one_line(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "manage.py", "list_webhooks"],
        cwd=Path(__file__).resolve().parent.parent.parent,
        env={**env, "CRC_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "crc.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert f"no hub in the folder {tmp_path}" in line
    assert "make run" in line
    assert "manage.py migrate" in line


def test_what_else_ails_a_database_is_not_hidden(port: Port, monkeypatch: Any) -> None:
    def full(*words: Any, **options: Any) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr("crc.members.management.commands.list_keys.Command.handle", full)
    with pytest.raises(OperationalError, match="disk is full"):
        said("list_keys")


def test_what_there_is_can_be_listed_and_removed(port: Port, receiver: Receiver) -> None:
    adding = ("add_member", "South Basin", "--slug", "south", "--role", "terminal")
    said(*adding, "--contact", "soc@south.example", "--telltale", "southbasin")
    token = said("issue_key", "--member", "south", "--scope", "lists:read", "--days", "30")
    secret = said("add_webhook", "--member", "south", "--url", receiver.url)
    said("add_group", "quay", "--title", "Quay", "--members", "south,rail")
    call_command("set_writers", "quay-green", "--members", "south", stdout=io.StringIO())

    members = json.loads(said("list_members", "--json"))["members"]
    south = next(row for row in members if row["slug"] == "south")
    assert (south["people"], south["contacts"]) == (1, ["soc@south.example"])
    assert south["telltales"] == ["southbasin"]
    [key] = json.loads(said("list_keys", "--member", "south", "--json"))["keys"]
    assert key["live"]
    assert token not in said("list_keys")
    assert key["key"] in said("list_keys")
    [webhook] = json.loads(said("list_webhooks", "--json"))["webhooks"]
    assert (webhook["url"], webhook["active"], webhook["state"]) == (receiver.url, True, "works")
    hook = Endpoint.objects.filter(address=receiver.url)
    hook.update(verified_at=None)
    assert "  no      not tested" in said("list_webhooks")
    hook.update(is_active=False, switched_off_because="the receiver answered 410")
    assert "switched off: the receiver answered 410" in said("list_webhooks")
    assert secret not in said("list_webhooks")
    groups = {row["slug"]: row for row in json.loads(said("list_groups", "--json"))["groups"]}
    assert groups["quay"]["members"] == ["rail", "south"]
    assert said("list_webhooks", "--member", "rail") == "None."

    said("remove_webhook", "--member", "south", "--url", receiver.url)
    said("remove_contact", "SOC@south.example", "--member", "south")
    for _ in range(2):
        said("remove_group", "quay")
    assert json.loads(said("list_webhooks", "--json"))["webhooks"] == []
    members = json.loads(said("list_members", "--json"))["members"]
    assert next(row for row in members if row["slug"] == "south")["contacts"] == []
    shelf = Collection.objects.get(alias="quay-green")
    assert shelf not in visibility.collections_for(port.organisations["south"])
    assert shelf not in visibility.writable_for(port.organisations["south"])
    actions = list(AuditEntry.objects.values_list("action", flat=True))
    for action in ("webhook.removed", "contact.removed", "group.removed"):
        assert actions.count(action) == 1
    # Nobody is in it, so it is no audience to release to.
    report = port.file("north", tlp="GREEN")
    case = port.client("desk").get(f"/desk/{report.submission.reference}/").content.decode()
    assert 'value="community"' in case
    assert 'value="quay"' not in case


def test_a_short_tell_tale_is_warned_about(port: Port) -> None:
    complaint = io.StringIO()
    adding = ("add_member", "North Quay", "--slug", "north", "--role", "terminal", "--json")
    call_command(*adding, "--telltale", "nqt", stdout=io.StringIO(), stderr=complaint)
    assert "'nqt' is short" in complaint.getvalue()
    assert Organisation.objects.get(slug="north").telltales == ["nqt"]


def test_a_terminal_is_asked_for_the_password_twice(port: Port, monkeypatch: Any) -> None:
    adding = ("add_user", "new@hub.example", "--member", "desk")
    with pytest.raises(CommandError, match="no role at the desk"):
        said(*adding, "--role", "member")
    adding = (*adding, "--role", "analyst")
    with pytest.raises(CommandError, match="--password-stdin"):
        said(*adding, stdin="", monkeypatch=monkeypatch)
    with pytest.raises(CommandError, match="No password came"):
        said(*adding, "--password-stdin", stdin="", monkeypatch=monkeypatch)
    typed = ["harbour-lantern-42", "harbour-lantern-24", "harbour-lantern-42", "harbour-lantern-42"]
    monkeypatch.setattr("getpass.getpass", lambda prompt: typed.pop(0))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    with pytest.raises(CommandError, match="not the same"):
        said(*adding)
    said(*adding)
    assert User.objects.get(email="new@hub.example").is_desk


def test_a_forgotten_password_is_set_anew_by_the_mails_link(port: Port) -> None:
    browser = Client()
    done = browser.post("/accounts/password/reset/", {"email": "duty@south.example"}, follow=True)
    assert "Look at your mail" in done.content.decode()
    [message] = mail.outbox
    assert message.subject == "[Port Cyber Resilience Hub] A new password"
    link = re.search(r"/accounts/password/reset/key/\S+", message.body)
    assert link
    page = browser.get(link[0], follow=True)
    assert "The new password again" in page.content.decode()
    words = {"password1": "another-lantern-43", "password2": "another-lantern-43"}
    changed = browser.post(page.request["PATH_INFO"], words, follow=True)
    assert "Your password is changed" in changed.content.decode()
    port.users["south"].refresh_from_db()
    assert port.users["south"].check_password("another-lantern-43")
    again = Client().get(link[0], follow=True)
    assert "This link does not work" in again.content.decode()
    assert Client().get("/accounts/confirm-email/").status_code == 404


def test_desk_roles_are_the_desks(port: Port, monkeypatch: Any) -> None:
    with pytest.raises(CommandError, match="role of the desk"):
        said(
            "add_user",
            "x@south.example",
            "--member",
            "south",
            "--role",
            "analyst",
            "--password-stdin",
            stdin="harbour-lantern-42\n",
            monkeypatch=monkeypatch,
        )
    with pytest.raises(CommandError, match="too short"):
        said(
            "add_user",
            "x@south.example",
            "--member",
            "south",
            "--password-stdin",
            stdin="short\n",
            monkeypatch=monkeypatch,
        )


def test_logging_in_by_mail_address_in_any_case(port: Port) -> None:
    browser = Client()
    page = browser.post(
        "/accounts/login/", {"login": "Duty@South.Example", "password": "harbour-lantern-42"}
    )
    assert page.status_code == 302
    assert browser.get("/warnings/").status_code == 200
