"""Fill the hub's store past the intake, in a process of its own that has its settings.

``python -m bench.fill load COUNT SEED`` makes the hub and COPYs generated indicators into it;
``python -m bench.fill grow COUNT`` makes it where it is not, and has the database itself invent
indicators until there are COUNT, sealed, and ten new ones that are not. ``senders COUNT`` makes it
with as many members that post sightings, and somebody at the desk. All answer in JSON.
"""

import hashlib
import io
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import django
import orjson

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crc.settings")
django.setup()

from django.conf import settings  # noqa: E402 - needs the settings
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import Count, Max  # noqa: E402
from django.test import Client  # noqa: E402

from bench.indicators import AUTHOR, CREATED, HEAD, REST, indicators, whole  # noqa: E402
from crc import hotsql  # noqa: E402
from crc.members import audit  # noqa: E402
from crc.members.models import ApiKey, Organisation, User  # noqa: E402
from crc.members.roles import PortRole, UserRole  # noqa: E402
from sharing import segments  # noqa: E402
from sharing.models import Collection, Placement, Segment, StixObject, StoreClock  # noqa: E402

CREATED_MICROS: Final = 1_767_225_600_000_000
SECOND: Final = 1_000_000
BATCH: Final = 1_000_000
NEW: Final = 10
_OBJECT: Final = (
    "id", "stix_id", "version", "digest", "type", "spec_version", "version_text",
    "created_by_ref", "revoked", "tlp", "body", "lacks_spec_version",
)  # fmt: skip
_PLACED: Final = ("collection_id", "object_id", "date_added", "version", "latest")
_INVENT: Final = """
WITH drawn AS MATERIALIZED (
  SELECT n, 'indicator--' || gen_random_uuid() AS stix_id,
    format('%%s.%%s.%%s.%%s', 1 + n %% 223, n / 223 %% 256, n / 57088 %% 256, n %% 256) AS address
  FROM generate_series(1, %(count)s) AS n
), made AS MATERIALIZED (
  SELECT n, stix_id, format(%(body)s, stix_id, n, address) AS body FROM drawn
), stored AS (
  INSERT INTO sharing_stixobject (id, stix_id, version, digest, type, spec_version, version_text,
    created_by_ref, revoked, tlp, body, lacks_spec_version)
  SELECT %(base)s + n, stix_id, %(version)s, encode(sha256(convert_to(body, 'UTF8')), 'hex'),
    'indicator', '2.1', %(created)s, %(author)s, false, 'GREEN', body, false FROM made
)
INSERT INTO sharing_placement (collection_id, object_id, date_added, version, latest)
SELECT %(collection)s, %(base)s + n, %(start)s + n, %(version)s, true FROM made
"""


def hub() -> tuple[Collection, str]:
    """A hub with one member, its key, and the shelf that it may post to."""
    call_command("migrate", verbosity=0)
    _quietly("bootstrap")
    _quietly("add_member", "South", "--slug", "south", "--role", "terminal")
    shelf = Collection.objects.get(alias="community-green")
    south = Organisation.objects.get(slug="south")
    with transaction.atomic():
        shelf.writers.add(south)
        audit.record("shelf.writer", actor="operator", subject=shelf.alias, member=south.slug)
    _, token = ApiKey.issue(south, ["taxii:read", "taxii:write"])
    return shelf, token


def _quietly(*words: str) -> None:
    call_command(*words, stdout=io.StringIO())


def senders(count: int) -> dict[str, Any]:
    """Members' keys for sightings, and the cookie of somebody logged in at the desk."""
    call_command("migrate", verbosity=0)
    _quietly("bootstrap")
    for number in range(count):
        slug = f"member-{number}"
        _quietly("add_member", slug, "--slug", slug, "--role", "terminal")
    members = Organisation.objects.filter(slug__startswith="member-")
    desk = Organisation.objects.get(port_role=PortRole.DESK)
    user = User.objects.create_user(
        "desk@example.test", None, organisation=desk, role=UserRole.DESK_ADMIN
    )
    browser = Client()
    browser.force_login(user, backend="crc.members.backends.ActiveMemberBackend")
    return {
        "keys": [ApiKey.issue(member, ["sightings:write"])[1] for member in members],
        "cookie": settings.SESSION_COOKIE_NAME,
        "session": browser.cookies[settings.SESSION_COOKIE_NAME].value,
    }


