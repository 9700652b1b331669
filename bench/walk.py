"""How long the walk takes, from the click on "send" to each kind of receiver: five demo runs."""

import json
import re
import statistics
import subprocess
import sys

from bench import results_file
from bench.results_file import ROOT

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
    rows = []
    for name, limit in LIMITS_MS.items():
        value = statistics.median(run[name] for run in runs)
        rows.append(
            {
                "work": WORDS[name],
                "value": value,
                "unit": "ms, median of 5",
                "target": limit,
                "met": value < limit,
                "runs": [run[name] for run in runs],
            }
        )
        print(f"{WORDS[name]:<45} {value:6.0f} ms   limit {limit} ms   {value / limit:.2f} of it")
    results_file.write("walk", rows)
