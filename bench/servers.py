"""The servers under measurement: each on a free port, started and stopped by a context manager.

Each is the head of a process group of its own, which goes as a whole; the kernel ends the head
should the bench itself be killed.
"""

import contextlib
import ctypes
import functools
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.record import ROOT
from crc import broker

WORKERS: Final = 2
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


class DidNotStart(RuntimeError):
    """A server is not there; the message holds the end of its log."""


@dataclass(frozen=True)
class Site:
    """A server that answers: what to send it, and its process."""

    name: str
    port: int
    pid: int
    headers: dict[str, str] = field(default_factory=dict)


def environment(**more: str) -> dict[str, str]:
    """This process's environment without the settings of some other hub, and some more."""
    foreign = ("CRC_", "DATABASE_URL", "REDIS_URL", "OPENTAXII_", "DJANGO_")
    return {k: v for k, v in os.environ.items() if not k.startswith(foreign)} | more


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def process(
    command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A command that runs until we leave, with its whole group."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=functools.partial(end_with, os.getpid()),
        )
    try:
        yield running
    finally:
        _stop(running)


def end_with(bench: int) -> None:
    """In the new process: the kernel stops it when the bench is gone, even by kill -9."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != bench:
            os._exit(1)


def _stop(running: "subprocess.Popen[bytes]") -> None:
    """Ask the head, wait, and end whatever is left of its group."""
    running.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def end(pids: Sequence[int], number: signal.Signals = signal.SIGKILL) -> None:
    """A signal to all of these at once; those that are gone are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def web(
    name: str,
    command: Sequence[str],
    port: int,
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    told: dict[str, str] | None = None,
) -> Iterator[Site]:
    """A web server once it answers. Raises DidNotStart."""
    with process(command, log, env=env) as running:
        until = time.monotonic() + START_SECONDS
        while not _answers(port):
            if running.poll() is not None or time.monotonic() > until:
                raise DidNotStart(f"{name} did not start: {log.read_text()[-800:]}")
            time.sleep(0.1)
        yield Site(name, port, running.pid, told or {})


def _answers(port: int) -> bool:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        client.request("GET", "/")
        client.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()
    return True


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A broker of our own; its address."""
    place = broker.socket_path(folder).parent
    url = broker.embedded_url(folder)
    try:
        with process(broker.command(broker.find_binary(), folder), folder / "broker.log"):
            broker.wait_ready(url)
            yield url
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def hub(folder: Path, env: Mapping[str, str], key: str) -> Iterator[Site]:
    """This hub under granian, two processes of one thread each."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", str(WORKERS)),
        *("--blocking-threads", "1", "--host", "127.0.0.1", "--port", str(port), "--no-ws"),
        *("--log-level", "warning", "crc.wsgi:application"),
    ]
    told = {"Authorization": f"Bearer {key}"}
    with web("hub", command, port, folder / "granian.log", env=env, told=told) as site:
        yield site


@contextlib.contextmanager
def static(folder: Path, files: Mapping[str, bytes]) -> Iterator[Site]:
    """nginx with these files; those called .gz say that they are gzip."""
    port, root = free_port(), folder / "static"
    root.mkdir()
    for name, content in files.items():
        (root / name).write_bytes(content)
    conf = folder / "nginx.conf"
    temporary = "\n".join(
        f"  {kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf.write_text(f"""{"user root;" if os.getuid() == 0 else ""}
daemon off; worker_processes {WORKERS}; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
{temporary}
  sendfile on; tcp_nopush on; access_log off; keepalive_requests 1000000000;
  types {{ }} default_type "application/taxii+json;version=2.1";
  server {{
    listen 127.0.0.1:{port}; root {root};
    location ~ \\.gz$ {{ add_header Content-Encoding gzip; }}
  }}
}}
""")
    binary = shutil.which("nginx")
    assert binary
    command = [binary, "-e", "stderr", "-p", str(folder), "-c", str(conf)]
    with web("nginx", command, port, folder / "nginx.log") as site:
        yield site


def memory(site: Site) -> dict[str, float]:
    """The largest worker's memory in MB: its peak and present resident set, and its fair share."""
    workers = [pid for pid in children(site.pid) if _field(pid, "status", "VmRSS") > 0]
    return {
        "peak_rss": max(_field(pid, "status", "VmHWM") for pid in workers),
        "rss": max(_field(pid, "status", "VmRSS") for pid in workers),
        "pss": max(_field(pid, "smaps_rollup", "Pss") for pid in workers),
    }


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for listed in found for child in listed.read_text().split()]


def _field(pid: int, file: str, name: str) -> float:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return float(value.split()[0]) / 1024
    return 0.0
