"""The one-command hub: starts, restarts what dies, stops in order, leaves nobody behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hub import ROOT, running_hub

pytestmark = pytest.mark.slow


def gone(processes: list[int], seconds: float = 15) -> bool:
    """Whether all of these end in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        alive = [
            pid
            for pid in processes
            if Path(f"/proc/{pid}").exists()
            and "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text()
        ]
        if not alive:
            return True
        time.sleep(0.1)
    return False


def test_it_starts_restarts_and_stops_without_orphans() -> None:
    with running_hub() as hub:
        processes = hub.processes()
        assert len(processes) >= 4  # runner, broker, web, worker
        assert (hub.data_dir.stat().st_mode & 0o777) == 0o700
        assert (hub.data_dir / "secrets" / "secret_key").stat().st_mode & 0o777 == 0o600

        second = subprocess.run(
            [sys.executable, "-m", "crc.runner", "--port", "0"],
            cwd=ROOT,
            env=hub.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert "already running" in second.stdout

        web = next(pid for pid in processes if b"uvicorn" in _command(pid))
        os.kill(web, signal.SIGKILL)
        until = time.monotonic() + 20
        while time.monotonic() < until and not any(
            b"uvicorn" in _command(pid) for pid in hub.processes() if pid != web
        ):
            time.sleep(0.1)
        processes = hub.processes()
        assert any(b"uvicorn" in _command(pid) for pid in processes)
        hub.runner.send_signal(signal.SIGTERM)
        assert hub.runner.wait(20) == 0
        assert gone(processes)


def test_kill_9_of_the_runner_takes_everything_with_it() -> None:
    with running_hub() as hub:
        processes = hub.processes()
        hub.runner.kill()
        hub.runner.wait()
        assert gone(processes)


def test_a_port_in_use_is_said_at_once(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = subprocess.run(
            [sys.executable, "-m", "crc.runner", "--port", str(taken.getsockname()[1])],
            cwd=ROOT,
            env={**os.environ, "CRC_DATA_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "cannot be used" in done.stdout


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
