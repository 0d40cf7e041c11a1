"""The worker's loudspeaker: takes messages from any thread, sends them from a thread of its own."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from django_livesim import conf
from django_livesim.bus import local
from django_livesim.bus.chain import Chain, View
from django_livesim.bus.large import LARGE, Large
from django_livesim.bus.layers import at_home, get_layer, is_local
from django_livesim.bus.loop_thread import LoopThread
from django_livesim.bus.seldom import Seldom
from django_livesim.protocol.names import run_group

SEND_LIMIT = 1.0  # seconds one send may take
LANE_LIMIT = 1024  # messages that may wait for one run, or for one group of an author's

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

FRAMES = ("livesim.frame", LARGE)
UNUSED = 60.0  # seconds after which what was shown last is forgotten

Message = dict[str, Any]
Frame = TypeVar("Frame", Message, View)


class _Outbox:
    """What waits for one target, in order; of the frames for a group only the newest."""

    def __init__(self) -> None:
        self.waiting: dict[Hashable, tuple[str, bool, Message | View]] = {}
        self.sending = False
        self._numbers = itertools.count()

    def put(self, name: str, to_group: bool, message: Message | View) -> bool:
        """Whether there was room for it."""
        if isinstance(message, View) or message.get("type") in FRAMES:
            # Taken out first, so that the newer frame does not overtake what was said before it.
            *_, older = self.waiting.pop(name, (None,))
            if isinstance(message, View) and isinstance(older, View) and older.whole:
                message = replace(message, whole=True)
            key: Hashable = name
        elif len(self.waiting) >= LANE_LIMIT:
            return False
        else:
            key = next(self._numbers)
        self.waiting[key] = (name, to_group, message)
        return True

    def take(self) -> tuple[str, bool, Message | View]:
        return self.waiting.pop(next(iter(self.waiting)))


class Publisher:
    """Sends a process's frames, results and authors' messages to the channel layer.

    Every method may be called from any thread, never blocks and never raises.
    What is sent for one run arrives in order or not at all: a frame may be
    passed over for a newer one, anything may be lost where the layer is slow
    or gone, and the rows say it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outboxes: dict[Hashable, _Outbox] = {}
        self._chains: dict[str, Chain] = {}
        self._sweep_due = 0.0
        self._thread: LoopThread | None = None
        self._local = True
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0
        """Messages that were lost: the channel layer is full, slow or gone."""
        self.refused = 0
        """What was not sent since it is larger than MAX_FRAME_BYTES."""

    def start(self) -> None:
        """Begin to send; before that, messages are dropped. Starting twice is harmless."""
        if self._thread is None:
            self._local = is_local()
            self._thread = LoopThread("livesim-publisher")

    def stop(self, timeout: float = 2.0) -> None:
        """Send what waits, for at most `timeout` seconds, then end the thread."""
        thread = self._thread
        if thread is None:
            return
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        self._thread = None
        thread.stop(max(0.1, deadline - time.monotonic()))
        with self._lock:
            self._outboxes.clear()
        self._chains.clear()

    def flush(self, timeout: float) -> bool:
        """Wait until what waits has been sent, for at most `timeout` seconds; whether it has been."""
        deadline = time.monotonic() + timeout
        while self._outboxes and self._thread and self._thread.alive and time.monotonic() < deadline:
            time.sleep(0.005)
        return not self._outboxes

    def publish(self, run_id: UUID, role_or_all: str, message: Message) -> None:
        """Send a lane message, a verdict, or a frame as it is, to those who watch the run in that role."""
        if message["type"] == FRAMES[0]:
            number = {name: message[name] for name in ("epoch", "seq", "tick")}
            message = self._sized(run_id, len(message["text"]), message, role=role_or_all, **number)
        self._put(run_id, run_group(run_id, role_or_all), True, dict(message))

    def show(self, run_id: UUID, view: View) -> None:
        """Send what those who watch the run in the view's role see: a snapshot, or what has changed."""
        number = {"epoch": view.epoch, "seq": view.seq, "tick": view.tick}
        sized = self._sized(run_id, view.size, view, role=view.role, **number)
        self._put(run_id, run_group(run_id, view.role), True, sized)

    def fits(self, what: str, run_id: UUID, epoch: int, size: int) -> bool:
        """Whether so many bytes may be sent; where not, that is counted, and said once a minute a run."""
        most: int = conf.settings.MAX_FRAME_BYTES
        if size <= most:
            return True
        self.refused += 1
        seldom.warning(
            "%s of %s bytes was not sent to viewers, since MAX_FRAME_BYTES is %s; the run goes on. Make it "
            "smaller, or raise the setting: run=%s epoch=%s",
            what,
            size,
            most,
            run_id,
            epoch,
            of=(what, run_id),
        )
        return False

    def _sized(self, run_id: UUID, size: int, frame: Frame, **number: Any) -> Frame | Message:
        """The frame, or what is sent in place of one that is too large: that it is, and its number."""
        if self.fits("A view", run_id, number["epoch"], size):
            return frame
        return Large(size=size, most=conf.settings.MAX_FRAME_BYTES, **number).encode()

    def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send an author's message to a group."""
        self._put(("group", group), group, True, dict(message))

    def channel_send(self, channel: str, message: dict[str, Any]) -> None:
        """Send an author's message to a channel."""
        self._put(("channel", channel), channel, False, dict(message))

    def _put(self, key: Hashable, name: str, to_group: bool, message: Message | View) -> None:
        thread = self._thread
        if thread is None:
            self._drop("The publisher is not running; dropped a message to %s", name)
        elif self._local and isinstance(key, UUID):
            try:
                local.send(name, self._encoded(name, message, run=True))
            except Exception:
                self._drop("Nobody could be sent a message to %s", name, exc_info=True)
        else:
            with self._lock:
                outbox = self._outboxes.setdefault(key, _Outbox())
                roomy = outbox.put(name, to_group, message)
                begin, outbox.sending = not outbox.sending, True
            if not roomy:
                self._drop("The channel layer is too slow; dropped a message to %s", name)
            if begin:
                try:
                    thread.call(self._begin, key, outbox)
                except RuntimeError:
                    self._drop("The publisher has stopped; dropped a message to %s", name)

    def _begin(self, key: Hashable, outbox: _Outbox) -> None:
        task = asyncio.get_running_loop().create_task(self._empty(key, outbox), name=f"livesim-publish-{key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _empty(self, key: Hashable, outbox: _Outbox) -> None:
        while True:
            with self._lock:
                if not outbox.waiting:
                    self._outboxes.pop(key, None)
                    return
                name, to_group, message = outbox.take()
            try:
                await self._send(name, to_group, self._encoded(name, message, run=isinstance(key, UUID)))
            except Exception:
                self._chains.pop(name, None)  # what has changed since then is of no use to anybody
                self._drop("The channel layer did not take a message to %s", name, exc_info=True)

    def _encoded(self, name: str, message: Message | View, *, run: bool) -> Message:
        """As it is sent; one thread does this."""
        if isinstance(message, View):
            message = self._chain(name).message(message)
        elif message.get("type") == LARGE:
            self._chains.pop(name, None)
        return {**message, "group": name} if run else message

    def _chain(self, group: str) -> Chain:
        now = time.monotonic()
        if now >= self._sweep_due:
            self._sweep_due = now + UNUSED
            self._chains = {name: each for name, each in self._chains.items() if each.used > now - UNUSED}
        chain = self._chains.get(group)
        if chain is None:
            chain = self._chains[group] = Chain()
        return chain

    async def _send(self, name: str, to_group: bool, message: dict[str, Any]) -> None:
        layer = get_layer()
        if layer is None:
            self._drop("There is no channel layer; dropped a message to %s", name)
            return
        async with asyncio.timeout(SEND_LIMIT):
            await at_home(layer, layer.group_send(name, message) if to_group else layer.send(name, message))

    def _drop(self, text: str, name: str, *, exc_info: bool = False) -> None:
        self.dropped += 1
        seldom.warning(text, name, exc_info=exc_info)
