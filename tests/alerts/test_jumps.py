"""The jump rule: what the desk is told, once, in words, and when it counts as a second witness."""

from datetime import UTC, datetime, timedelta

import pytest

from alerts import jumps
from alerts.models import Alert, DeskEntry, Observation
from crc.members.models import AuditEntry
from sharing.models import SightingCount
from tests.conftest import HASH, Port
from tests.taxii.test_sightings import held

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
THIS = NOON.replace(minute=0)


def seen(port: Port, what: str, slug: str, count: int, *, at: datetime = THIS) -> None:
    row, _ = SightingCount.objects.get_or_create(
        what=what,
        source=port.organisations[slug],
        hour=at,
        defaults={"first_seen": at, "last_seen": at},
    )
    SightingCount.objects.filter(pk=row.pk).update(count=row.count + count)


@pytest.mark.parametrize(
    ("usual", "count", "jumps_"),
    [
        (0, 99, False),  # under the floor, however new
        (0, 100, True),
        (20, 100, False),  # five times is not more than five times
        (20, 101, True),
        (19.9, 100, True),
        (1_000, 5_000, False),
        (1_000, 5_001, True),
        (1, 50, False),  # fifty times, but few
    ],
)
def test_the_rule(settings: object, usual: float, count: int, jumps_: bool) -> None:
    assert jumps.is_jump(count, usual) is jumps_


def test_a_jump_is_one_entry_that_explains_itself(port: Port) -> None:
    what = held()["id"]
    for back in range(1, 25):
        seen(port, what, "north", 12, at=THIS - back * HOUR)
    seen(port, what, "north", 300)
    assert jumps.find(NOON) == (1, [])
    seen(port, what, "rail", 340)
    assert jumps.find(NOON) == (0, [])
    entry = DeskEntry.objects.get()
    words = jumps.explained(entry)
    assert words == (
        "640 sightings in one hour, by 2 members. Usual: 12.0 an hour, the mean of the 24 hours "
        "before. The rule: at least 100 in an hour, and more than 5 times the usual rate (60.0)."
    )
    page = port.client("desk").get("/desk/").content.decode()
    assert "Harbour Railway" in page
    assert "640 sightings" in page
    assert port.client("north").get("/desk/").status_code == 404


def test_while_it_lasts_no_second_entry_and_after_a_pause_a_new_one(port: Port) -> None:
    what = held()["id"]
    for hour in range(6):
        seen(port, what, "north", 1_000, at=THIS + hour * HOUR)
        jumps.find(NOON + hour * HOUR)
    entry = DeskEntry.objects.get()
    assert (entry.hour, entry.until) == (THIS, THIS + 5 * HOUR)
    later = 40 * HOUR
    seen(port, what, "north", 1_000, at=THIS + later)
    assert jumps.find(NOON + later)[0] == 1


def test_what_came_late_for_the_hour_before_is_seen(port: Port) -> None:
    seen(port, held()["id"], "north", 500, at=THIS - HOUR)
    assert jumps.find(NOON)[0] == 1
    assert jumps.find(NOON + HOUR)[0] == 0


def test_made_up_ids_values_without_indicator_and_zeros_raise_nothing(port: Port) -> None:
    seen(port, "indicator--00000000-0000-4000-8000-000000000000", "north", 10_000)
    seen(port, "value:" + "0" * 64, "north", 10_000)
    what = held()["id"]
    seen(port, what, "north", 0)
    SightingCount.objects.filter(what=what).update(not_seen=10_000)
    assert jumps.find(NOON)[0] == 0


def test_the_desk_looks_at_it_once(port: Port) -> None:
    seen(port, held()["id"], "north", 500)
    jumps.find(NOON)
    path = f"/desk/jumps/{DeskEntry.objects.get().pk}/looked-at/"
    assert port.client("north").post(path).status_code == 404
    for _ in range(2):
        assert port.client("desk").post(path, follow=True).status_code == 200
    assert AuditEntry.objects.filter(action="jump.looked_at").count() == 1
    assert "far more than usual" not in port.client("desk").get("/desk/").content.decode()
    seen(port, DeskEntry.objects.get().what, "north", 500)
    jumps.find(NOON)
    assert "far more than usual" not in port.client("desk").get("/desk/").content.decode()


def released(port: Port) -> str:
    """The indicator of a report by Blue Anchor Line that was released at once."""
    from alerts import triage
    from sharing.models import ListedValue

    report = port.file("anchor", warn_now="yes", technical=f"sha256 {HASH}")
    triage.triage(str(report.pk))
    listed = ListedValue.objects.exclude(object__release=None)
    return str(listed.values_list("object__stix_id", flat=True).get())


def test_a_jump_at_two_members_corroborates_what_a_third_reported(port: Port) -> None:
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    what = released(port)
    seen(port, what, "north", 500, at=hour)
    assert jumps.find(now) == (1, [])
    assert not Observation.objects.filter(submission__door="sightings").exists()

    seen(port, what, "rail", 1, at=hour)
    _, [warned] = jumps.find(now)
    assert warned.kind == Alert.Kind.CORROBORATION
    assert warned.title.startswith("Seen by 3 members")
    assert "Railway" not in warned.title + warned.body
    seen(port, what, "rail", 500, at=hour)
    assert jumps.find(now) == (0, [])
    assert Observation.objects.filter(submission__door="sightings").count() == 2
