"""Segments serve exactly what the rows say, whatever happened to the rows."""

import random
import uuid
from collections.abc import Iterator

import orjson
import pytest
from django.db import transaction
from django.db.models import Q

from sharing import freshness, segments, store
from sharing.models import Collection, Placement, Segment
from sharing.stix import reading
from sharing.stix.markings import MARKING_IDS, Json, Tlp
from sharing.taxii import pages
from sharing.taxii.paging import Page
from tests.conftest import Port


def identity(number: int, *, year: int = 2026, revoked: bool = False) -> Json:
    """A small object with versions."""
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": f"identity--{uuid.UUID(int=number, version=4)}",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": f"{year}-01-01T00:00:00.000Z",
        "name": f"Number {number} of {year}" + "x" * (number % 50),
        "object_marking_refs": [MARKING_IDS[Tlp.GREEN]],
        **({"revoked": True} if revoked else {}),
    }


def put(shelf: Collection, *objects: Json) -> None:
    """Onto the shelf, as the hub's own."""
    with transaction.atomic():
        items = [store.Item(o, reading.facts(o, default_tlp=Tlp.GREEN)) for o in objects]
        results = store.put(items, into=[shelf])
    assert {result.outcome for result in results} <= {"accepted", "duplicate"}


def by_rows(shelf: Collection, after: int, limit: int) -> list[tuple[int, bytes]]:
    """What the rows say."""
    rows = Placement.objects.filter(collection=shelf, latest=True, date_added__gt=after)
    found = rows.order_by("date_added").values_list("date_added", "object__body")[:limit]
    return [(added, body.encode()) for added, body in found]


def by_pages(shelf: Collection, after: int, limit: int) -> Iterator[list[Json]]:
    """Walk to the end as a poller does, by the last instant of each page."""
    while True:
        state = freshness.look(shelf.pk)
        page = pages.whole(
            shelf,
            Page(after, limit, {}),
            state,
            rows=lambda since, most: by_rows(shelf, since, most),
            bound_to="test",
        )
        if not page.body:
            return
        answer = orjson.loads(page.body)
        assert len(answer["objects"]) <= limit
        yield answer["objects"]
        if not answer.get("more"):
            return
        assert page.last > after
        after = page.last


@pytest.fixture
def shelf(port: Port, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """The community's, with segments of ten objects."""
    monkeypatch.setattr(segments, "SEALED_OBJECTS", 10)
    return Collection.objects.get(alias="community-green")


@pytest.mark.parametrize("seed", range(12))
def test_pages_and_rows_agree_whatever_happens(shelf: Collection, seed: int) -> None:
    chance = random.Random(seed)
    years: dict[int, int] = {}
    for _ in range(60):
        match chance.choice(("new", "new", "version", "delete", "seal", "seal", "walk")):
            case "new":
                numbers = [chance.randrange(10**9) for _ in range(chance.randrange(1, 25))]
                years |= dict.fromkeys(numbers, 2026)
                put(shelf, *(identity(number) for number in numbers))
            case "version" if years:
                number = chance.choice([*years])
                years[number] += 1
                put(shelf, identity(number, year=years[number]))
            case "delete" if years:
                number = chance.choice([*years])
                newest = Q(latest=True) if chance.random() < 0.5 else Q()
                with transaction.atomic():
                    store.take_out(shelf, identity(number)["id"], newest)
                if newest == Q():
                    del years[number]
            case "seal":
                segments.seal(shelf)
            case "walk":
                everything = by_rows(shelf, 0, 100_000)
                after = chance.choice([0, *(added for added, _ in everything)])
                wanted = [orjson.loads(body) for added, body in everything if added > after]
                walked = by_pages(shelf, after, chance.choice((1, 3, 10, 17, 1_000)))
                assert [obj for page in walked for obj in page] == wanted
    assert Segment.objects.exists()


def test_a_segment_ends_where_it_would_grow_too_large(
    shelf: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEALED_BYTES", 1_000)
    put(shelf, *(identity(number) for number in range(40)))
    while segments.seal(shelf):
        pass
    assert max(Segment.objects.values_list("count", flat=True)) < 10
    walked = [obj for page in by_pages(shelf, 0, 7) for obj in page]
    assert walked == [orjson.loads(body) for _, body in by_rows(shelf, 0, 1_000)]


def test_a_page_is_remembered_until_its_collection_changes(
    shelf: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(shelf, *(identity(number) for number in range(30)))
    first = next(by_pages(shelf, 0, 20))
    with monkeypatch.context() as patch:
        patch.setattr(pages, "_made", None)  # nothing is made anew
        assert next(by_pages(shelf, 0, 20)) == first
    put(shelf, identity(3, year=2027))
    walked = [obj for page in by_pages(shelf, 0, 20) for obj in page]
    assert walked[-1]["modified"].startswith("2027")
    assert len(walked) == len({obj["id"] for obj in walked})
