"""Nothing is missed while many write and the server is killed; the long form is a command."""

import pytest

from tests.taxii.writers_and_pollers import once


@pytest.mark.slow
def test_no_poller_misses_an_object_while_the_web_is_killed() -> None:
    tally = once(4, writers=8)
    assert len(tally.stored) > 100
    assert tally.missing(tally.by_next) == set()
    assert tally.missing(tally.by_date) == set()
    # Nobody is served the same version twice, either.
    assert len(tally.by_next) == len(set(tally.by_next))
