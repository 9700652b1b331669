"""A whole running hub for tests that need real processes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "harbour-lantern-42"


@dataclass
class RunningHub:
    """Where it is, and its runner."""

    base: str
    data_dir: Path
    runner: "subprocess.Popen[str]"
    environment: dict[str, str]

    def manage(self, *words: str, stdin: str = "") -> str:
        """One of the operator's commands."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def processes(self) -> list[int]:
        """Every process that works on this hub's data folder, the runner included.

        The broker writes its title over its environment; it is known by its parent.
        """
        marker = f"CRC_DATA_DIR={self.data_dir}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    parent = f"PPid:\t{self.runner.pid}\n" in (entry / "status").read_text()
                    if parent or marker in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running_hub(**settings: str) -> Iterator[RunningHub]:
    """The embedded default in a folder of its own, unless ``settings`` say otherwise."""
    port = free_port()
    data_dir = Path(tempfile.mkdtemp(prefix="crc-hub-"))
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
    }
    environment |= {
        "CRC_DATA_DIR": str(data_dir),
        "CRC_BASE_URL": f"http://127.0.0.1:{port}",
        "CRC_LOG_LEVEL": "ERROR",
        "CRC_SMTP_URL": f"smtp://127.0.0.1:{free_port()}",
        **settings,
    }
    runner = subprocess.Popen(
        [sys.executable, "-m", "crc.runner", "--port", str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdout
    lines = []
    for line in runner.stdout:
        lines.append(line)
        if line.startswith("ready"):
            break
    else:
        raise AssertionError("".join(lines))
    hub = RunningHub(f"http://127.0.0.1:{port}", data_dir, runner, environment)
    try:
        yield hub
    finally:
        if runner.poll() is None:
            runner.send_signal(signal.SIGTERM)
        runner.wait(30)
        runner.stdout.close()


def people(hub: RunningHub) -> None:
    """Two members and the desk, each with a user."""
    for slug, name, role in (
        ("north", "North Quay Terminal", "terminal"),
        ("rail", "Harbour Railway", "railway"),
    ):
        hub.manage("add_member", name, "--slug", slug, "--role", role)
        hub.manage(
            "add_user",
            f"duty@{slug}.example",
            "--member",
            slug,
            "--password-stdin",
            stdin=f"{PASSWORD}\n",
        )
    hub.manage(
        "add_user",
        "desk@hub.example",
        "--member",
        "desk",
        "--role",
        "desk-admin",
        "--password-stdin",
        stdin=f"{PASSWORD}\n",
    )
