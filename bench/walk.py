"""How long the walk takes, from the click on "send" to each kind of receiver: five demo runs."""

import json
import re
import statistics
import subprocess
import sys

from bench.record import ROOT, record, row, table

RUNS = 5
LIMITS_MS = {"taxii": 1000, "webhook": 2000, "mail": 3000}
WORDS = {
    "taxii": "form submit to object visible over TAXII",
    "webhook": "form submit to verified webhook",
    "mail": "form submit to mail, all members",
}


def once(port: int) -> dict[str, float]:
    """One demo run's milliseconds. Raises CalledProcessError when a step does not hold."""
    done = subprocess.run(
        [sys.executable, "-m", "crc.demo", "--once", "--port", str(port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    held = re.search(r"Every step held\. (\{.*\})", done.stdout)
    assert held
    found: dict[str, float] = json.loads(held[1])
    return found


def main() -> None:
    """Print the table and write the result file."""
    runs = [once(8100 + number) for number in range(RUNS)]
    rows = [
        row(
            WORDS[name],
            statistics.median(run[name] for run in runs),
            f"ms, median of {RUNS}",
            at_most=limit,
            runs=[run[name] for run in runs],
        )
        for name, limit in LIMITS_MS.items()
    ]
    table(rows)
    record("walk", rows)


if __name__ == "__main__":
    main()
