"""A port of six invented members on the morning of an attack: ``python -m crc.demo [--once]``.

Starts the whole hub on its embedded default in a folder of its own and plays the main job on it
over real HTTP and SMTP: a form, a TAXII client, a firewall's list, a webhook receiver, a mail sink.
Every step is checked; one that does not hold makes the exit status 1.
"""

import argparse
import fcntl
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Final

import django

from crc.demo import morning
from crc.demo.actors import HookSink, MailSink
from crc.demo.cast import DESK, MEMBERS, Cast, seed
from crc.demo.step import StepFailed, say
from crc.supervisor import die_with_parent

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FOLDER: Final = ROOT / "var" / "demo"
DEFAULT_PORT: Final = 8000
# The runner's own limits for its parts, one after the other, and some more.
STOP_SECONDS: Final = 45.0
INTERRUPTED: Final = 130


class CannotStart(RuntimeError):
    """The demo cannot run so; the message says what to change."""


def locked(folder: Path) -> IO[str]:
    """The open lock of the demo's folder: one demo at a time. Raises CannotStart."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (folder / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip()
        lock.close()
        raise CannotStart(
            f"A demo is already running from {folder} (process {owner}). Stop it first."
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def fresh(data_dir: Path) -> None:
    """No state of an earlier demo. Raises CannotStart."""
    try:
        if data_dir.exists():
            shutil.rmtree(data_dir)
    except OSError as error:
        raise CannotStart(
            f"{error.filename} of an earlier demo cannot be removed: {error.strerror}"
        ) from None


def configure(data_dir: Path, mails: MailSink) -> None:
    """The hub's settings, here and for the processes to come; none from the operator's shell."""
    for name in [*os.environ]:  # they might name a real hub's data
        if name.startswith(("CRC_", "DATABASE_URL", "REDIS_URL")):
            del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "crc.settings",
        "CRC_DATA_DIR": str(data_dir),
        "CRC_SMTP_URL": f"smtp://127.0.0.1:{mails.port}",
        "CRC_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.1/32",
        "CRC_LOG_LEVEL": "WARNING",
        "CRC_HUB_NAME": "Demo Port Cyber Resilience Hub",
        "no_proxy": "127.0.0.1",  # taxii2-client asks the proxy of the shell even for this machine
    }


def usable(port: int, *, once: bool) -> int:
    """The port to ask for: with ``once``, a busy default gives way to any free one (0)."""
    if not (once and port == DEFAULT_PORT):
        return port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def start_hub(port: int, lock: IO[str]) -> "subprocess.Popen[str]":
    """The runner, as ``make run`` starts it.

    Call it while there is one thread. The runner inherits the lock: the folder stays taken until
    it is gone, too.
    """
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "crc.runner", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(lock.fileno(),),
        preexec_fn=functools.partial(die_with_parent, os.getpid()),
    )


def address(hub: "subprocess.Popen[str]") -> str:
    """The hub's address, once it says that it is ready. Raises CannotStart with the hub gone."""
    assert hub.stdout is not None  # noqa: S101 - for the type checker
    for line in hub.stdout:
        word, _, base = line.strip().partition(" ")
        if word == "ready":
            # What it says from now on is for an operator; unread, it would fill the pipe.
            threading.Thread(target=hub.stdout.read, daemon=True).start()
            return base
        say(line.rstrip())
    raise CannotStart("The hub did not start; the lines above say why.")


def stop_hub(hub: "subprocess.Popen[str]") -> None:
    """Ask, wait, insist."""
    on_signals(signal.SIG_IGN)
    hub.terminate()
    try:
        hub.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        say("The hub does not stop; ending it.")
        hub.kill()
        hub.wait()


def on_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """What Ctrl-C and SIGTERM do from now on."""
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Signal handler: the first ends the story, later ones do not cut the orderly stop short."""
    on_signals(signal.SIG_IGN)
    raise KeyboardInterrupt


def run(port: int, *, once: bool) -> None:
    """The demo, on a hub that is stopped in the end. Raises CannotStart, StepFailed."""
    data_dir = FOLDER / "hub"
    with locked(FOLDER) as lock:
        fresh(data_dir)
        mails, hooks = MailSink(data_dir / "mails"), HookSink()
        configure(data_dir, mails)
        hub = start_hub(usable(port, once=once), lock)
        try:
            mails.start()
            hooks.start()
            cast = prepare(address(hub), mails, hooks)
            times = morning.play(cast)
            say("\nEvery step held. " + json.dumps({k: round(v) for k, v in times.items()}))
            if not once:
                keep_serving(cast, hub)
        finally:
            stop_hub(hub)
            hooks.stop()
            mails.stop()


def prepare(base: str, mails: MailSink, hooks: HookSink) -> Cast:
    """Everybody in place. Raises StepFailed."""
    os.environ["CRC_BASE_URL"] = base
    django.setup()
    started = time.monotonic()
    cast = seed(base, mails, hooks)
    say(
        f"The hub runs at {base} with six members ({time.monotonic() - started:.1f} s to seed)."
        " It is the morning of 4 July 2023.\n"
    )
    return cast


def keep_serving(cast: Cast, hub: "subprocess.Popen[str]") -> None:
    """Until Ctrl-C. Raises StepFailed when the hub stops by itself."""
    say(f"\nStill serving at {cast.base}. Log in with the password {cast.password} as")
    for member in MEMBERS:
        say(f"  {member.email}  ({member.name})")
    say(f"  {DESK}  (the desk)")
    say(f"No mail leaves this machine; each is a file in {_shown(cast.mails.folder)}/.")
    say("The operator's commands for this hub name its folder:")
    say(f"  CRC_DATA_DIR={_shown(FOLDER / 'hub')} .venv/bin/python manage.py list_members")
    say("Stop with Ctrl-C.")
    try:
        hub.wait()
    except KeyboardInterrupt:
        say("Stopping.")
    else:
        raise StepFailed("the hub stopped by itself")


def _shown(path: Path) -> Path:
    """As it is typed in the folder of the hub's code."""
    return path.relative_to(ROOT)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every step held, 1 when one did not or nothing could start, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="crc.demo")
    parser.add_argument("--once", action="store_true", help="exit when the story is told")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one")
    options = parser.parse_args(arguments)
    on_signals(interrupt)
    try:
        run(options.port, once=options.once)
    except CannotStart as problem:
        say(str(problem))
        return 1
    except StepFailed as failure:
        say(f"\nDoes not hold: {failure}")
        return 1
    except KeyboardInterrupt:
        say("\nStopped before the end.")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
