"""The cast: who is who in every story."""

import http.server
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.test.utils import setup_databases, teardown_databases
from django.utils import timezone, translation

import sharing.tasks
from alerts import tasks
from alerts.models import Alert
from crc.members.models import ApiKey, Organisation, User
from crc.members.roles import UserRole
from sharing.models import Report

# A shared machine stalls now and then; slowness is measured in bench/, not here.
hypothesis.settings.register_profile("hub", deadline=None)
hypothesis.settings.load_profile("hub")

HASH = "9f2c4a7be1d08356f4c1a2b39d7e6058c1f4a90b2d3e5f6718293a4b5c6d7e8f"
MEMBERS = {
    "north": ("North Quay Terminal", "terminal", "AMBER+STRICT"),
    "south": ("South Basin Terminal", "terminal", "AMBER+STRICT"),
    "anchor": ("Blue Anchor Line", "shipping-line", "AMBER+STRICT"),
    "rail": ("Harbour Railway", "railway", "AMBER+STRICT"),
    "kestrel": ("Kestrel Trucking", "trucking", "AMBER"),
    "repair": ("Quick Repair", "service-provider", "AMBER+STRICT"),
    "outsider": ("Outside Supplier", "service-provider", "CLEAR"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A hub that is always the embedded one need not be tried again on another database."""
    if "DATABASE_URL" in os.environ:
        ran = pytest.mark.skip(reason="an embedded hub of its own: ran with the embedded default")
        for item in items:
            if item.get_closest_marker("embedded"):
                item.add_marker(ran)


@dataclass
class Port:
    """The cast of one test, and what they can do in one line."""

    organisations: dict[str, Organisation]
    users: dict[str, User]
    rung: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def client(self, slug: str) -> Client:
        """A browser in which this member's duty officer is logged in."""
        client = Client()
        client.force_login(self.users[slug], backend="crc.members.backends.ActiveMemberBackend")
        return client

    def key(self, slug: str, *scopes: str) -> str:
        """A fresh API key."""
        return ApiKey.issue(self.organisations[slug], list(scopes))[1]

    def file(self, slug: str, **answers: str) -> Report:
        """Send the report form; the receipt's report."""
        response = self.client(slug).post("/report/", form(**answers))
        assert response.status_code == 302, response.context["form"].errors
        return Report.objects.get(submission__reference=response.url.split("/")[2])

    def sweep(self) -> dict[str, int]:
        """What beat would do."""
        return tasks.run_sweep()

    def warnings(self) -> list[Alert]:
        """Oldest first."""
        return list(Alert.objects.order_by("raised_at"))


def form(**answers: str) -> dict[str, str]:
    """The report form as a hurried duty officer fills it."""
    return {
        "token": str(uuid.uuid4()),
        "attack": "ransomware",
        "system_yard": "down",
        "noticed_at": f"{timezone.now():%Y-%m-%dT%H:%M}",
        "time_zone": "UTC",
        "narrative": "A printer printed a ransom note.",
        "technical": f"sha256 {HASH}",
        "warn_now": "no",
        "tlp": "AMBER+STRICT",
        **answers,
    }


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None,
    django_db_modify_db_settings: None,  # a database for each worker
    django_db_blocker: Any,
    django_db_keepdb: bool,
    django_db_createdb: bool,
) -> Iterator[None]:
    """pytest-django's, which makes no database when only tests with servers of their own run."""
    keep = django_db_keepdb and not django_db_createdb
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, keepdb=keep)
    yield
    if not django_db_keepdb:
        with django_db_blocker.unblock():
            teardown_databases(made, verbosity=0)


@pytest.fixture(autouse=True)
def _hubs_language() -> Iterator[None]:
    """The language of a request stays with its thread: here that is every test's thread."""
    yield
    translation.activate(settings.LANGUAGE_CODE)


@pytest.fixture
def port(db: None, monkeypatch: pytest.MonkeyPatch) -> Port:
    """A bootstrapped hub with its cast; the doorbell only notes who rang."""
    return cast(monkeypatch)


@pytest.fixture
def busy_port(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Port:
    """The same, with real transactions, for stories with threads."""
    return cast(monkeypatch)


def cast(monkeypatch: pytest.MonkeyPatch) -> Port:
    """Make everybody."""
    call_command("bootstrap", "--json", stdout=_Quiet())
    for slug, (name, role, ceiling) in MEMBERS.items():
        call_command(
            "add_member",
            name,
            "--slug",
            slug,
            "--role",
            role,
            "--ceiling",
            ceiling,
            "--json",
            stdout=_Quiet(),
        )
    organisations = {row.slug: row for row in Organisation.objects.all()}
    users = {
        slug: User.objects.create_user(
            f"duty@{slug}.example",
            "harbour-lantern-42",
            organisation=organisation,
            name=f"Officer {slug}",
            role=UserRole.DESK_ADMIN if slug == "desk" else UserRole.MEMBER_ADMIN,
        )
        for slug, organisation in organisations.items()
    }
    port = Port(organisations, users)

    def ring(task: Any, *arguments: Any) -> bool:
        port.rung.append((task.name, arguments))
        return True

    monkeypatch.setattr(tasks, "ring", ring)
    monkeypatch.setattr(sharing.tasks, "ring", ring)
    return port


class _Quiet:
    def write(self, text: str) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def isatty(self) -> bool:
        """No."""
        return False


@dataclass
class Receiver:
    """A member's webhook receiver: what it got, and what it answers."""

    url: str
    got: list[tuple[dict[str, str], bytes]]
    status: int = 204


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real HTTP server on the loopback."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(made.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Receiver(f"http://127.0.0.1:{server.server_port}/hook", got)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def taxii(port: Port, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Ask the TAXII server: ``taxii(key, path, method=, json=, **headers)``."""
    from werkzeug.test import Client as WsgiClient

    from sharing.taxii import app

    # In this thread the connection is the test's own, as in Django's test client.
    monkeypatch.setattr(app, "close_old_connections", lambda: None)
    client = WsgiClient(app.application)

    def ask(key: str, path: str, *, method: str = "GET", **kwargs: Any) -> Any:
        headers = kwargs.pop("headers", {})
        headers.setdefault("Accept", "application/taxii+json;version=2.1")
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if "json" in kwargs:
            headers.setdefault("Content-Type", "application/taxii+json;version=2.1")
        return client.open(path, method=method, headers=headers, **kwargs)

    return ask


@pytest.fixture
def corpus() -> Path:
    """The shared data set."""
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    found = Path(os.environ.get("CRC_CORPUS", beside))
    if not found.is_dir():
        pytest.skip("the shared data set is not here; set CRC_CORPUS to read it")
    return found
