"""A channel's due deliveries sent: many at once, few to any one host, recorded as they end.

Two threads. The caller's claims, renders and records, and is the only one to touch the database;
an event loop in the other sends. A host that does not answer rests, and what was claimed for it
goes back, so that the others lose nothing by it.
"""

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile
from types import TracebackType
from typing import Final

import uvloop
from django.utils import timezone

from alerts import folding, health, live, notices, outbox
from alerts.channels import CHANNELS
from alerts.channels.base import Channel, DeliveryError, Notice, Send
from alerts.models import Delivery
from alerts.outbox import Outcome
from crc.members.retold import kept

log = logging.getLogger(__name__)

# Outcomes are written together, this long after the first at the latest.
GATHER_SECONDS: Final = 0.05
# A host that did not answer rests so long, twice as long each time, up to the longest: others may
# have addresses there that would answer, and a warning of theirs is to be out within the minute.
FIRST_REST: Final = 5.0
LONGEST_REST: Final = 45.0
# And so many times longer its other addresses there, of the member whose address did not answer.
OTHERS_FIRST: Final = 4
# A host that takes longer than this for one send gets no more at once.
SLOW_SECONDS: Final = 1.0
# While much is sent, the desk's open pages look again so often.
SHOWN_EVERY_SECONDS: Final = 2.0

# While there is more to send than one process holds, the others are called so often.
CALL_EVERY_SECONDS: Final = 1.0

# With hosts that hang, a lane holds so many times what it holds of brisk ones.
MOST_HELD: Final = 8

_stopping = threading.Event()


def stop() -> None:
    """This process is about to end: claim no more, give back what is not begun."""
    _stopping.set()


@dataclass
class Host:
    """What one worker knows of one host: its queue, how many sends are open, how many may be.

    The width starts at one, doubles with each quick success and falls to one with each trouble.
    """

    most: int
    ahead: int
    waiting: "deque[tuple[Delivery, Notice, float]]" = field(default_factory=deque)
    open: int = 0
    width: int = 1
    troubles: int = 0
    rests_until: float = 0.0

    def went_well(self, seconds: float) -> None:
        """A send was taken."""
        self.troubles = 0
        self.width = min(self.width * 2, self.most) if seconds < SLOW_SECONDS else 1

    def did_not_answer(self) -> None:
        """A send got no answer."""
        if time.monotonic() < self.rests_until:
            return  # one of several that were open when it fell silent
        self.troubles += 1
        self.width = 1
        rest = min(FIRST_REST * 2 ** (self.troubles - 1), LONGEST_REST)
        self.rests_until = time.monotonic() + rest

    @property
    def resting(self) -> float:
        """Seconds of rest that are left; 0 when it may be called."""
        return max(0.0, self.rests_until - time.monotonic())

    @property
    def held_back(self) -> float:
        """Seconds that the others' turns take before that of whose address did not answer."""
        return min(OTHERS_FIRST * self.resting, LONGEST_REST)

    @property
    def allowance(self) -> int:
        """How many more may be claimed for it now: what it can take in a moment."""
        if self.resting:
            return 0
        return max(0, max(self.ahead, 4 * self.width) - len(self.waiting) - self.open)


