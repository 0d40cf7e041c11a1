"""The soft limit of a step: SIGALRM in the main thread, as long as code of a run is noted there.

Code in C is not interrupted; the parent, which reads the note, ends the
process then.
"""

from __future__ import annotations

import signal
import time
from types import FrameType
from uuid import UUID

from django_livesim.runtime.harm import StepTimeout
from django_livesim.worker.hanging import beyond
from django_livesim.worker.notes import Slot

LATE = 0.5  # seconds beyond the hard limit; an alarm that comes later says that the process was stopped


class Alarm:
    """Implements the runtime's `Watch` over a slot of the map. Made and used in the main thread."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._limit = 0.0
        self._due = 0.0
        signal.signal(signal.SIGALRM, self._rung)

    def enter(self, run: UUID, epoch: int, limit: float = 0.0) -> None:
        self._slot.enter(run, epoch, limit)
        if limit:
            self._limit, self._due = limit, time.monotonic() + limit
            signal.setitimer(signal.ITIMER_REAL, limit)

    def leave(self) -> None:
        if self._limit:
            self._limit = 0.0  # first: from here on the alarm says nothing
            signal.setitimer(signal.ITIMER_REAL, 0)
        self._slot.leave()

    def _rung(self, number: int, frame: FrameType | None) -> None:
        """Raise it once: code that catches even this is left to the parent.

        One that comes late says nothing of the code: this process was stopped. It is set once more then.
        """
        limit, due = self._limit, self._due
        if not limit:
            return
        if due and time.monotonic() - due > beyond(limit) + LATE:
            self._due = 0.0
            signal.setitimer(signal.ITIMER_REAL, limit)
            return
        self._limit = 0.0
        raise StepTimeout(limit)

    def end_in(self, seconds: int) -> None:
        """Have the kernel end this process then, whatever locks broken-off code has kept."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
