"""Loads the runs that a worker has claimed; one that fails time and again is left out for a while."""

from __future__ import annotations

import logging
import time
from uuid import UUID

from django.db import InterfaceError, OperationalError

from django_livesim.protocol.records import Held, Passed
from django_livesim.store import loading
from django_livesim.store.together import Together

logger = logging.getLogger(__name__)

LOADS = 3  # failures to load a run before it is left out
LEFT_OUT = 60.0  # seconds for which a run that cannot be loaded is left out


class Loading:
    """One that cannot be loaded keeps no other from being loaded. Of the thread of the database."""

    def __init__(self) -> None:
        self._failed: dict[UUID, tuple[int, float]] = {}  # how often, and until when it is left out

    def load(
        self, run: UUID, worker: UUID, passed: tuple[Passed, ...] = (), together: Together | None = None
    ) -> Held | None:
        """As the store gives it; None where it cannot be loaded. Raises where the database is away."""
        try:
            held = loading.load(run, worker, passed, together)
        except (OperationalError, InterfaceError):
            raise  # the database is away, and the run not at fault
        except Exception:
            times = self._failed.get(run, (0, 0.0))[0] + 1
            self._failed[run] = (times, time.monotonic() + LEFT_OUT)
            logger.exception("a run cannot be loaded run=%s times=%s", run, times)
            return None
        self._failed.pop(run, None)
        return held

    def is_hopeless(self, run: UUID) -> bool:
        """Whether it has failed time and again."""
        return self._failed.get(run, (0, 0.0))[0] >= LOADS

    def left_out(self) -> list[UUID]:
        """Runs that are not to be tried for a while."""
        now = time.monotonic()
        return [run for run, (_, until) in self._failed.items() if self.is_hopeless(run) and now < until]

    def forget(self) -> None:
        """None of the runs is the worker's any more."""
        self._failed.clear()