class Sender:
    """The event loop's thread: notices in by ``put``, outcomes out by ``ended``.

    A host's queue and width belong to the loop; the caller only reads them, to claim less.
    """

    def __init__(self, channel: Channel, hosts: dict[str, Host]) -> None:
        self.hosts = hosts
        self._channel = channel
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._held = 0
        self._begun: dict[object, tuple[float, str]] = {}
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def __enter__(self) -> "Sender":
        self._thread.start()
        self._ready.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    @property
    def held(self) -> int:
        """How many notices it has that have not ended."""
        return self._held

    @property
    def brisk(self) -> int:
        """How many of these do not wait for a slow host, which must not take the others' places:
        neither with what is open there nor with what is queued behind it."""
        late = time.monotonic() - SLOW_SECONDS
        # The oldest come first. Copied in one step: the loop goes on changing it.
        begun = list(self._begun.values())
        slow = {key for _, key in takewhile(lambda one: one[0] < late, begun)}
        stuck = sum(self.hosts[key].open + len(self.hosts[key].waiting) for key in slow)
        return max(0, self._held - stuck)

    def put(self, ready: Sequence[tuple[Delivery, Notice]]) -> None:
        """Send these soon."""
        self._held += len(ready)
        self._loop.call_soon_threadsafe(self._take, ready)

    def give_back(self) -> None:
        """End what has not begun."""
        self._loop.call_soon_threadsafe(self._give_all_back)

    def ended(self) -> list[Outcome]:
        """What ended by now; waits for the first a moment, and gathers for a shorter one."""
        found: list[Outcome] = []
        until = time.monotonic() + 4 * GATHER_SECONDS
        while (left := until - time.monotonic()) > 0 and len(found) < self._channel.at_once:
            try:
                found.append(self._outcomes.get(timeout=left))
            except queue.Empty:
                break
            if len(found) == 1:
                until = time.monotonic() + GATHER_SECONDS
        if not found and not self._thread.is_alive():
            raise RuntimeError("the sender's thread is gone")
        self._held -= len(found)
        return found

    # --- in the loop's thread ---

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self._channel.open() as self._send, asyncio.TaskGroup() as self._tasks:
                self._ready.set_result(None)
                await self._over.wait()
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    _send: Send
    _tasks: asyncio.TaskGroup
    _loop: asyncio.AbstractEventLoop
    _over: asyncio.Event

    def _take(self, ready: Sequence[tuple[Delivery, Notice]]) -> None:
        now = time.monotonic()
        for delivery, notice in ready:
            host = self.hosts.setdefault(
                delivery.host, Host(self._channel.per_host, self._channel.ahead)
            )
            host.waiting.append((delivery, notice, now))
            self._widen(host)

    def _widen(self, host: Host) -> None:
        while host.open < host.width and len(host.waiting) and not host.resting:
            host.open += 1
            # The first is taken here: the others must not find a queue that is spoken for.
            self._tasks.create_task(self._work(host, host.waiting.popleft()))

    async def _work(self, host: Host, first: tuple[Delivery, Notice, float]) -> None:
        """Send one after the other for as long as the host may have this many open."""
        delivery, notice, since = first
        while True:
            if time.monotonic() - since > outbox.PATIENCE.total_seconds():
                self._outcomes.put(_back(delivery, 0.0))
            else:
                self._outcomes.put(await self._attempt(host, delivery, notice))
            if host.resting:
                self._empty(host, delivery.organisation_id)
            self._widen(host)
            if not host.waiting or host.open > host.width:
                host.open -= 1
                return
            delivery, notice, since = host.waiting.popleft()

    async def _attempt(self, host: Host, delivery: Delivery, notice: Notice) -> Outcome:
        begun = time.monotonic()
        self._begun[delivery.pk] = begun, delivery.host
        try:
            await self._send(notice)
        except DeliveryError as error:
            if error.host_down:
                host.did_not_answer()
            elif error.after:
                # Asked by one address, whose row waits. The others of the host are others' own: to
                # one of a member's making they must not lose a day.
                host.width = 1
            return _failed(delivery, error)
        except Exception as error:  # the outermost loop: one bad row must not stop the others
            log.exception("delivery %s crashed", delivery.pk)
            return _failed(
                delivery,
                DeliveryError(kept("fault in the hub: %(why)s") % {"why": type(error).__name__}),
            )
        finally:
            del self._begun[delivery.pk]
        took = time.monotonic() - begun
        host.went_well(took)
        return Outcome(delivery, Delivery.State.SENT, took_ms=round(took * 1000))

    def _empty(self, host: Host, silent: int = 0) -> None:
        for delivery, _, _ in host.waiting:
            rest = host.held_back if delivery.organisation_id == silent else host.resting
            self._outcomes.put(_back(delivery, rest))
        host.waiting.clear()

    def _give_all_back(self) -> None:
        for host in self.hosts.values():
            self._empty(host)


def _back(delivery: Delivery, seconds: float) -> Outcome:
    """Given back unsent; due again after ``seconds``."""
    return Outcome(
        delivery,
        Delivery.State.WAITING if seconds else Delivery.State.DUE,
        reason=delivery.reason,
        again_at=timezone.now() + timedelta(seconds=seconds),
        counts=False,
    )


