"""The one-command hub: broker, migrations, web with TAXII, worker with beat; nothing orphaned.

``python -m crc.runner [--host H] [--port N]``. State lives in CRC_DATA_DIR (``var/`` by default).
"""

import argparse
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from types import FrameType
from typing import IO, Final

from crc import broker, env

ROOT: Final = Path(__file__).resolve().parent.parent
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 30.0
SETTLED_AFTER: Final = 60.0
STOP_SECONDS: Final = 10.0
# A part that dies this often without ever settling will not get better by itself.
GIVE_UP_AFTER: Final = 6
READY_SECONDS: Final = 30.0
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class CannotStart(RuntimeError):
    """The hub cannot run so; the message says what to change."""


def say(text: str) -> None:
    """One line for the operator."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _die_with_parent() -> None:
    """In the child: the kernel ends it when the runner is gone, even by kill -9."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Child:
    """One part of the hub as a process of its own."""

    name: str
    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    failures: int = 0
    again_at: float = 0.0

    def start(self) -> None:
        """In a session of its own: Ctrl-C goes to the runner, which stops things in order."""
        self.process = subprocess.Popen(  # noqa: S603 - our own commands
            self.command, cwd=ROOT, start_new_session=True, preexec_fn=_die_with_parent
        )
        self.started = time.monotonic()

    def watch(self) -> None:
        """Restart it when it is due. Raises CannotStart when it never settles."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.again_at:
                self.start()
            return
        if self.process.poll() is None:
            if now - self.started > SETTLED_AFTER:
                self.failures = 0
            return
        self.failures += 1
        if self.failures >= GIVE_UP_AFTER:
            raise CannotStart(
                f"{self.name} stopped {self.failures} times in a row; the lines above say why"
            )
        wait = min(FIRST_WAIT * 2 ** (self.failures - 1), LONGEST_WAIT)
        say(
            f"{self.name} stopped (status {self.process.returncode}); starting it again in "
            f"{wait:g} s"
        )
        self.process, self.again_at = None, now + wait

    def stop(self) -> None:
        """Ask, wait, insist: the whole process group, so that its children go too."""
        if self.process is None or self.process.poll() is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"{self.name} does not stop; ending it")
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None  # noqa: S101 - for the type checker
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return


@dataclass
class Supervisor:
    """Children in the order they start; they stop in the reverse one."""

    children: list[Child] = field(default_factory=list)
    stopping: bool = False

    def request_stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Signal handler: the loop ends at its next turn."""
        self.stopping = True

    def run(self, child: Child) -> None:
        """Start a part and keep it."""
        child.start()
        self.children.append(child)

    def watch(self) -> None:
        """Keep everything running until asked to stop. Raises CannotStart."""
        while not self.stopping:
            for child in self.children:
                child.watch()
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop in reverse order of starting."""
        for child in reversed(self.children):
            child.stop()


def locked(data_dir: Path) -> IO[str]:
    """One runner for one data folder: the open lock, held as long as this process lives."""
    run = data_dir / "run"
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (run / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise CannotStart(
            f"The hub is already running from {data_dir} (process {lock.read().strip()})"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"{host}:{port} cannot be used: {error.strerror}. Choose another with --port"
            ) from None


def _manage(*words: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own commands
        [sys.executable, "manage.py", *words], cwd=ROOT, check=False
    )
    if done.returncode:
        raise CannotStart(f"manage.py {words[0]} failed; the lines above say why")


def _start_broker(hub: Supervisor, data_dir: Path) -> None:
    url = env.secret("REDIS_URL")
    if url:
        broker.wait_ready(url)
        return
    hub.run(Child("broker", broker.command(broker.find_binary(), data_dir)))
    broker.wait_ready(broker.embedded_url(data_dir))


def web(host: str, port: int) -> Child:
    """Pages, lists, live events and TAXII on one port."""
    return Child(
        "web",
        [
            sys.executable,
            "-m",
            "uvicorn",
            "crc.asgi:app",
            "--host",
            host,
            "--port",
            str(port),
            "--no-access-log",
            "--no-server-header",
            "--log-level",
            "warning",
            "--lifespan",
            "off",
            "--timeout-graceful-shutdown",
            "3",
        ],
    )


def worker(data_dir: Path) -> Child:
    """Sends warnings, and sweeps."""
    return Child(
        "worker",
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "crc.celery:app",
            "worker",
            "-P",
            "threads",
            "-c",
            "8",
            "-B",
            "-s",
            str(data_dir / "run" / "beat"),
            "--loglevel",
            "WARNING",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ],
    )


def _wait_for_web(hub: Supervisor, host: str, port: int) -> None:
    until = time.monotonic() + READY_SECONDS
    while not hub.stopping:
        for child in hub.children:
            child.watch()
        try:
            connection = HTTPConnection(host, port, timeout=2)
            connection.request("GET", "/health/ready", headers={"Host": "127.0.0.1"})
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
        if time.monotonic() > until:
            raise CannotStart("The web process does not answer; the lines above say why")


def start(hub: Supervisor, data_dir: Path, host: str, port: int) -> None:
    """Everything, in order. Raises CannotStart and BrokerMissing."""
    _check_port(host, port)
    _start_broker(hub, data_dir)
    _manage("migrate", "--noinput", "-v", "0")
    _manage("bootstrap", "--json")
    hub.run(web(host, port))
    hub.run(worker(data_dir))
    _wait_for_web(hub, host, port)
    say(f"ready http://{host}:{port}")
    say("Log in at that address with e-mail and password. The first account is made with:")
    say("  manage.py add_user YOU@EXAMPLE --member desk --role desk-admin --password-stdin")
    say("Stop with Ctrl-C.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stopped; 0 after an orderly stop, 1 when it cannot run."""
    parser = argparse.ArgumentParser(prog="crc.runner", description="Run the whole hub.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(arguments)
    data_dir = Path(env.text("CRC_DATA_DIR", str(ROOT / "var"))).resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    os.environ["CRC_DATA_DIR"] = str(data_dir)
    os.environ.setdefault("CRC_BASE_URL", f"http://{options.host}:{options.port}")
    hub = Supervisor()
    signal.signal(signal.SIGTERM, hub.request_stop)
    signal.signal(signal.SIGINT, hub.request_stop)
    try:
        lock = locked(data_dir)
        start(hub, data_dir, options.host, options.port)
        hub.watch()
        lock.close()
    except (CannotStart, broker.BrokerMissing, env.BadSetting) as problem:
        say(str(problem))
        return 1
    finally:
        hub.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
