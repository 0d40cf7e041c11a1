"""What a hub lets its run's worker know: who watches, how many frames they want, and when a whole one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import deque
from typing import TYPE_CHECKING
from uuid import UUID

from django_livesim.bus.feed import Frame
from django_livesim.bus.pressure import Pressure
from django_livesim.bus.receiver import Receiver
from django_livesim.bus.seldom import Seldom
from django_livesim.protocol.names import Status, worker_channel

if TYPE_CHECKING:
    from django_livesim.bus.hub import Hub

INTERVAL = 5.0  # seconds between two signs of interest
GAP = 0.1  # seconds between two signs of interest, at least
KEYFRAMES = 2  # times that a whole frame is asked for, at most, in each
KEYFRAME_SPAN = (1.0, 1.5)  # seconds; not the same in each process

logger = logging.getLogger(__name__)
seldom = Seldom(logger)


class Interest:
    """Shows it to the worker when asked to and every few seconds. In its hub's loop."""

    def __init__(self, hub: Hub, receiver: Receiver) -> None:
        self._hub = hub
        self._receiver = receiver
        self._asked = asyncio.Event()
        self._keyframes: deque[float] = deque(maxlen=KEYFRAMES)
        self._pressure = Pressure()
        self._rates: dict[str, float] = {}  # by role, what the worker was told last

    def ask(self) -> None:
        """Have it shown soon."""
        self._asked.set()

    def note_wish(self, role: str, fps: float) -> None:
        """There was, or is, a viewer with this wish: where nobody's is higher, the worker is to know."""
        if fps >= self._rates.get(role, math.inf):
            self.ask()

    def weigh(self, frame: Frame) -> None:
        """Where most viewers miss frames, ask for fewer; where none do any more, for more again."""
        now = time.monotonic()
        if not self._pressure.came(frame.role, now):
            return
        before = self._pressure.limit
        after = self._pressure.judge([viewer.count() for viewer in self._hub.viewers], now)
        if after != before:
            self.ask()
        if after < before:
            text = "More frames come than viewers can be sent; %.1f a second are asked for: run=%s"
            seldom.warning(text, after, self._hub.run_id)

    async def run(self) -> None:
        """Show it until cancelled."""
        hub = self._hub
        while True:
            self._asked.clear()
            if hub.viewers and hub.facts and hub.facts.worker:
                try:
                    await self._show(hub.facts.worker)
                except Exception:
                    seldom.warning("No worker was told who watches: run=%s", hub.run_id, exc_info=True)
            await asyncio.sleep(self._gap())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL * random.uniform(0.8, 1.2)):
                    await self._asked.wait()

    def _gap(self) -> float:
        """Seconds until it may be shown again; two requests for a whole frame may be close together."""
        if len(self._keyframes) < KEYFRAMES:
            return GAP
        return max(GAP, self._keyframes[0] + random.uniform(*KEYFRAME_SPAN) - time.monotonic())

    async def _show(self, worker: UUID) -> None:
        hub = self._hub
        # While paused no further frame would show that the last one was lost.
        misses = hub.in_doubt or any(feed.misses for feed in hub.feeds.values())
        keyframe = misses or hub.facts is None or hub.facts.status == Status.PAUSED
        if keyframe:
            self._keyframes.append(time.monotonic())
        self._rates = self._wishes()
        message = {
            "type": "livesim.interest",
            "run": hub.run_id.hex,
            "hub": hub.id,
            "viewers": len(hub.viewers),
            "roles": sorted({str(viewer.role) for viewer in hub.viewers}),
            "keyframe": keyframe,
            "rates": {role: fps for role, fps in self._rates.items() if fps < math.inf},
        }
        await self._receiver.send(worker_channel(worker), message)

    def _wishes(self) -> dict[str, float]:
        """By role, the most frames a second that a viewer wants, and can be sent."""
        wishes: dict[str, float] = {}
        for viewer in self._hub.viewers:
            wishes[viewer.role] = max(wishes.get(viewer.role, 0.0), viewer.fps)
        return {str(role): min(fps, self._pressure.limit) for role, fps in wishes.items()}
