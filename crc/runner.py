"""The one-command hub: broker, migrations, web with TAXII, worker, beat; nothing orphaned.

``python -m crc.runner [--data-dir D] [--host H] [--port N] [--no-worker]``. State lives in
CRC_DATA_DIR (``var/`` by default). Prints ``ready http://HOST:PORT`` when the pages answer.
"""

import argparse
import fcntl
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, Final

from crc import broker, env
from crc.supervisor import ROOT, STOP_SECONDS, CannotStart, Child, Supervisor, apart, say

# A slow machine is no broken one: said again and again, given up after ten times as long.
READY_SECONDS: Final = 30.0
# Said once, by ``start``; Celery would say it in seven lines at every start of every worker.
_AS_ROOT: Final = "ignore:You're running the worker with superuser privileges"
_CELERY: Final = [
    *(sys.executable, "-W", _AS_ROOT, "-m", "celery", "-A", "crc.celery:app", "--quiet"),
]
_WORKER: Final = [
    *_CELERY,
    "worker",
    "-P",
    "threads",
    "--loglevel",
    "WARNING",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
]


def locked(data_dir: Path) -> IO[str]:
    """One runner for one data folder: the open lock, held as long as this process lives.

    The broker inherits it: after a kill -9 of the runner the next one waits here until the old
    broker is gone, which would else remove the new one's socket. Raises CannotStart.
    """
    run = data_dir / "run"
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (run / "lock").open("a+")
    until = time.monotonic() + STOP_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            if _alive(owner) or time.monotonic() > until:
                lock.close()
                raise CannotStart(
                    f"The hub is already running from {data_dir} (process {owner})"
                ) from None
            time.sleep(0.05)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _free_port(host: str, port: int) -> int:
    """``port`` if it can be listened on, a free one for 0. Raises CannotStart."""
    if not 0 <= port < 65536:  # getaddrinfo would wrap it around without a word
        raise CannotStart(f"--port {port} is not a port; they end at 65535")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            found: int = probe.getsockname()[1]
            return found
    except OSError as error:
        raise CannotStart(
            f"{host}:{port} cannot be used: {error.strerror}. "
            "Choose another with --port, as make run PORT=8001 does"
        ) from None


def _reachable(host: str) -> str:
    """The host by which this machine reaches what listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here


def _manage(*words: str) -> bytes:
    """What a command of ours prints. Raises CannotStart."""
    done = subprocess.run(  # noqa: S603 - our own commands
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        **apart(),
    )
    if done.returncode:
        raise CannotStart(f"manage.py {words[0]} failed; the lines above say why")
    printed: bytes = done.stdout
    return printed


def _start_broker(hub: Supervisor, data_dir: Path, keeps: tuple[int, ...] = ()) -> None:
    url = env.secret("REDIS_URL")
    if url:
        try:
            broker.wait_ready(url)
        except broker.BrokerMissing as problem:
            raise CannotStart(f"REDIS_URL is set, but: {problem}") from None
        return
    hub.run(Child("broker", broker.command(broker.find_binary(), data_dir), keeps))
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
            "--http",
            "crc.wire:Protocol",
            "--host",
            host,
            "--port",
            str(port),
            "--workers",
            "1",
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


def worker() -> Child:
    """Triages and sweeps."""
    return Child("worker", [*_WORKER, "-Q", "celery", "-c", "8"])


def beat(data_dir: Path) -> Child:
    """Keeps the clock. Inside a worker nobody would start it again when it dies alone."""
    schedule = str(data_dir / "run" / "beat")
    return Child("beat", [*_CELERY, "beat", "-s", schedule, "--pidfile=", "--loglevel", "WARNING"])


def senders() -> list[Child]:
    """Send warnings: a thread for each channel, which may wait for the world outside.

    Several, as one process can keep one processor busy and no more.
    """
    count = env.number("CRC_SENDERS", 2, at_least=1)
    return [
        Child(f"sender {n}", [*_WORKER, "-n", f"sender-{n}@%h", "-Q", "deliver", "-c", "16"])
        for n in range(1, count + 1)
    ]


def _answers(host: str, port: int) -> bool:
    connection = HTTPConnection(_reachable(host), port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _wait_for_web(hub: Supervisor, host: str, port: int) -> None:
    begun = said = time.monotonic()
    while not hub.stopping and not _answers(host, port):
        for child in hub.children:
            child.watch()
        now = time.monotonic()
        if now - begun > 10 * READY_SECONDS:
            raise CannotStart("The web process does not answer; the lines above say why")
        if now - said > READY_SECONDS:
            say(f"The web process does not answer yet, after {now - begun:.0f} s; waiting on")
            said = now
        time.sleep(0.05)


def start(hub: Supervisor, parts: Sequence[Child], host: str, port: int) -> None:
    """Everything after the broker, in order; less when asked to stop. Raises CannotStart."""
    made = b""
    for words in (("migrate", "--noinput", "-v", "0"), ("bootstrap", "--json")):
        if not hub.stopping:
            made = _manage(*words)
    for part in parts:
        if not hub.stopping:
            hub.run(part)
    _wait_for_web(hub, host, port)
    if hub.stopping:
        return
    say(f"ready {_address(host, port)}")
    say("Log in at that address with e-mail and password.")
    if not json.loads(made)["desk_people"]:
        say("Nobody can log in yet. In another terminal, make the first account of the desk:")
        say(f"  {_command('add_user', 'you@port.example', '--member desk --role desk-admin')}")
    if os.geteuid() == 0:
        say("It runs as root. Give it a user of its own before others can reach it.")
    say("Stop with Ctrl-C.")


def _command(*words: str) -> str:
    """One of the operator's commands as it is typed for this hub."""
    data_dir = os.environ["CRC_DATA_DIR"]
    here = [] if data_dir == str(ROOT / "var") else [f"CRC_DATA_DIR={shlex.quote(data_dir)}"]
    return " ".join([*here, shlex.quote(sys.executable), "manage.py", *words])


def _address(host: str, port: int) -> str:
    name = _reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _prepare(folder: str) -> Path:
    """The data folder, the owner's alone. Raises CannotStart."""
    data_dir = Path(folder).resolve()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        data_dir.chmod(0o700)
    except OSError as error:
        raise CannotStart(f"{data_dir} cannot hold the hub's data: {error.strerror}") from None
    return data_dir


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stopped; 0 after an orderly stop, 1 when it cannot run."""
    parser = argparse.ArgumentParser(prog="crc.runner", description="Run the whole hub.")
    parser.add_argument("--data-dir", default=env.text("CRC_DATA_DIR", str(ROOT / "var")))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--no-worker", action="store_true", help="workers run elsewhere")
    options = parser.parse_args(arguments)
    hub = Supervisor()
    # These stay until the end, so that a second Ctrl-C does not cut the orderly stop short.
    signal.signal(signal.SIGTERM, hub.request_stop)
    signal.signal(signal.SIGINT, hub.request_stop)
    try:
        data_dir = _prepare(options.data_dir)
        lock = locked(data_dir)
        port = _free_port(options.host, options.port)
        os.environ["CRC_DATA_DIR"] = str(data_dir)
        os.environ.setdefault("CRC_BASE_URL", _address(options.host, port))
        _start_broker(hub, data_dir, (lock.fileno(),))
        parts = [web(options.host, port)]
        if not options.no_worker:
            parts += [worker(), *senders(), beat(data_dir)]
        start(hub, parts, options.host, port)
        hub.watch()
    except (CannotStart, broker.BrokerMissing, env.BadSetting) as problem:
        say(str(problem))
        return 1
    finally:
        hub.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
