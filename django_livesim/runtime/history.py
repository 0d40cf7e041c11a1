"""Runs that play their history again, beside those that are live."""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

SLICE = 0.005  # seconds of history played again before others get a turn
TOLD_EVERY = 0.5  # seconds between two tellings of how much has been played


class Histories:
    """Whose turn it is: one run, for one slice, in each turn of the supervisor.

    A slice is never longer than what the live runs took in the same turn, so that history takes half of the
    time at most; where none of them was due it is `SLICE`. Used in the step thread alone.
    """

    def __init__(self) -> None:
        self._runs: OrderedDict[UUID, None] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._runs)

    def add(self, run: UUID) -> None:
        """The run wants to play; it comes behind those that wait."""
        self._runs.setdefault(run)

    def take(self) -> UUID | None:
        """The run whose turn it is, None where none plays; it comes again once it is added again."""
        return self._runs.popitem(last=False)[0] if self._runs else None

    @staticmethod
    def slice(spent: float | None) -> float:
        """Seconds to play, where the live runs took `spent` in this turn, or none was due."""
        return SLICE if spent is None else min(SLICE, spent)


class Progress:
    """How much of a history has been played, and when that is worth telling."""

    def __init__(self, first: int, last: int, now: float) -> None:
        self._first, self._last = first, last
        self._due = now + TOLD_EVERY
        self.told = False

    def share(self, tick: int, now: float) -> float | None:
        """From 0 to 1; None where it was told a moment ago."""
        if now < self._due:
            return None
        self._due, self.told = now + TOLD_EVERY, True
        return min(1.0, (tick - self._first) / max(1, self._last - self._first))
