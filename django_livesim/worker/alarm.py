"""The soft limit of a step: SIGALRM in the main thread, as long as code of a run is noted there.

Code in C is not interrupted; the parent, which reads the note, ends the
process then.
"""

from __future__ import annotations

import signal
from types import FrameType
from uuid import UUID

from django_livesim.runtime.harm import StepTimeout
from django_livesim.worker.notes import Slot


class Alarm:
    """Implements the runtime's `Watch` over a slot of the map. Made and used in the main thread."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._limit = 0.0
        signal.signal(signal.SIGALRM, self._rung)

    def enter(self, run: UUID, epoch: int, limit: float = 0.0) -> None:
        self._slot.enter(run, epoch, limit)
        if limit:
            self._limit = limit
            signal.setitimer(signal.ITIMER_REAL, limit)

    def leave(self) -> None:
        if self._limit:
            self._limit = 0.0  # first: from here on the alarm says nothing
            signal.setitimer(signal.ITIMER_REAL, 0)
        self._slot.leave()

    def _rung(self, number: int, frame: FrameType | None) -> None:
        """Raise it once: code that catches even this is left to the parent."""
        if limit := self._limit:
            self._limit = 0.0
            raise StepTimeout(limit)
