"""That no rule of the list went without a test."""

import re
from pathlib import Path


def test_every_rule_from_t001_to_t100_has_a_test() -> None:
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    names = re.findall(r"^def (test_t\d\w+)", source, re.M)
    tested = {int(number) for name in names for number in re.findall(r"t(\d{3})(?=_)", name)}
    assert tested == set(range(1, 101))
