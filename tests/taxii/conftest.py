"""A served hub for black-box tests: the whole application behind a real socket."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from django.core.management import call_command

from crc.members.models import ApiKey, Group
from sharing.models import Collection
from sharing.stix.markings import Json
from tests.conftest import Port, _Quiet, cast
from tests.patience import PATIENCE
from tests.taxii.content import seed

TAXII = "application/taxii+json;version=2.1"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed by the strict parser of the standard library."""
        return json.loads(self.body)

    @property
    def objects(self) -> list[Json]:
        """What is in the envelope."""
        found: list[Json] = self.json.get("objects", [])
        return found


@dataclass
class Served:
    """The hub as its clients see it.

    RW reads and writes C1 and C4, RO reads them, WO writes the inbox C2 alone, NONE is logged in
    and knows neither. C3 is empty.
    """

    base: str
    port: Port
    keys: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    seeded: dict[str, Any] = field(default_factory=dict)

    def send(
        self,
        method: str,
        path: str,
        *,
        who: str = "RO",
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request, with exactly these headers beside Host and what ``who`` stands for.

        A header of None is left out.
        """
        sent: dict[str, Any] = {"Accept": TAXII}
        if who != "ANON":
            sent["Authorization"] = f"Bearer {self.keys.get(who, who)}"
        if method == "POST":
            sent["Content-Type"] = TAXII
        sent |= headers or {}
        if body is not None and not isinstance(body, bytes) and not hasattr(body, "__next__"):
            body = json.dumps(body).encode()
        host, port = self.base.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            connection.request(
                method,
                quote(path, safe="/?&=[],:.~%-_+*"),
                body=body,
                headers={name: value for name, value in sent.items() if value is not None},
                encode_chunked="Transfer-Encoding" in sent,
            )
            response = connection.getresponse()
            read = response.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, read)

    def get(self, path: str, **kwargs: Any) -> Answer:
        """GET."""
        return self.send("GET", path, **kwargs)

    def post(self, collection: str, body: Any, *, who: str = "RW", **kwargs: Any) -> Answer:
        """POST to a collection's objects."""
        return self.send("POST", self.at(collection) + "objects/", who=who, body=body, **kwargs)

    def store(self, collection: str, *objects: Json, who: str = "RW") -> Json:
        """Post objects that must all succeed; the status."""
        answer = self.post(collection, {"objects": list(objects)}, who=who)
        assert answer.status == 202, answer.body
        told: Json = answer.json
        assert told["failure_count"] == 0, told
        return told

    def at(self, collection: str) -> str:
        """The address of C1 to C4, or of any other collection by its alias."""
        return f"/crc/collections/{self.ids.get(collection, collection)}/"

    def pages(self, path: str, **kwargs: Any) -> Iterator[Answer]:
        """Follow ``next`` to the end, as the standard says: every parameter repeated."""
        answer = self.get(path, **kwargs)
        yield answer
        for _ in range(1000):
            if not answer.json.get("more"):
                assert "next" not in answer.json
                return
            answer = self.get(f"{path}&next={answer.json['next']}", **kwargs)
            assert answer.status == 200, answer.body
            yield answer
        raise AssertionError("this walk does not end")


@pytest.fixture(scope="module")
def hub(django_db_setup: None, django_db_blocker: Any) -> Iterator[Served]:
    """One hub for a module of tests, which see each other's writes."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        try:
            port = cast(patch)
            with serving() as base:
                made = Served(base, port)
                _furnish(made)
                seed(made)
                yield made
        finally:
            call_command("flush", verbosity=0, interactive=False)


def _furnish(made: Served) -> None:
    quiet = _Quiet()
    call_command(
        "add_group", "quay", "--title", "Quay", "--members", "south,rail,kestrel", stdout=quiet
    )
    for shelf in ("quay-green", "quay-amber", "quay-strict"):
        call_command("set_writers", shelf, "--members", "south", stdout=quiet)
    Collection.objects.create(
        alias="quay-empty",
        title="Quay: nothing yet",
        kind=Collection.Kind.SHELF,
        group=Group.objects.get(slug="quay"),
        tlp="CLEAR",
    )
    aliases = {"C1": "quay-green", "C2": "inbox-south", "C3": "quay-empty", "C4": "quay-amber"}
    for name, alias in aliases.items():
        made.ids[name] = str(Collection.objects.get(alias=alias).pk)
    for who, slug, scopes in (
        ("RW", "south", ["taxii:read", "taxii:write"]),
        ("RO", "rail", ["taxii:read"]),
        ("SO", "south", ["taxii:read"]),
        ("WO", "south", ["taxii:write"]),
        ("NONE", "outsider", ["taxii:read", "taxii:write"]),
        ("NOTHING", "desk", ["taxii:write"]),
        ("DESK", "desk", ["taxii:read"]),
        ("LISTS", "rail", ["lists:read"]),
    ):
        made.keys[who] = ApiKey.issue(made.port.organisations[slug], scopes)[1]


class serving:
    """The whole application on a free port of the loopback, in threads of this process."""

    def __enter__(self) -> str:
        from crc.asgi import app
        from crc.wire import Protocol

        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, http=Protocol, lifespan="off", log_config=None, log_level="critical"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not self._server.started:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *problem: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
