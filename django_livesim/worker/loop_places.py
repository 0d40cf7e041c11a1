"""The places of runs that have a child to themselves, which ends when it has its run no more.

They are those of blocking loops, and those that were struck.

Nobody is put in the place of one that has ended. Its run, where it still wants a worker, is free, and is
found as any other: here, or by another parent that was quicker. A run whose children fare badly, or are
too late time and again, is looked at again after growing pauses.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Collection, Iterable, Iterator
from uuid import UUID

from django_livesim.worker.child import NOT_HAD
from django_livesim.worker.children import Death
from django_livesim.worker.places import LONGEST, Pauses, Place

MOST = 32
"""Children for one run each that one parent has, where `--max-runs` does not say."""
LOOK_EVERY = 1.0  # seconds
AT_ONCE = 4
"""Children that may be starting, which takes a processor about a second each."""


class LoopPlace(Place):
    """The place of one run."""

    def __init__(self, run: UUID, pauses: Pauses) -> None:
        super().__init__(reloads=False)
        self.run = run
        self.pause = 0.0
        """Seconds before the run may have another, once its child has ended."""
        self.pauses = pauses
        self._told: float | None = None  # since when it has been stuck with a stop that waits

    @property
    def is_starting(self) -> bool:
        """Whether its child is to come, or has not registered yet."""
        return self.child is None or self.child.notes.signed() is None

    def is_stuck(self, grace: float) -> bool:
        """Whether its loop has not slept for that long."""
        notes = [] if self.child is None else self.child.notes.noted()
        return any(time.monotonic() - note.since > grace for note in notes)

    def told_to_end(self, told: bool) -> None:
        """A look has seen whether a stop waits while it is stuck."""
        self._told = None if not told else self._told or time.monotonic()

    def ignores_its_end(self, grace: float) -> bool:
        """Whether that has been so for so long: the process itself, which is to see to it, cannot."""
        return self._told is not None and time.monotonic() > self._told + grace

    def renew(self) -> None:
        """Its child is asked to end; the next one has the new code."""
        if self.child is not None:
            self.child.ask()

    def has_lost(self, death: Death, *, asked: bool) -> str:
        self.child, self.due = None, math.inf
        had = death.status != NOT_HAD
        self.pause = self.pauses.after(death, well=asked or (death.left and had))
        if not had:
            return f"its run was not to be had run={self.run}"
        return f"it was there for one run alone run={self.run}"


class LoopPlaces:
    """Owned by the parent's main thread."""

    def __init__(self, most: int | None) -> None:
        self.most = MOST if most is None else most
        self._places: dict[UUID, LoopPlace] = {}
        self._pauses: dict[UUID, tuple[Pauses, float]] = {}  # and from when on another may come
        self._look_due = 0.0
        self._looking = False

    def __iter__(self) -> Iterator[LoopPlace]:
        return iter(list(self._places.values()))

    @property
    def runs(self) -> list[UUID]:
        """Which have a child, or are to have one."""
        return list(self._places)

    # -- looking for more ---------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether it is time to look for runs, and none is under way."""
        return not self._looking and time.monotonic() >= self._look_due

    def look(self) -> None:
        """A look begins."""
        self._looking, self._look_due = True, time.monotonic() + LOOK_EVERY

    def take(self, found: Iterable[UUID], told_to_end: Collection[UUID] = ()) -> None:
        """It has found these, each of which gets a place, unless it is to wait, and stops of those held.

        Some at once, and any of them: another parent, which has found the same, begins with others.
        """
        self._looking, now = False, time.monotonic()
        for place in self:
            place.told_to_end(place.run in told_to_end)
        found = list(found)
        starting = sum(place.is_starting for place in self)
        for run in random.sample(found, len(found)):
            pauses, due = self._pauses.get(run, (Pauses(), 0.0))
            room = len(self._places) < self.most and starting < AT_ONCE
            if run not in self._places and room and now >= due:
                self._places[run] = LoopPlace(run, pauses)
                starting += 1

    # -- those that have ended ----------------------------------------------------------------

    def tidy(self) -> None:
        """Give up the places that are over; what may be free by that is looked for at once."""
        now = time.monotonic()
        for run, place in [(run, place) for run, place in self._places.items() if place.is_over]:
            del self._places[run]
            self._look_due = 0.0
            self._pauses[run] = (place.pauses, now + place.pause)
        old = [run for run, (_, due) in self._pauses.items() if now > due + 2 * LONGEST]
        for run in old:
            del self._pauses[run]

    def close(self) -> None:
        """No more are to come, and those that there are are to end."""
        for place in self:
            place.close()
            place.renew()
