"""How a worker hears: channel-layer messages on its own channels, and local ones.

A message says only "look in the database" or "somebody watches", and one
that is lost is made up for by the slow poll; a volatile command alone is
lost with its message. That nobody says "somebody
watches" means something only while messages arrive at all, so a worker
sends one to itself every few seconds.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from channels.consumer import AsyncConsumer
from channels.routing import ChannelNameRouter
from channels.worker import Worker as ChannelsWorker

from django_livesim.bus import doorbells, local
from django_livesim.bus.layers import HANG_UP_AGAIN, get_layer, hang_up, is_local
from django_livesim.bus.loop_thread import LoopThread
from django_livesim.bus.seldom import Seldom
from django_livesim.protocol.names import RUNS_CHANNEL, worker_channel

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

RETRY = 1.0  # seconds before a channel is listened to again after an error
ECHO_EVERY = 2.5  # seconds between two messages to oneself
ECHO_LIMIT = 1.0  # seconds that one of them may take, there and back
UNHEARD = 2  # of them one after the other; a single one is lost, too, where the loop stood still meanwhile
RING_LIMIT = 1.0  # seconds that a ring for others may take
DEAF_AFTER = 6.0  # seconds without one of them

Hearing = Callable[[dict[str, Any]], None]
_hearings: list[Hearing] = []


def hear(message: dict[str, Any]) -> None:
    """Hand a message to the engine of this process."""
    for hearing in list(_hearings):
        hearing(message)


def attach(hearing: Hearing) -> Callable[[], None]:
    """Have `hearing` called with each message that reaches this process; returns what ends that."""
    _hearings.append(hearing)

    def detach() -> None:
        _hearings.remove(hearing)

    return detach


class RunsConsumer(AsyncConsumer):
    """Answers the doorbells. An adapter: hands over and returns."""

    channel_layer_alias = "livesim: a doorbell needs no channel of its own"

    async def livesim_ring(self, message: dict[str, Any]) -> None:
        from django_livesim.worker.background import ensure_engine

        ensure_engine()
        hear(message)

    async def livesim_interest(self, message: dict[str, Any]) -> None:
        hear(message)

    async def livesim_volatile(self, message: dict[str, Any]) -> None:
        hear(message)

    async def livesim_echo(self, message: dict[str, Any]) -> None:
        hear(message)


class DoorbellWorker(ChannelsWorker):
    """Channels' own worker, that outlives errors of the layer and messages without a type."""

    async def handle(self) -> None:
        """Listen on every channel; on none any more once this is cancelled."""
        async with asyncio.TaskGroup() as listeners:
            for channel in self.channels:
                listeners.create_task(self.listener(channel), name=f"livesim-listens-{channel}")

    async def listener(self, channel: str) -> None:
        while True:
            try:
                message = await self.channel_layer.receive(channel)
                if message.get("type"):
                    scope = {"type": "channel", "channel": channel}
                    queue = self.get_or_create_application_instance(channel, scope)
                    await queue.put(message)
            except asyncio.CancelledError:
                raise
            except Exception as exc:
                text = "not listening to %s: %s; tried again every %s s, and the poll finds the work"
                seldom.warning(text, channel, exc, RETRY)
                await asyncio.sleep(RETRY)


