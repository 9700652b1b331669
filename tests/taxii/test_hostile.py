"""Whatever is thrown at the TAXII server and the lists, they answer: no crash, no hang, no HTML.

A tenth of what docs/taxii.md promises runs each time; ``python -m tests.taxii.hostile`` runs it all
and tells the slowest.
"""

import gc
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, example, given, settings

from crc.members.models import ApiKey
from sharing.models import Collection
from sharing.taxii import app
from tests.conftest import Port
from tests.patience import without_a_hang
from tests.taxii.hostile import COUNT, REQUESTS, TAXII, Hostile
from tests.taxii.test_server import fill

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
EXAMPLES = int(os.environ.get(COUNT, "2000"))
PHASES = [Phase.explicit, Phase.generate, Phase.shrink]

Fire = Callable[[Hostile], tuple[int, dict[str, str], bytes]]
COUNTED: Counter[int] = Counter()
SLOWEST: list[tuple[float, float, str]] = []


@pytest.fixture
def fire(port: Port, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fire]:
    """Send a hostile request with a good key, straight to the WSGI applications."""
    logging.disable(logging.CRITICAL)
    monkeypatch.setattr(app, "close_old_connections", lambda: None)
    # Django's handler would close the test's own connection.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    shelf = Collection.objects.get(alias="community-green")
    shelf.writers.add(port.organisations["south"])
    names = {
        "KEY": port.key("south", "taxii:read", "taxii:write", "lists:read"),
        "SHELF": str(shelf.pk),
        "INBOX": str(Collection.objects.get(alias="inbox-south").pk),
        "OBJECT": fill("community-green", 5)[0],
    }
    pages = get_wsgi_application()
    yield lambda request: _sent(request, names, pages)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
    logging.disable(logging.NOTSET)


def _sent(request: Hostile, names: dict[str, str], pages: Any) -> tuple[int, dict[str, str], bytes]:
    environ = _environ(request, names)
    is_list = environ["PATH_INFO"].startswith("/lists/")
    target = pages if is_list else app.application
    told: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        told.update(status=int(status.split()[0]), headers=dict(headers))

    gc.disable()  # what the generator of requests leaves behind is not the hub's to clear up
    started, worked = time.perf_counter(), time.thread_time()
    answer = target(environ, start_response)
    body = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    SLOWEST.append(
        (time.perf_counter() - started, time.thread_time() - worked, repr(request)[:300])
    )
    gc.enable()
    SLOWEST.sort(reverse=True)
    del SLOWEST[3:]
    return told["status"], told["headers"], body


def _environ(request: Hostile, names: dict[str, str]) -> dict[str, Any]:
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_NAME": "hub",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_ACCEPT": TAXII,
        "HTTP_AUTHORIZATION": "Bearer KEY",
        "CONTENT_TYPE": TAXII,
        "CONTENT_LENGTH": str(len(request.body)),
        **request.headers,
    }
    for word, real in names.items():
        environ = {name: value.replace(word, real) for name, value in environ.items()}
    return {
        **environ,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(request.body),
        "wsgi.errors": BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=PHASES,
    suppress_health_check=list(HealthCheck),
)
@example(Hostile("POST", "/crc/collections/INBOX/objects/", "", {}, b'{"objects":["\\ud800"]}'))
@example(Hostile("GET", "/crc/collections/SHELF/objects/", "added_after=9999-12-31T23:59:60.9Z"))
@example(Hostile("POST", "/taxii2/", "", {"CONTENT_LENGTH": "9" * 4_400}, b"{}"))
@example(Hostile("POST", "/crc/collections/INBOX/objects/", "", {"CONTENT_LENGTH": "\xb2"}, b"{}"))
@example(Hostile("GET", "/crc/collections/SHELF/objects/\0/", "match[version]=%00"))
@given(REQUESTS)
def test_every_request_gets_an_answer(fire: Fire, hostile: Hostile) -> None:
    with without_a_hang():
        status, headers, body = fire(hostile)
    COUNTED[status] += 1
    assert status < 500, body
    assert b"Traceback" not in body
    if hostile.path.startswith("/lists/"):
        return
    assert headers["Content-Type"] == TAXII
    if status >= 400 and hostile.method != "HEAD":
        told = json.loads(body)
        assert told["http_status"] == str(status)
        assert told["title"]


def test_nothing_was_broken_by_it(fire: Fire) -> None:
    """Runs after: what the requests met, and that a good one still works."""
    print(f"\n{sum(COUNTED.values())} requests:", dict(sorted(COUNTED.items())))
    for seconds, worked, request in SLOWEST:
        print(f"{seconds:.2f} s, {worked:.2f} of them work: {request}")
    assert ApiKey.objects.count() == 1
    assert fire(Hostile("GET", "/crc/collections/SHELF/objects/", ""))[0] == 200
