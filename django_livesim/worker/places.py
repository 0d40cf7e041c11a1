"""One of the places that a parent has children for: when the next child comes to it.

| a child has ended | the next one |
|---|---|
| because it was asked to, for new code | at once |
| in good order, unasked: its row told it to leave | never |
| in good order, unasked: a step was broken off in it, or somebody else sent it SIGTERM | at once |
| by a run's code | at once; the run is held back by its strike |
| otherwise | at once; where that goes on so, after 1, 2, 4 and at most 60 seconds |
| otherwise, under `--reload`, before it had registered | when the code has changed |
"""

from __future__ import annotations

import math
import time
from uuid import UUID

from django_livesim.worker.child import AGAIN
from django_livesim.worker.children import Child, Death

LONGEST = 60.0  # seconds between two children that fare badly
WELL = 60.0  # seconds after which a child has fared well


class Pauses:
    """Seconds between two children, the longer the more of them have fared badly in a row."""

    def __init__(self) -> None:
        self._badly = 0

    def after(self, death: Death, *, well: bool) -> float:
        """The pause after this one; `well`: whatever it did was meant to be."""
        self._badly = 0 if well or death.harms or death.seconds > WELL else self._badly + 1
        return min(LONGEST, 2.0 ** (self._badly - 2)) if self._badly > 1 else 0.0


class Place:
    """Owned by the parent's main thread."""

    run: UUID | None = None
    """The one for which alone its child is there."""
    tasks = False
    """Whether its child calls tasks, and steps nothing."""

    def __init__(self, *, reloads: bool, tasks: bool = False) -> None:
        self.tasks = tasks
        self.child: Child | None = None
        self.due = 0.0
        """When the next child is to come, by `time.monotonic`; infinite: not by time."""
        self.waits_for_code = False
        self._reloads = reloads
        self.pauses = Pauses()

    @property
    def is_due(self) -> bool:
        return self.child is None and time.monotonic() >= self.due

    @property
    def is_over(self) -> bool:
        """Whether there is no child, and none is to come."""
        return self.child is None and self.due == math.inf and not self.waits_for_code

    def renew(self) -> None:
        """The code has changed."""
        if self.child is not None:
            self.child.ask()
        elif not self.is_over:
            self.due, self.waits_for_code = 0.0, False

    def close(self) -> None:
        """No child is to come any more."""
        self.due, self.waits_for_code = math.inf, False

    def has_lost(self, death: Death, *, asked: bool) -> str:
        """Its child has ended; what follows, in words."""
        self.child = None
        if death.left and death.status != AGAIN and not asked:
            self.due = math.inf
            return "it was told to leave, and is not replaced"
        if self._reloads and death.worker is None and not asked:
            self.due, self.waits_for_code = math.inf, True
            return "the next one comes when the code has changed"
        pause = self.pauses.after(death, well=asked or death.left)
        self.due = time.monotonic() + pause
        return f"the next one comes in {pause:g} s" if pause else "the next one comes at once"
