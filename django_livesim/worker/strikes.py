"""Strikes that a worker has still to write: each is tried again until it is there, or true no more.

The thread of the database owns them. A run is not claimed by this worker while its strike waits, so that
there is one for each run at most, and no more than runs that others have locked, or that an outage has
struck. One that cannot be written keeps no other from it.

Where the process dies on any line, or has to end before they are written, its row says no goodbye: its
peers find that the process is no more, which counts against the runs that were not let go, and those are
the runs that were to be struck.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from functools import partial
from uuid import UUID

from django_livesim.store import locks, striking
from django_livesim.store.striking import Harm
from django_livesim.store.transitions import Tell
from django_livesim.worker.asking import Asking

logger = logging.getLogger(__name__)

AGAIN = 0.1  # seconds before a strike is tried again whose run somebody else has locked,
RETRY = 1.0  # and before any is for which there was no database
LAST = 3.0  # seconds for those that wait when the worker ends


class Strikes:
    """Written under the fence of the holding in which each happened."""

    def __init__(self, asking: Asking, tell: Tell) -> None:
        """`tell` hears of each that has committed."""
        self._asking = asking
        self._tell = tell
        self._worker: UUID | None = None  # the last that this was
        self._unwritten: dict[UUID, tuple[UUID, Harm]] = {}
        self.due = math.inf
        """When one is to be tried again, by `time.monotonic`."""

    @property
    def runs(self) -> list[UUID]:
        """Those that are not to be claimed yet."""
        return list(self._unwritten)

    def add(self, worker: UUID | None, harms: Iterable[Harm]) -> None:
        """Have them written at the next turn; `worker` is this one, None where it has none by now."""
        self._worker = worker or self._worker
        for harm in harms:
            logger.error("strike run=%s epoch=%s: its code %s", harm.run, harm.epoch, harm.why)
            if self._worker is not None:
                self._unwritten[harm.run] = (self._worker, harm)
                self.due = 0.0

    def turn(self) -> bool:
        """Write what is due; False where the database has failed, and is to be left alone for a while."""
        return time.monotonic() < self.due or self._write()

    def finish(self, seconds: float = LAST) -> bool:
        """Write them all, within about that time; whether that was done. Blocks."""
        until = time.monotonic() + seconds
        while self._unwritten and time.monotonic() < until:
            time.sleep(max(0.0, min(self.due, until) - time.monotonic()))
            self._write()
        for run in self._unwritten:
            logger.error("left with a strike that could not be written run=%s", run)
        return not self._unwritten

    def _write(self) -> bool:
        """All, or until the database fails; what failed is the last to be tried next time."""
        self.due = math.inf
        for run, (worker, harm) in list(self._unwritten.items()):
            waiting = self._unwritten.pop(run)
            done = self._asking.ask(partial(self._write_one, worker, harm))
            if not done:
                self._unwritten[run] = waiting
                self.due = min(self.due, time.monotonic() + (RETRY if done is None else AGAIN))
            if done is None:
                return False
        return True

    def _write_one(self, worker: UUID, harm: Harm) -> bool:
        """Whether it is there, or true no more; False where somebody has the run locked."""
        try:
            told = striking.strike(worker, harm)
        except locks.Locked:
            return False
        if told is not None:
            self._tell(told)
        return True
