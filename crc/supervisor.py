"""The hub's parts as processes: started, restarted with back-off, stopped in order, no orphan."""

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 30.0
SETTLED_AFTER: Final = 60.0
STOP_SECONDS: Final = 10.0
# A part that dies this soon, this often in a row, will not get better by itself.
SOON: Final = 3.0
GIVE_UP_AFTER: Final = 5
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class CannotStart(RuntimeError):
    """The hub cannot run so; the message says what to change."""


def say(text: str) -> None:
    """One line for the operator; that nobody listens any more must not stop an orderly stop."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def die_with_parent(runner: int) -> None:
    """In the child: the kernel ends it when the runner is gone, even by kill -9.

    The runner has one thread: with more, the signal would come when the thread that started the
    child ends, and code between fork and exec could hang on a lock.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != runner:  # it went before the line above
            os._exit(1)


def apart() -> dict[str, Any]:
    """How a child starts: in a session of its own (Ctrl-C is the runner's), tied to its life."""
    return {
        "start_new_session": True,
        "preexec_fn": functools.partial(die_with_parent, os.getpid()),
    }


@dataclass
class Child:
    """One part of the hub as a process of its own."""

    name: str
    command: Sequence[str]
    keeps: tuple[int, ...] = ()  # open files that it inherits
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    failures: int = 0
    soon: int = 0
    again_at: float = 0.0

    def start(self) -> None:
        """Start it; on a restart, too."""
        self.process = subprocess.Popen(  # noqa: S603 - our own commands
            self.command, cwd=ROOT, pass_fds=self.keeps, **apart()
        )
        self.started = time.monotonic()

    def watch(self) -> None:
        """Restart it when it is due. Raises CannotStart when it dies at every start."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.again_at:
                self.start()
            return
        if self.process.poll() is None:
            return
        self._signal(signal.SIGKILL)  # what it started itself
        lived = now - self.started
        self.failures = 1 if lived > SETTLED_AFTER else self.failures + 1
        self.soon = self.soon + 1 if lived < SOON else 0
        if self.soon >= GIVE_UP_AFTER:
            raise CannotStart(
                f"{self.name} stopped {self.soon} times in a row right after its start; the lines "
                "above say why"
            )
        wait = min(FIRST_WAIT * 2 ** (self.failures - 1), LONGEST_WAIT)
        say(
            f"{self.name} stopped (status {self.process.returncode}); starting it again in "
            f"{wait:g} s"
        )
        self.process, self.again_at = None, now + wait

    def stop(self) -> None:
        """Ask, wait, insist: the whole process group, so that its children go too."""
        if self.process is None:
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
