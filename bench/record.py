"""Result rows: made, printed beside their limits, and kept in bench/results/NAME.json.

A row is ``met`` only when it was measured in this run, at the size its target is meant for.
"""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
Row = dict[str, Any]


def row(
    work: str,
    value: float,
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    ratio_at_least: float | None = None,
    peer: str = "",
    peer_value: float | None = None,
    judged: bool = True,
    **more: Any,
) -> Row:
    """A measured row with one target at most; not ``judged``, it is not met whatever it says."""
    made: Row = {"work": work, "value": _short(value), "unit": unit, "target": None, "met": None}
    ratio = value / peer_value if peer_value else None
    for kind, bound, found in (
        ("at least", at_least, value),
        ("at most", at_most, value),
        ("ratio at least", ratio_at_least, ratio),
    ):
        if bound is not None:
            good = found is not None and (found <= bound if kind == "at most" else found >= bound)
            made |= {"target": bound, "target_is": kind, "met": judged and good}
    if peer:
        made["peer"] = peer
    if peer_value is not None:
        made |= {"peer_value": _short(peer_value), "ratio": _short(ratio or 0.0)}
    if not judged:
        more = {"not_judged": "this run is too small for the target", **more}
    return {**made, **more}


def skipped(work: str, unit: str, why: str) -> Row:
    """A row that could not be measured here; never met."""
    return {"work": work, "value": None, "unit": unit, "target": None, "met": False, "skipped": why}


def _short(value: float) -> float:
    """Four digits are more than any of these measurements is good for."""
    return float(f"{value:.4g}")


def table(rows: Sequence[Row]) -> None:
    """Print aligned columns: work, value, peer, ratio, target, verdict."""
    head = ("work", "value", "unit", "peer", "ratio", "target", "")
    lines = [head, *(_cells(one) for one in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = (
            cell.rjust(width) if column in {1, 3, 4} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join(cells).rstrip(), flush=True)


def _cells(one: Row) -> tuple[str, ...]:
    if "skipped" in one:
        return (one["work"], "-", one["unit"], "", "", "", f"SKIPPED: {one['skipped']}")
    verdict = {True: "met", False: "NOT MET", None: ""}[one["met"]]
    if "not_judged" in one:
        verdict = "not judged"
    target = "" if one["target"] is None else f"{one.get('target_is', '')} {one['target']:g}"
    return (
        one["work"],
        f"{one['value']:,g}",
        one["unit"],
        f"{one['peer_value']:,g}" if "peer_value" in one else "",
        f"{one['ratio']:,g}" if "ratio" in one else "",
        target.strip(),
        verdict,
    )


def record(name: str, rows: Sequence[Row], *, postgresql: str = "") -> Path:
    """Write bench/results/NAME.json: the rows, and where and at which commit they were measured."""
    result = {
        "commit": _commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "machine": _machine(postgresql),
        "rows": list(rows),
    }
    folder = ROOT / "bench" / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return path


def _machine(postgresql: str) -> str:
    parts = [
        f"{os.cpu_count()} cores",
        _processor(),
        platform.machine(),
        f"Python {platform.python_version()}",
    ]
    if postgresql:
        parts.append(f"PostgreSQL {postgresql}")
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    """The processor's name, where the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    """The commit measured; "+" after it when the tree had changes of its own."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    return told.stdout.strip()
