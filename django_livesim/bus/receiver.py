"""One event loop's ear on the bus: hears groups, and never stops hearing them.

A process has one channel for all its hubs, not one for each: with the core
layer every further receiver makes the others slower, and one that leaves takes
others' messages with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import random
import time
from collections.abc import Callable
from typing import Any

from channels.exceptions import ChannelFull

from django_livesim.bus import local
from django_livesim.bus.layers import HANG_UP_AGAIN, get_layer, hang_up, is_local
from django_livesim.bus.seldom import Seldom

REJOIN = 5.0  # seconds between two times that a group is joined again
LIMIT = 2.0  # seconds that the layer may take for one thing
BACK_OFF = (0.1, 3.0)  # seconds to wait after a failure, at first and at most
ECHO_EVERY = 2.5  # seconds between two messages to ourselves
ECHO_LIMIT = 1.0  # seconds that one of them may take, there and back
UNHEARD = 2  # of them one after the other; a single one is lost, too, where the loop stood still meanwhile
AT_ONCE = 64  # messages that are heard one after the other, before those have a turn who were told of them
DEAF_AFTER = 6.0  # seconds without any message
FULL = (
    "The channel layer keeps as many messages for this process as it may, and loses others; what they said is"
    " asked for. It hears them too slowly: fewer viewers for each process, or more capacity for the layer"
)

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

Hear = Callable[[dict[str, Any]], None]
Joined = Callable[[], None]


def make_receiver() -> Receiver:
    """The receiver that fits the configured layer, for the running loop."""
    return LocalReceiver() if is_local() else LayerReceiver(get_layer())


class Receiver:
    """Hears groups on behalf of the hubs of one event loop.

    `hear` is called with each message for the group, in the loop; `joined`
    whenever messages may have been missed before and are heard from now on.
    """

    def join(self, group: str, hear: Hear, joined: Joined) -> None:
        raise NotImplementedError

    def leave(self, group: str) -> None:
        raise NotImplementedError

    def hears(self) -> bool:
        """Whether messages arrive, as far as is known."""
        return True

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send to a channel, within a second; whoever cannot be reached is not."""
        raise NotImplementedError

    async def close(self) -> None:
        """Leave everything. The receiver is not used again."""
        raise NotImplementedError


