"""Opening a shelf to members, by hand; and filling the column that says what observables lack."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from crc.members.models import AuditEntry
from sharing import visibility
from sharing.models import Collection
from tests.conftest import Port


def set_writers(alias: str, members: str) -> dict[str, object]:
    """What the command answers machines."""
    out = StringIO()
    call_command("set_writers", alias, "--members", members, "--json", stdout=out)
    found: dict[str, object] = json.loads(out.getvalue())
    return found


def test_a_shelf_is_opened_and_closed(port: Port) -> None:
    south, rail = port.organisations["south"], port.organisations["rail"]

    def writes() -> list[set[str]]:
        return [
            set(visibility.writable_for(member).values_list("alias", flat=True))
            for member in (south, rail)
        ]

    assert set_writers("community-green", "south,rail")["members"] == ["south", "rail"]
    assert writes() == [{"inbox-south", "community-green"}, {"inbox-rail", "community-green"}]
    set_writers("community-green", "rail")
    assert writes() == [{"inbox-south"}, {"inbox-rail", "community-green"}]
    rail.is_active = False
    rail.save()
    assert writes() == [{"inbox-south"}, set()]
    set_writers("community-green", "")
    assert not Collection.objects.get(alias="community-green").writers.exists()
    assert AuditEntry.objects.filter(action="writers.set").count() == 3


@pytest.mark.parametrize("alias", ["inbox-south", "desk", "nowhere"])
def test_only_shared_collections_can_be_opened(port: Port, alias: str) -> None:
    with pytest.raises(CommandError, match="community-green"):
        set_writers(alias, "south")
