"""Whose turn it is next."""

from __future__ import annotations

import heapq
import itertools
import math

from django_livesim.runtime.runner import Runner


class Turns:
    """All runners on one heap, the one that is due first on top; each is in it once that counts."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Runner]] = []
        self._order = itertools.count()
        self._due: dict[Runner, float] = {}

    def put(self, runner: Runner, due: float) -> None:
        """Its next turn is then, and not when it was said before."""
        if self._due.get(runner) != due:
            self._due[runner] = due
            heapq.heappush(self._heap, (due, next(self._order), runner))

    def take(self, now: float) -> list[Runner]:
        """Those that are due, oldest first; they come again once they are put again."""
        due: list[Runner] = []
        while self._heap and self._heap[0][0] <= now:
            at, _, runner = heapq.heappop(self._heap)
            if self._due.get(runner) == at:
                del self._due[runner]
                due.append(runner)
        return due

    def forget(self, runner: Runner) -> None:
        """It has no turn any more."""
        self._due.pop(runner, None)

    @property
    def soonest(self) -> float:
        """When there may be somebody to take; endless where nobody waits."""
        return self._heap[0][0] if self._heap else math.inf
