"""How many watch: told to all of a hub's viewers, at most once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from django_livesim.bus.viewer import Viewer
from django_livesim.protocol import frames

GAP = 1.0  # seconds between two tellings


class Presence:
    """Used in its hub's loop, which adds to `viewers` and takes away."""

    def __init__(self, viewers: Collection[Viewer]) -> None:
        self._viewers = viewers
        self._loop = asyncio.get_running_loop()
        self._planned: asyncio.TimerHandle | None = None
        self._told_at = -GAP

    def announce(self) -> None:
        """Tell everyone how many watch, now or when a second has passed since the last time."""
        if self._planned is None:
            delay = max(0.0, self._told_at + GAP - time.monotonic())
            self._planned = self._loop.call_later(delay, self._tell)

    def stop(self) -> None:
        """Nobody is told any more."""
        if self._planned is not None:
            self._planned.cancel()

    def _tell(self) -> None:
        self._planned = None
        self._told_at = time.monotonic()
        text = frames.presence(len(self._viewers))
        for viewer in self._viewers:
            viewer.say(text)
