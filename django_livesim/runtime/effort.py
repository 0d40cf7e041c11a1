"""What a run costs the process that steps it."""

from __future__ import annotations

from collections import deque
from time import monotonic, thread_time

SAMPLED = 16  # touches of which one is measured by the thread's own clock, which is dear to ask
DEAR = 0.001  # seconds; after a touch that took longer the next one is measured so in any case
TICKS = 1000  # of a worker, of which it is kept how late they came


class Effort:
    """Figures that grow from when a run is taken up. The step thread writes them, any thread reads them.

    The CPU time of short touches is estimated from how long they take, and from what share of that the
    last one measured was at work. What an own loop's code does in its own thread is not in it.
    """

    def __init__(self) -> None:
        self.cpu = 0.0
        """Seconds that the step thread has been at work for it."""
        self.steps = 0
        self.seconds = 0.0
        """What these steps have taken, by the wall clock."""
        self.latest = 0.0
        """How late a tick has come at most, in seconds, since whoever tells it has set it back."""
        self.lateness: deque[float] = deque(maxlen=TICKS)
        """How late each tick has come; all runs of a worker may have one in common."""
        self._busy = 1.0  # share of the last touch measured in which the thread was at work
        self._left = 0  # touches before one is measured
        self._used: float | None = None
        self._began = 0.0

    def enter(self) -> None:
        """The step thread turns to the run."""
        self._used = None if self._left else thread_time()
        self._began = monotonic()

    def leave(self) -> None:
        """It turns to something else."""
        took = monotonic() - self._began
        if self._used is None:
            self._left = 0 if took > DEAR else self._left - 1
            self.cpu += min(took, DEAR) * self._busy  # beyond that it most likely had no core
            return
        used = thread_time() - self._used
        self.cpu += used
        if took > 0.0:
            self._busy = min(1.0, used / took)
        self._left = 0 if took > DEAR else SAMPLED - 1

    def came(self, late: float) -> None:
        """A tick begins, so many seconds after it was due."""
        late = max(0.0, late)
        self.lateness.append(late)
        if late > self.latest:
            self.latest = late

    def stepped(self, seconds: float) -> None:
        """A step has taken so long."""
        self.steps += 1
        self.seconds += seconds
