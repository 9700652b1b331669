"""The polling tenant's page: its keys, its light, settings that work as they are, the test."""

import html
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.db import connection
from django.test import Client

from crc.members.models import ApiKey, AuditEntry, User
from crc.members.roles import UserRole
from sharing.models import Collection, ToolUse
from sharing.recipes import RECIPES
from sharing.tooluse.buffer import buffer
from tests.conftest import Port
from tests.taxii.test_server import fill, path

Ask = Callable[..., Any]


@pytest.fixture(autouse=True)
def _nothing_left() -> None:
    buffer.__init__()  # type: ignore[misc]


def asked_for(client: Client, **answers: Any) -> Any:
    """The form as it stands, sent with these answers."""
    token = client.get("/tools/new/").context["form"]["token"].value()
    filled = {"token": token, "label": "SIEM", "scopes": ["taxii:read"], "days": "365"}
    return client.post("/tools/new/", {**filled, "markings": "tlp2", **answers})


def secret_on(page: Any) -> str:
    """The key that a page shows."""
    found = re.search(r"crc_[0-9a-f]{12}_[\w-]{20,}", page.content.decode())
    return found[0] if found else ""


def test_an_admin_issues_a_key_which_is_shown_once(port: Port, taxii: Ask) -> None:
    admin = port.client("south")
    page = asked_for(admin, scopes=["taxii:read", "lists:read"], days="90", markings="tlp1+2")
    secret, key = secret_on(page), ApiKey.objects.get()
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    assert taxii(secret, "/taxii2/").status_code == 200
    assert (key.organisation.slug, key.label, key.markings) == ("south", "SIEM", "tlp1+2")
    assert key.expires_at
    for place in ("/tools/", f"/tools/keys/{key.lookup}/", f"/tools/keys/{key.lookup}/test/"):
        again = admin.get(place)
        assert key.lookup in again.content.decode()
        assert not secret_on(again)
    entry = AuditEntry.objects.get(action="key.issued")
    assert (entry.actor, entry.subject) == ("user:duty@south.example", key.lookup)
    assert secret not in str(list(AuditEntry.objects.values()))


def test_the_same_form_twice_issues_one_key(port: Port) -> None:
    admin = port.client("south")
    token = admin.get("/tools/new/").context["form"]["token"].value()
    assert secret_on(asked_for(admin, token=token))
    again = asked_for(admin, token=token)
    assert again.status_code == 302
    assert ApiKey.objects.count() == 1


def test_a_form_half_filled_says_what_is_missing(port: Port) -> None:
    page = asked_for(port.client("south"), scopes=[], label="")
    assert page.status_code == 422
    assert "Choose one at least" in page.content.decode()
    assert not ApiKey.objects.exists()


def test_ordinary_members_look_and_do_not_touch(port: Port) -> None:
    User.objects.filter(organisation__slug="south").update(role=UserRole.MEMBER)
    port.key("south", "taxii:read")
    key, member = ApiKey.objects.get(), port.client("south")
    assert key.lookup in member.get("/tools/").content.decode()
    assert "New key" not in member.get("/tools/").content.decode()
    for place in ("/tools/new/", f"/tools/keys/{key.lookup}/revoke/"):
        assert member.get(place).status_code == member.post(place).status_code == 403
    key.refresh_from_db()
    assert key.is_live


def test_another_members_keys_are_not_there(port: Port) -> None:
    port.key("north", "taxii:read")
    key, rival = ApiKey.objects.get(), port.client("south")
    assert key.lookup not in rival.get("/tools/").content.decode()
    for place in ("", "test/", "revoke/"):
        for ask in (rival.get, rival.post) if place else (rival.get,):
            assert ask(f"/tools/keys/{key.lookup}/{place}").status_code == 404
    assert rival.get("/tools/keys/never/").status_code == 404
    assert Client().get("/tools/").status_code == 302
    assert not ToolUse.objects.exists()


def test_the_desk_sees_all_issues_its_own_and_revokes_any(port: Port, taxii: Ask) -> None:
    secret = port.key("north", "taxii:read")
    key, desk = ApiKey.objects.get(), port.client("desk")
    assert "North Quay Terminal" in desk.get("/tools/").content.decode()
    assert secret_on(asked_for(desk))
    assert ApiKey.objects.first().organisation.slug == "desk"  # type: ignore[union-attr]
    place = f"/tools/keys/{key.lookup}/revoke/"
    assert "cannot be undone" in desk.get(place).content.decode()
    assert taxii(secret, "/taxii2/").status_code == 200
    assert desk.post(place).status_code == desk.post(place).status_code == 302
    assert taxii(secret, "/taxii2/").status_code == 401
    assert AuditEntry.objects.filter(action="key.revoked", subject=key.lookup).count() == 1


def test_the_light_and_the_reason_are_on_the_page(port: Port, taxii: Ask) -> None:
    fill("community-green", 3)
    token = port.key("south", "taxii:read")
    key, member = ApiKey.objects.get(), port.client("south")
    place = f"/tools/keys/{key.lookup}/"
    assert "Never used" in member.get(place).content.decode()
    taxii(token, path("community-green") + "objects/", headers={"User-Agent": "<siem>"})
    buffer.flush()
    page = member.get(place).content.decode()
    assert "Fine" in page
    assert "Community: TLP:GREEN" in page
    assert "&lt;siem&gt;" in page
    for _ in range(3):
        taxii(token, path("community-green") + "objects/", headers={"Accept": "text/html"})
    buffer.flush()
    page = member.get(place).content.decode()
    assert "Failing" in page
    assert "Set the Accept header" in page
    assert "Failing" in port.client("desk").get("/tools/").content.decode()


