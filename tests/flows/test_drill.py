"""The short form of the drill: bench/drill.py runs the long one."""

import pytest

from bench import drill
from bench.drill_clock import COMPILER

pytestmark = [pytest.mark.slow, pytest.mark.embedded]


def test_nothing_is_lost_when_parts_of_the_hub_are_killed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    lost = drill.main(["--rounds", "3", "--on", "embedded", "--short", "--seed", "7"])
    told = capfd.readouterr().out
    assert not lost, told
    assert told.count("killed, whole after") == 3
    assert COMPILER is None or "the clock an hour forward and back: reports are taken" in told
    assert "reports acknowledged but lost (embedded)" in told