class LocalReceiver(Receiver):
    """Hears what this process says to itself, from whatever thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends: dict[str, Callable[[], None]] = {}

    def join(self, group: str, hear: Hear, joined: Joined) -> None:
        def listen(message: dict[str, Any]) -> None:
            try:
                self._loop.call_soon_threadsafe(hear, message)
            except RuntimeError:  # the loop was closed without leaving
                end()

        end = self._ends[group] = local.subscribe(group, listen)
        self._loop.call_soon(joined)

    def leave(self, group: str) -> None:
        if end := self._ends.pop(group, None):
            end()

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        local.send(channel, message)

    async def close(self) -> None:
        for group in list(self._ends):
            self.leave(group)


class LayerReceiver(Receiver):
    """Hears the channel layer, through restarts, flushes and hangs of what is behind it.

    Groups are joined anew every few seconds: Redis may have been flushed, and a
    membership of the core layer ends by itself after a day. A message that it sends
    to itself now and then tells it when it is deaf.
    """

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._groups: dict[str, tuple[Hear, Joined]] = {}
        self._in: set[str] = set()
        self._channel = ""
        self._joined_all_at = 0.0
        self._heard_at = time.monotonic()
        self._heard = asyncio.Event()  # since the last message to ourselves
        self._stir = asyncio.Event()
        self._task = asyncio.create_task(self._live(), name="livesim-receiver")

    def join(self, group: str, hear: Hear, joined: Joined) -> None:
        self._groups[group] = (hear, joined)
        if group in self._in:
            asyncio.get_running_loop().call_soon(joined)
        self._stir.set()

    def leave(self, group: str) -> None:
        self._groups.pop(group, None)
        self._stir.set()

    def hears(self) -> bool:
        return time.monotonic() - self._heard_at < DEAF_AFTER

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        async with asyncio.timeout(1.0):
            await self._layer.send(channel, message)

    async def close(self) -> None:
        self._groups.clear()
        for _try in range(2):
            # The pubsub layer unsubscribes while it is cancelled, which a hung Redis never answers;
            # cancelled a second time it gives that up.
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1.0)
            if self._task.done():
                break
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1.0):
                for group in self._in:
                    await self._layer.group_discard(group, self._channel)

    async def _live(self) -> None:
        back_off = _BackOff()
        while True:
            try:
                async with asyncio.timeout(LIMIT):
                    self._channel = await self._layer.new_channel("livesim.hub")
                self._in.clear()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._listen(), name="livesim-receiver-listen")
                    tasks.create_task(self._keep(), name="livesim-receiver-keep")
                    tasks.create_task(self._echo(), name="livesim-receiver-echo")
            except Exception:
                seldom.warning("The channel layer lost this process; joining again", exc_info=True)
                await back_off.wait()

    async def _listen(self) -> None:
        """Receive for ever. A failure leaves the channel's name good, so only the groups are joined anew."""
        back_off = _BackOff()
        for count in itertools.count(1):
            try:
                message = await self._layer.receive(self._channel)  # which does not wait where there is one
            except Exception:
                seldom.warning("Receiving from the channel layer failed; trying again", exc_info=True)
                await back_off.wait()
                self._in.clear()
                self._stir.set()
                continue
            back_off.reset()
            self._note_heard()
            if hearer := self._groups.get(message.get("group", "")):
                hearer[0](message)
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _note_heard(self) -> None:
        """Where we were deaf, much was said meanwhile, and nobody knows any more who listens."""
        was_deaf, self._heard_at = not self.hears(), time.monotonic()
        self._heard.set()
        if was_deaf:
            for group in self._in & self._groups.keys():
                self._groups[group][1]()

    async def _echo(self) -> None:
        """Tell ourselves something, again and again; what fails is not heard, and so is known.

        While it is not, connections are made anew: they may be silent for ever. Where the loop stood still,
        what was said meanwhile waits to be heard, and nothing is the matter with the connections.
        """
        hung_up, unheard = -math.inf, 0
        while True:
            unheard = 0 if await self._comes_back() else unheard + 1
            deaf = unheard >= UNHEARD and not self.hears()
            if deaf and time.monotonic() - hung_up >= HANG_UP_AGAIN:
                await hang_up(self._layer)
                hung_up = time.monotonic()
            await asyncio.sleep(ECHO_EVERY)

    async def _comes_back(self) -> bool:
        """Whether anything is heard within `ECHO_LIMIT` of telling ourselves something."""
        self._heard.clear()
        try:
            async with asyncio.timeout(ECHO_LIMIT):
                await self._layer.send(self._channel, {"type": "livesim.echo"})
                await self._heard.wait()
        except ChannelFull:
            seldom.warning(FULL)
        except Exception:
            logger.debug("not heard", exc_info=True)
        return self._heard.is_set()

    async def _keep(self) -> None:
        """Make the layer's idea of the groups equal to ours, whenever ours changes and every few seconds."""
        back_off = _BackOff()
        while True:
            self._stir.clear()
            try:
                await self._adjust()
            except RuntimeError:
                raise  # the pubsub layer has forgotten the channel itself
            except Exception:
                seldom.warning("The channel layer did not take a group; trying again", exc_info=True)
                self._in.clear()
                await back_off.wait()
                continue
            back_off.reset()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REJOIN * random.uniform(0.8, 1.2)):
                    await self._stir.wait()

    async def _adjust(self) -> None:
        now = time.monotonic()
        for group in self._in - self._groups.keys():
            async with asyncio.timeout(LIMIT):
                await self._layer.group_discard(group, self._channel)
            self._in.discard(group)
        again = now - self._joined_all_at >= REJOIN * 0.8
        for group in [each for each in self._groups if again or each not in self._in]:
            async with asyncio.timeout(LIMIT):
                await self._layer.group_add(group, self._channel)
            self._note_joined(group)
        if again:
            self._joined_all_at = now

    def _note_joined(self, group: str) -> None:
        if group in self._in:
            return
        self._in.add(group)
        if hearer := self._groups.get(group):
            hearer[1]()


class _BackOff:
    """Waits longer after each failure, never exactly as long as others do."""

    def __init__(self) -> None:
        self._delay = BACK_OFF[0]

    def reset(self) -> None:
        self._delay = BACK_OFF[0]

    async def wait(self) -> None:
        delay, self._delay = self._delay, min(self._delay * 2, BACK_OFF[1])
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))
