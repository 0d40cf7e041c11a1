"""What a worker's beat tells of the worker itself and of the runs that it holds.

Made in the thread of the database, also while the step thread is in a run's code, from figures that the
step thread writes: each is one number, so that what is read is at most a touch old.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django_livesim import __version__
from django_livesim.protocol.loads import RunLoad, told_stepping
from django_livesim.worker.notes import Note

if TYPE_CHECKING:  # the parent, which imports this, steps nothing
    from django_livesim.runtime.holding import Holding

MOST = 100
"""Runs of a worker that are told of one by one: those that cost most."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is known of one run at one moment, all of it growing from when it was taken up."""

    cpu: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    tick: int | None = None
    """None while history is played again."""

    @classmethod
    def of(cls, run: Holding) -> Figures:
        effort, tick = run.effort, None if run.replaying else run.host.tick
        return cls(cpu=effort.cpu, steps=effort.steps, seconds=effort.seconds, tick=tick)

    def ticks_since(self, before: Figures) -> int | None:
        """None where that is not known."""
        return None if self.tick is None or before.tick is None else max(0, self.tick - before.tick)


NOTHING = Figures()


class Loads:
    """Tells what has been since it was last asked. One thread asks."""

    def __init__(
        self,
        runs: Mapping[UUID, Holding],
        lateness: deque[float],
        noted: Callable[[], Iterable[Note]],
        viewers: Callable[[UUID], int | None] = lambda run: None,
    ) -> None:
        """`runs` and `lateness` are those of a supervisor; `noted` tells whose code is being called.

        `viewers` tells how many watch a run.
        """
        self._runs = runs
        self._lateness = lateness
        self._noted = noted
        self._viewers = viewers
        self._then = (time.monotonic(), time.process_time())
        self._told: dict[Holding, Figures] = {}  # as they were then

    def tell(self) -> dict[str, Any]:
        """As JSON: what `Worker.load` says, but for the simulations."""
        now, used = time.monotonic(), time.process_time()
        then, before = self._then
        self._then = (now, used)
        passed = max(now - then, 0.001)
        return {
            "runs": len(self._runs),
            "cpu": round((used - before) / passed, 3),
            "memory": memory_now(),
            "peak": memory_peak(),
            "late": self._late(),
            "each": self._each(passed),
            "not_finite": self._not_finite(),
            "stepping": stepping(self._noted()),
            "version": __version__,
            "clock": round(time.time(), 3),
        }

    def _each(self, passed: float) -> dict[str, list[float | None]]:
        before, self._told = self._told, {}
        found: list[tuple[float, float, Holding]] = []
        for run in list(self._runs.values()):
            now = self._told[run] = Figures.of(run)
            found.append((now.cpu - before.get(run, NOTHING).cpu, run.effort.latest, run))
            run.effort.latest = 0.0
        dearest = nlargest(MOST, found, key=lambda each: each[:2])
        return {
            run.id.hex: self._of(run, used, latest, before.get(run, NOTHING), passed).encode()
            for used, latest, run in dearest
        }

    def _of(self, run: Holding, used: float, latest: float, before: Figures, passed: float) -> RunLoad:
        now = self._told[run]
        made, ticks = now.steps - before.steps, now.ticks_since(before)
        return RunLoad(
            cpu=used / passed,
            late=run.pace.late,
            behind=max(latest, run.overdue),
            size=run.keeper.size,
            step=(now.seconds - before.seconds) / made if made else 0.0,
            rate=None if ticks is None else ticks / passed,
            viewers=self._viewers(run.id),
        )

    def _not_finite(self) -> dict[str, int]:
        """By run, numbers of its views that viewers see as null, where there were any."""
        found = ((run.id.hex, run.screen.encoder.found) for run in list(self._runs.values()))
        return dict(nlargest(MOST, ((run, count) for run, count in found if count), key=itemgetter(1)))

    def _late(self) -> float | None:
        """Seconds: of a hundred ticks, 99 came less late than that. None where there was no tick."""
        ticks = sorted(self._lateness.copy())
        self._lateness.clear()
        return round(ticks[int(len(ticks) * 0.99)], 4) if ticks else None


def stepping(notes: Iterable[Note]) -> dict[str, float]:
    """By run, for how many seconds its code has been called, where that is long."""
    now = time.monotonic()
    return told_stepping({note.run: now - note.since for note in notes})


class Since:
    """Implements the runtime's `Watch` where there is no parent: one may ask whose code is called."""

    def __init__(self) -> None:
        self._note: tuple[UUID, int, float] | None = None

    def enter(self, run: UUID, epoch: int, limit: float = 0.0) -> None:
        self._note = (run, epoch, time.monotonic())

    def leave(self) -> None:
        self._note = None

    def noted(self) -> list[Note]:
        """Any thread."""
        note = self._note
        return [] if note is None else [Note(run=note[0], epoch=note[1], since=note[2], limit=0.0, thread=0)]


def memory_now() -> int:
    """Bytes that this process has in memory; where the system does not tell, what it had at most."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return memory_peak()


def memory_peak() -> int:
    """Bytes that it had at most; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
