"""Keeps the stored figures of a worker's runs few, however long they live.

How many a run has is counted here, as they are written; the database is asked once for each run that is
taken up. So a run is looked at again only when it has too many, which is once in hundreds of samples. Of the
thread of the database.
"""

from __future__ import annotations

import time
from uuid import UUID

from django_livesim.protocol.records import Write
from django_livesim.store import sampling

EVERY = 1.0  # seconds between two turns, at least,
AT_ONCE = 5  # and runs that are thinned in one


class Thinning:
    """See the module."""

    def __init__(self) -> None:
        self._counts: dict[UUID, int] = {}
        self._unknown: dict[UUID, None] = {}
        self._many: dict[UUID, None] = {}
        self._due = 0.0

    @property
    def is_due(self) -> bool:
        """Whether there is something to do, and it is time."""
        return bool(self._unknown or self._many) and time.monotonic() >= self._due

    def wrote(self, write: Write) -> None:
        """It has committed."""
        if write.ended or write.release:
            self.forget(write.run)
        else:
            self.stored(write.run, len(write.samples))

    def stored(self, run: UUID, number: int) -> None:
        """So many samples of a run have been stored."""
        if not number:
            return
        if run not in self._counts:
            self._unknown[run] = None
            return
        self._counts[run] += number
        if self._counts[run] > sampling.MOST:
            self._many[run] = None

    def forget(self, run: UUID) -> None:
        """The run is let go, or has just been taken up: others write then, or have written since."""
        for known in (self._counts, self._unknown, self._many):
            known.pop(run, None)

    def turn(self) -> None:
        """Count where that is not known, and thin some of those that have too many."""
        self._due = time.monotonic() + EVERY
        if self._unknown:
            counts = sampling.count(list(self._unknown))
            self._unknown.clear()
            for run, number in counts.items():
                self._note(run, number)
        for run in list(self._many)[:AT_ONCE]:
            del self._many[run]
            self._note(run, sampling.thin(run))

    def _note(self, run: UUID, number: int) -> None:
        self._counts[run] = number
        if number > sampling.MOST:
            self._many[run] = None
