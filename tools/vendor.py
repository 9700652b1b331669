"""Fetch the front-end files we ship, check them against vendor.json, copy them into static/vendor.

Run by a developer who changes a version; users never need node. ``python tools/vendor.py``
"""

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "crc" / "static" / "vendor"


def fetch(entry: dict[str, object], folder: Path) -> None:
    """One package: npm checks the download, we check that it is the one we pinned."""
    name, version = str(entry["name"]), str(entry["version"])
    packed = subprocess.run(
        ["npm", "pack", "--json", f"{name}@{version}"], cwd=folder, check=True, capture_output=True
    )
    told = json.loads(packed.stdout)[0]
    if told["integrity"] != entry["integrity"]:
        sys.exit(f"{name} {version} is not the file that vendor.json pins")
    target = VENDOR / name
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / told["filename"]) as archive:
        for wanted in (*entry["files"], "LICENSE"):  # type: ignore[misc]
            content = archive.extractfile(f"package/{wanted}")
            assert content is not None
            (target / Path(wanted).name).write_bytes(content.read())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for package in json.loads((VENDOR / "vendor.json").read_text()):
            fetch(package, Path(temporary))