def _failed(delivery: Delivery, error: DeliveryError) -> Outcome:
    wait = outbox.back_off(delivery.attempts + 1)
    if error.permanent or wait is None:
        return Outcome(delivery, Delivery.State.FAILED, error.reason, gone=error.gone)
    again_at = timezone.now() + max(wait, timedelta(seconds=error.after or 0))
    return Outcome(
        delivery,
        Delivery.State.WAITING,
        error.reason,
        again_at=again_at,
        host_down=error.host_down,
    )


# --- one channel at a time in one process --------------------------------------------------------


class _Lane:
    """Who drains a channel in this process, and whether the doorbell rang meanwhile."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted = threading.Event()
        self.hosts: dict[str, Host] = {}

    def forget(self) -> None:
        """Keep what the next call must know: the hosts in trouble."""
        self.hosts = {key: host for key, host in self.hosts.items() if host.troubles}


_lanes: dict[str, _Lane] = {}
_lanes_lock = threading.Lock()


def drain(name: str, *, call_others: Callable[[], object] = lambda: None) -> int:
    """Send what is due on one channel until nothing is; how many deliveries ended.

    A second call while one runs only tells the first to look again. With more to send than this
    process holds, ``call_others`` is called now and then: they claim what it has not.
    """
    with _lanes_lock:
        lane = _lanes.setdefault(name, _Lane())
    lane.wanted.set()
    ended = 0
    while lane.wanted.is_set() and lane.lock.acquire(blocking=False):
        try:
            with Sender(CHANNELS[name], lane.hosts) as sender:
                ended += _drain(name, sender, lane.wanted, call_others)
        finally:
            lane.forget()
            lane.lock.release()
    return ended


def _drain(
    name: str, sender: Sender, wanted: threading.Event, call_others: Callable[[], object]
) -> int:
    at_once, ended = CHANNELS[name].at_once, 0
    more, shown, called = True, time.monotonic(), -CALL_EVERY_SECONDS
    while more or sender.held or wanted.is_set():
        if _stopping.is_set():
            sender.give_back()
            more = False
            wanted.clear()
            if not sender.held:
                break
        # Claimed in halves, so that a few free places do not cost a claim each.
        elif sender.brisk <= at_once // 2 and sender.held < MOST_HELD * at_once:
            wanted.clear()
            room = at_once - sender.brisk
            more = (claimed := _claim(name, sender, room)) > 0
            if claimed == room and time.monotonic() - called > CALL_EVERY_SECONDS:
                call_others()
                called = time.monotonic()
        outcomes = sender.ended() if sender.held else []
        outbox.record(outcomes)
        _let_others_first(name, sender, outcomes)
        health.note(outcomes)
        ended += sum(done.counts for done in outcomes)
        more = more or bool(outcomes)
        if outcomes and time.monotonic() - shown > SHOWN_EVERY_SECONDS:
            live.tell_the_desk()
            shown = time.monotonic()
    if ended:
        live.tell_the_desk()
    return ended


def _let_others_first(name: str, sender: Sender, outcomes: Sequence[Outcome]) -> None:
    for host, organisation in {
        (done.delivery.host, done.delivery.organisation_id) for done in outcomes if done.host_down
    }:
        outbox.hold_back(name, host, organisation, sender.hosts[host].held_back)


def _claim(name: str, sender: Sender, room: int) -> int:
    """Claim some and hand them to the sender; how many were there to claim."""
    resting = [key for key, host in list(sender.hosts.items()) if not host.allowance]
    ahead = CHANNELS[name].ahead

    def allowance(key: str) -> int:
        host = sender.hosts.get(key)
        return host.allowance if host else ahead

    claimed = outbox.claim(name, room, avoiding=resting, allowance=allowance)
    prepared = notices.prepare(claimed) if claimed else []
    skipped = [
        Outcome(delivery, Delivery.State.SKIPPED, made, counts=False)
        for delivery, made in prepared
        if isinstance(made, str)
    ]
    put_off = [
        Outcome(delivery, Delivery.State.WAITING, made.reason, again_at=made.at, counts=False)
        for delivery, made in prepared
        if isinstance(made, notices.NotYet)
    ]
    outbox.record(skipped + put_off)
    if skipped:
        folding.let_go([done.delivery for done in skipped])
    sender.put([(delivery, made) for delivery, made in prepared if isinstance(made, Notice)])
    return len(claimed)