def test_the_pages_ask_a_handful_of_questions_however_many_keys(
    port: Port, taxii: Ask, django_assert_max_num_queries: Any
) -> None:
    for _ in range(12):
        taxii(port.key("south", "taxii:read"), path("community-green") + "objects/")
    buffer.flush()
    member = port.client("south")
    with django_assert_max_num_queries(10):
        member.get("/tools/")


def test_my_connection_is_shown_live(port: Port, taxii: Ask) -> None:
    fill("community-green", 3)
    token = port.key("south", "taxii:read")
    key, member = ApiKey.objects.get(), port.client("south")
    place = f"/tools/keys/{key.lookup}/test/"
    assert "every 2s" not in member.get(place).content.decode()
    assert member.post(place).status_code == 302
    assert "every 2s" in member.get(place).content.decode()

    def asked() -> Any:
        buffer.flush()
        return member.get(place, headers={"hx-request": "true"})

    assert "Nothing yet" in asked().content.decode()
    taxii(token, path("community-green") + "objects/", headers={"User-Agent": "siem/1"})
    taxii(token[:-3], "/taxii2/", headers={"Accept": "text/html"})
    answer = asked()
    seen = answer.content.decode()
    for words in ("2 requests", "siem/1", "objects", "200", "401", "secret", "text/html"):
        assert words in seen
    assert answer.status_code == 200
    ToolUse.objects.update(watch_until=ToolUse.objects.get().last_at)
    answer = asked()
    assert answer.status_code == 286  # htmx stops asking
    assert "The test is over" in answer.content.decode()


def blocks(page: Any) -> dict[str, str]:
    """The lines to copy on a page, by name."""
    found = re.findall(r'<pre data-name="([^"]*)">(.*?)</pre>', page.content.decode(), re.DOTALL)
    return {html.unescape(name): html.unescape(lines) for name, lines in found}


@pytest.mark.parametrize("slug", RECIPES)
def test_settings_hold_what_is_this_members(port: Port, slug: str, settings: Any) -> None:
    settings.BASE_URL = "https://hub.example"
    port.key("kestrel", "taxii:read", "lists:read")
    page = port.client("kestrel").get(f"/tools/settings/{slug}/")
    text = html.unescape(page.content.decode())
    assert page.status_code == 200
    assert "KEY" in text
    assert "https://hub.example" in text
    assert ("not tested against the product" in text) is (slug not in {"curl", "python"})
    if RECIPES[slug].scope == "taxii:read":
        # Cleared up to AMBER: its shelves, and no other's.
        assert "Community: TLP:AMBER" in text
        assert "Community: TLP:AMBER+STRICT" not in text
    else:
        assert "https://hub.example/lists/ipv4.txt" in text
    assert port.client("kestrel").get("/tools/settings/nothing/").status_code == 404


@pytest.fixture
def live(busy_port: Port, settings: Any) -> Iterator[str]:
    """The whole hub on a port of its own."""
    from crc.wsgi import application

    def closing(environ: Any, start_response: Any) -> Any:
        try:
            yield from application(environ, start_response)
        finally:
            connection.close()

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = make_server("127.0.0.1", 0, closing, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.BASE_URL = f"http://127.0.0.1:{server.server_port}"
    yield settings.BASE_URL
    server.shutdown()
    server.server_close()
    thread.join()


def run(*words: str) -> str:
    """What a program prints; it must not fail."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_curl_lines_work_as_they_are(busy_port: Port, live: str) -> None:
    ids = fill("community-green", 3)
    key = busy_port.key("south", "taxii:read", "lists:read")
    lines = blocks(busy_port.client("south").get("/tools/settings/curl/"))
    said = {
        name: [run("sh", "-c", line.replace("KEY", key)) for line in text.splitlines()]
        for name, text in lines.items()
    }
    assert "api_roots" in said["discovery"][0]
    assert "Community: TLP:GREEN" in said["discovery"][1]
    assert any(all(one in answer for one in ids) for answer in said["objects"])
    assert len(said["objects"]) == 4
    assert "198.51.0.1\n" in said["lists"][0]
    assert len(said["lists"]) == 8
    assert not any("http_status" in answer for answers in said.values() for answer in answers)
    buffer.flush()
    assert ToolUse.objects.get().failed == 0


def test_the_python_lines_work_as_they_are(busy_port: Port, live: str) -> None:
    ids = fill("community-green", 130)
    key = busy_port.key("south", "taxii:read")
    lines = blocks(busy_port.client("south").get("/tools/settings/python/"))
    title = Collection.objects.get(alias="community-green").title
    printed = run(sys.executable, "-c", lines[title].replace("KEY", key))
    assert [i for i in ids if i not in printed] == []
    buffer.flush()
    use = ToolUse.objects.get()
    assert (use.failed, use.served) == (0, len(printed.splitlines()))
    assert use.places.get().gaps == []