class Doorbell:
    """Listens for one worker, on the layer or, without one, in this process."""

    def __init__(self, hearing: Hearing, *, shared: Sequence[str] = (RUNS_CHANNEL,)) -> None:
        """It answers the `shared` channels, for whoever may claim; on some layers a ring has one hearer."""
        self._detach = attach(self._hear)
        self._hearing = hearing
        self._shared = list(shared)
        self._thread: LoopThread | None = None
        self._unsubscribe: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ringing: concurrent.futures.Future[None] | None = None
        self._own = ""
        self._lock = threading.Lock()  # between `listen` and `stop`, which come from different threads
        self._stopped = False
        self._heard_at = math.inf
        """When it last heard itself, by the monotonic clock; endless where it need not."""
        self._echoed = asyncio.Event()
        """Whether it did since it last told itself something. Of the loop that listens."""

    def hears(self) -> bool:
        """Whether messages arrive, as far as is known. Any thread."""
        return time.monotonic() - self._heard_at < DEAF_AFTER

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] != "livesim.echo":
            self._hearing(message)
        elif message.get("to") == self._own:
            self._heard_at = time.monotonic()
            self._echoed.set()

    def listen(self, worker: UUID) -> None:
        """Listen under the worker's id; a former one is given up. Any thread.

        Nothing after `stop`: a worker that ends, and has lost its lease meanwhile, may still get another id.
        """
        channels = [*self._shared, worker_channel(worker)]
        with self._lock:
            if self._stopped:
                return
            if is_local():
                self._stop_local()
                self._unsubscribe = [local.subscribe(channel, self._hearing) for channel in channels]
                return
            if self._thread is None:
                self._thread = LoopThread("livesim-doorbells")
            self._own, self._heard_at = channels[-1], time.monotonic()
            self._thread.call(self._listen, channels)

    def _listen(self, channels: list[str]) -> None:
        self._cancel()
        router = ChannelNameRouter(dict.fromkeys(channels, RunsConsumer.as_asgi()))
        worker = DoorbellWorker(application=router, channels=channels, channel_layer=get_layer())
        loop = asyncio.get_running_loop()
        listening = loop.create_task(worker.arun(), name="livesim-doorbells")
        listening.add_done_callback(self._ended)
        self._tasks = [listening, loop.create_task(self._echo(channels[-1]), name="livesim-echo")]

    async def _echo(self, channel: str) -> None:
        """Tell oneself something, again and again; what fails is not heard, and so is known.

        While it is not, connections are made anew: they may be silent for ever. Where the loop stood still,
        what was said meanwhile waits to be heard, and nothing is the matter with the connections.
        """
        hung_up, unheard = -math.inf, 0
        while True:
            unheard = 0 if await self._comes_back(channel) else unheard + 1
            deaf = unheard >= UNHEARD and not self.hears()
            if deaf and time.monotonic() - hung_up >= HANG_UP_AGAIN:
                await hang_up(get_layer())
                hung_up = time.monotonic()
            await asyncio.sleep(ECHO_EVERY)

    async def _comes_back(self, channel: str) -> bool:
        """Whether it hears itself within `ECHO_LIMIT`."""
        self._echoed.clear()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(ECHO_LIMIT):
                await get_layer().send(channel, {"type": "livesim.echo", "to": channel})
                await self._echoed.wait()
        return self._echoed.is_set()

    @staticmethod
    def _ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.error("doorbells are not heard any more; the poll goes on", exc_info=task.exception())

    def ring(self, workers: Sequence[UUID]) -> None:
        """Have these workers, and whoever else may claim, look. Any thread.

        Over the connection that is there already, and each on its own channel: what goes to the shared one
        may be taken, on some layers, by who has just ceased to listen.
        """
        if self._thread is None:
            doorbells.ring()
        else:
            channels = [RUNS_CHANNEL, *map(worker_channel, workers)]
            with contextlib.suppress(RuntimeError):  # its loop is closed: this worker has ended
                self._ringing = self._thread.submit(self._ring(channels))

    @staticmethod
    async def _ring(channels: Sequence[str]) -> None:
        with contextlib.suppress(Exception):  # whoever may claim looks by itself once a second
            async with asyncio.timeout(RING_LIMIT):
                layer = get_layer()
                await asyncio.gather(*(layer.send(channel, doorbells.RING) for channel in channels))

    def deafen(self) -> None:
        """Hear nothing more, so that rings are left to others. Any thread; waits for nothing."""
        self._stop_local()
        if self._thread is not None:
            self._thread.call(self._cancel)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _stop_local(self) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe = []

    def stop(self) -> None:
        """Hear nothing more, for good.

        What is on its way comes to this worker until nobody listens any more: else it would begin another.
        """
        with self._lock:
            self._stopped = True
            self._stop_local()
        if self._ringing is not None:
            concurrent.futures.wait([self._ringing], RING_LIMIT)
        if self._thread is not None:
            self._thread.stop(1.0)
        self._detach()
