"""What no linter checks: short functions, files of one subject, names that say something."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FUNCTION = 50
LONGEST_FILE = 420
EMPTY_WORDS = {"utils", "util", "helpers", "common", "services", "misc"}


def sources() -> Iterator[Path]:
    """Our own code."""
    for package in ("crc", "sharing", "alerts"):
        for path in (ROOT / package).rglob("*.py"):
            if "migrations" not in path.parts:
                yield path


def test_no_function_is_longer_than_fifty_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def test_no_file_holds_more_than_one_subject() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in sources()}
    assert len(lengths) > 80
    assert [path for path, lines in lengths.items() if lines > LONGEST_FILE] == []


def test_no_module_is_named_for_nothing() -> None:
    assert [path for path in sources() if EMPTY_WORDS & {*path.parts, path.stem}] == []