def load(count: int, seed: int) -> dict[str, Any]:
    """The generated indicators, one microsecond apart, up to an hour ago."""
    shelf, token = hub()
    start = time.time_ns() // 1000 - 3600 * SECOND - count
    base = _last_id() + 1
    with transaction.atomic():
        hotsql.insert(StixObject, _OBJECT, _objects(count, seed, base))
        rows = ((shelf.pk, base + n, start + n, CREATED_MICROS, True) for n in range(count))
        hotsql.insert(Placement, _PLACED, rows)
    _next_id(base + count)
    _settle(shelf)
    return {"key": token, "start": start, **_told(shelf)}


def _objects(count: int, seed: int, base: int) -> Iterator[tuple[Any, ...]]:
    fixed = (CREATED_MICROS, "indicator", "2.1", CREATED, AUTHOR, False, "GREEN", False)
    version, kind, spec, text, author, revoked, tlp, lacks = fixed
    for number, (stix_id, rest) in enumerate(indicators(count, seed), base):
        body = whole(stix_id, rest)
        alike = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
        digest = hashlib.sha256(alike).hexdigest()
        yield (
            *(number, stix_id, version, digest, kind, spec, text),
            *(author, revoked, tlp, body, lacks),
        )


def grow(count: int) -> dict[str, Any]:
    """The database's own indicators, a million at a time; ten of them a second after the rest."""
    shelf, token = hub()
    while (missing := count - Placement.objects.filter(collection=shelf).count()) > 0:
        _invent(shelf, min(missing, BATCH))
    _settle(shelf)
    sealed = _told(shelf)
    _invent(shelf, NEW, later=SECOND)
    _settle(shelf, seal=False)
    first = Placement.objects.filter(collection=shelf).order_by("date_added").first()
    assert first
    return {"key": token, "start": first.date_added, **_told(shelf), "sealed": sealed["newest"]}


def _invent(shelf: Collection, count: int, *, later: int = 1) -> None:
    clock, _ = StoreClock.objects.get_or_create(pk=1)
    base = _last_id()
    start = max(clock.last + later, time.time_ns() // 1000 - 3600 * SECOND)
    template = (
        (HEAD + REST).replace("%", "%%").format(stix_id="%1$s", number="%2$s", address="%3$s")
    )
    with connection.cursor() as cursor:
        cursor.execute(
            _INVENT,
            {
                "count": count,
                "body": template,
                "base": base,
                "version": CREATED_MICROS,
                "created": CREATED,
                "author": AUTHOR,
                "collection": shelf.pk,
                "start": start,
            },
        )
    _next_id(base + count)
    StoreClock.objects.filter(pk=1).update(last=start + count)


def _last_id() -> int:
    """A new hub holds a few objects of its own."""
    return StixObject.objects.aggregate(last=Max("id"))["last"] or 0


def _next_id(last: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT setval(pg_get_serial_sequence('sharing_stixobject', 'id'), %s)", [last]
        )


def _settle(shelf: Collection, *, seal: bool = True) -> None:
    """What the store keeps beside rows: the clock, the collection's marks, segments, statistics."""
    newest = Placement.objects.filter(collection=shelf).aggregate(n=Max("date_added"))["n"]
    Collection.objects.filter(pk=shelf.pk).update(changed=newest, newest=newest)
    clock, _ = StoreClock.objects.get_or_create(pk=1)
    StoreClock.objects.filter(pk=1).update(last=max(clock.last, newest))
    while seal and segments.seal_all(seconds=60):
        pass
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if seal else "ANALYZE sharing_placement")


def _told(shelf: Collection) -> dict[str, Any]:
    """Where pages start, and what is there."""
    shelf.refresh_from_db()
    rows = Segment.objects.filter(collection=shelf).order_by("upper")
    full = rows.filter(count=segments.SEALED_OBJECTS).values_list("lower", flat=True)
    total = Placement.objects.filter(collection=shelf).aggregate(n=Count("id"))["n"]
    # A thousand or two page starts are enough to miss every cache, and few enough to hand over.
    step = max(1, len(full) // 2_000)
    return {
        "collection": str(shelf.pk),
        "borders": list(itertools.islice(full, 0, None, step)),
        "newest": shelf.newest,
        "total": total,
    }


if __name__ == "__main__":
    what, numbers = sys.argv[1], [int(word) for word in sys.argv[2:]]
    answer = {"load": load, "grow": grow, "senders": senders}[what](*numbers)
    json.dump(answer, sys.stdout)
