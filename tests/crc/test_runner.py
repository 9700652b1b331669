"""The one-command hub: starts, restarts what dies, stops in order, leaves nobody behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crc import broker, runner, supervisor
from tests.hub import ROOT, running_hub
from tests.patience import PATIENCE

SLEEPS = "import time; time.sleep(600)"
# Starts a child of its own, as the worker starts beat, and writes down both.
BREEDS = """
import os, subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


def gone(processes: list[int], seconds: float = PATIENCE) -> bool:
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


def python(name: str, code: str, *arguments: object) -> supervisor.Child:
    """A part of the hub that only does ``code``."""
    return supervisor.Child(name, [sys.executable, "-c", code, *map(str, arguments)])


def content(path: Path, seconds: float = PATIENCE) -> str:
    """What a child writes to ``path``, awaited."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.02)
    raise AssertionError(f"{path} was never written")


def test_what_dies_comes_back_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(supervisor, "say", said.append)
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_WAIT", 0.04)
    hub = supervisor.Supervisor()
    hub.run(python("part", "raise SystemExit(3)"))
    with pytest.raises(supervisor.CannotStart, match="part stopped 5 times in a row right after"):
        hub.watch()
    waits = [line.rpartition("again in ")[2] for line in said]
    assert waits == ["0.01 s", "0.02 s", "0.04 s", "0.04 s"]
    assert "status 3" in said[0]


def test_a_part_that_ran_a_while_gets_a_fresh_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SETTLED_AFTER", 0)
    child = python("part", "")
    child.start()
    child.failures, child.soon, child.started = 7, 4, time.monotonic() - supervisor.SOON
    assert child.process
    child.process.wait()
    child.watch()
    assert (child.failures, child.soon) == (1, 0)
    assert child.process is None or child.process.poll() is None


def test_what_a_dead_part_had_started_goes_before_it_comes_back(tmp_path: Path) -> None:
    child = python("worker", BREEDS, tmp_path / "pids")
    child.start()
    parent, grandchild = map(int, content(tmp_path / "pids").split())
    os.kill(parent, signal.SIGKILL)
    assert child.process
    child.process.wait()
    assert not gone([grandchild], 0.3)
    child.watch()
    assert gone([grandchild])


def test_parts_stop_in_reverse_order_and_a_deaf_one_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.5)
    notes = tmp_path / "notes"
    obeys = """
import signal, sys, time
from pathlib import Path
def stop(*_):
    with Path(sys.argv[1]).open("a") as notes: notes.write(sys.argv[2])
    sys.exit()
signal.signal(signal.SIGTERM, stop)
Path(sys.argv[3]).write_text("ready")
time.sleep(600)
"""
    deaf = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(sys.argv[1]).write_text("ready")
time.sleep(600)
"""
    hub = supervisor.Supervisor()
    hub.run(python("broker", obeys, notes, "broker ", tmp_path / "a"))
    hub.run(python("web", obeys, notes, "web ", tmp_path / "b"))
    hub.run(python("worker", deaf, tmp_path / "c"))
    for name in "abc":
        content(tmp_path / name)
    hub.stop()
    assert notes.read_text() == "web broker "
    codes = [child.process.returncode for child in hub.children if child.process]
    assert codes == [0, 0, -signal.SIGKILL]
    hub.stop()  # again: harmless


def test_kill_9_of_a_supervisor_takes_its_parts_with_it(tmp_path: Path) -> None:
    supervisor = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from crc import supervisor; hub = supervisor.Supervisor()\n"
            f"hub.run(supervisor.Child('part', [sys.executable, '-c', {SLEEPS!r}]))\n"
            "print(hub.children[0].process.pid, flush=True); hub.watch()",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout
    part = int(supervisor.stdout.readline())
    assert not gone([part], 0.3)
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    assert gone([part])


def test_one_runner_for_one_folder(tmp_path: Path) -> None:
    lock = runner.locked(tmp_path)
    with pytest.raises(
        supervisor.CannotStart, match=rf"already running .* \(process {os.getpid()}\)"
    ):
        runner.locked(tmp_path)
    lock.close()
    runner.locked(tmp_path).close()


def test_the_next_runner_waits_for_the_broker_of_one_that_was_killed(tmp_path: Path) -> None:
    lock = runner.locked(tmp_path)
    old = supervisor.Child(
        "broker", [sys.executable, "-c", "import time; time.sleep(1)"], (lock.fileno(),)
    )
    old.start()
    (tmp_path / "run" / "lock").write_text("999999999\n")  # nobody: process ids end before
    lock.close()
    before = time.monotonic()
    runner.locked(tmp_path).close()
    assert time.monotonic() - before > 0.3
    assert old.process
    assert old.process.wait(5) == 0


def test_a_free_port_is_found_for_0() -> None:
    assert runner._free_port("127.0.0.1", 0) > 0


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [("127.0.0.1", 70000, "not a port"), ("no-such-host.invalid", 8000, "cannot be used")],
)
def test_an_address_that_cannot_be_is_said(host: str, port: int, said: str) -> None:
    with pytest.raises(supervisor.CannotStart, match=said):
        runner._free_port(host, port)


def test_the_address_that_is_said_is_one_to_go_to() -> None:
    assert runner._address("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert runner._address("::", 80) == "http://[::1]:80"


def test_a_named_broker_that_is_down_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(broker.wait_ready, "__kwdefaults__", {"timeout": 0.1})
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path}/none.sock")
    with pytest.raises(supervisor.CannotStart, match="REDIS_URL is set, but"):
        runner._start_broker(supervisor.Supervisor(), tmp_path)


@pytest.mark.slow
@pytest.mark.embedded
def test_it_starts_restarts_and_stops_without_orphans() -> None:
    with running_hub() as hub:
        processes = hub.processes()
        assert len(processes) >= 6  # runner, broker, web, worker, sender, beat
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
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not any(
            b"uvicorn" in _command(pid) for pid in hub.processes() if pid != web
        ):
            time.sleep(0.1)
        processes = hub.processes()
        assert any(b"uvicorn" in _command(pid) for pid in processes)

        # Beat is a part of its own: nobody would start it again inside a worker.
        beat = next(pid for pid in processes if b"\0beat\0" in _command(pid))
        os.kill(beat, signal.SIGKILL)
        assert gone([beat])
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not any(
            b"\0beat\0" in _command(pid) for pid in hub.processes()
        ):
            time.sleep(0.1)
        assert any(b"\0beat\0" in _command(pid) for pid in hub.processes())
        processes = hub.processes()
        hub.runner.send_signal(signal.SIGINT)
        hub.runner.send_signal(signal.SIGINT)  # an impatient operator
        assert hub.runner.wait(20) == 0
        assert gone(processes)


@pytest.mark.slow
@pytest.mark.embedded
def test_kill_9_of_the_runner_takes_everything_with_it() -> None:
    with running_hub() as hub:
        processes = hub.processes()
        hub.runner.kill()
        hub.runner.wait()
        again = subprocess.Popen(  # at once, while the old parts may still be stopping
            [sys.executable, "-m", "crc.runner", "--port", "0", "--no-worker"],
            cwd=ROOT,
            env=hub.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert again.stdout
        with again.stdout:
            lines = iter(again.stdout.readline, "")
            assert any(line.startswith("ready http://127.0.0.1:") for line in lines)
            again.terminate()
            assert again.wait(20) == 0
        assert gone(processes)


@pytest.mark.slow
def test_a_stop_while_it_starts_is_a_stop(tmp_path: Path) -> None:
    starting = subprocess.Popen(
        [sys.executable, "-m", "crc.runner", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "CRC_DATA_DIR": str(tmp_path), "REDIS_URL": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    content(tmp_path / "run" / "lock")
    starting.terminate()
    out, _ = starting.communicate(timeout=30)
    assert starting.returncode == 0
    assert not any(line.startswith("ready") for line in out.splitlines())


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
    assert "make run PORT=" in done.stdout


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
