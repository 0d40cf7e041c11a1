"""The writes of a worker's runs: each is tried until it is known what became of it.

The thread of the database owns them. One that failed, or of which nobody knows whether it has committed,
waits until a beat of the worker has committed again, and the store sees then whether it is there. Meanwhile
its run stays in memory as it is, shows nothing that depends on it, and has no further write under way; so
no more waits here than one write for each run. Where the process dies on any line, or has to end before
they are written, they never were, but for those that had committed: whoever claims the run reads which.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django_livesim.protocol.records import Committed, Write
from django_livesim.store import journal
from django_livesim.store.transitions import Tell
from django_livesim.worker.asking import Asking
from django_livesim.worker.keeping import versions

logger = logging.getLogger(__name__)

AGAIN = 0.1  # seconds before a write is tried again whose run somebody else has locked
TOGETHER = 2  # times that writes are tried together; then each alone, lest one keep the others from it
ALONE = 3  # times that one is then tried, with a database that takes beats, before its run is dropped


@dataclass(kw_only=True, eq=False)
class Waiting:
    """A write, and who is told what became of it."""

    write: Write
    done: Callable[[Committed], None]
    due: float = 0.0
    """Not before, by `time.monotonic`."""
    failed: int = 0
    """How often the database has failed at it."""


Answer = tuple[Waiting, Committed]


class Writes:
    """See the module."""

    def __init__(self, asking: Asking, tell: Tell) -> None:
        """`tell` hears of changes of status that have committed."""
        self._asking = asking
        self._tell = tell
        self._waiting: list[Waiting] = []

    @property
    def runs(self) -> frozenset[UUID]:
        """Those with a write that waits."""
        return frozenset(each.write.run for each in self._waiting)

    @property
    def due(self) -> float:
        """When one is to be tried, by `time.monotonic`, with a database that answers."""
        return min((each.due for each in self._waiting), default=math.inf)

    def add(self, new: Iterable[Waiting]) -> None:
        """Have them written at the next turn."""
        self._waiting += new

    def give_up(self) -> list[Answer]:
        """This is not the worker any more, and none of the runs its own: what became of all that waits."""
        waiting, self._waiting = self._waiting, []
        return [(each, Committed.FAILED) for each in waiting]

    def turn(self, worker: UUID) -> tuple[list[Answer], bool]:
        """Write what is due; what became of it, and whether the database failed.

        Then nothing is to be written before it answers again.
        """
        now = time.monotonic()
        due = [each for each in self._waiting if each.due <= now]
        self._waiting = [each for each in self._waiting if each.due > now]
        answers: list[Answer] = []
        pieces = _pieces(due)
        for place, piece in enumerate(pieces):
            known: list[str] = []
            done = self._asking.ask(partial(self._write, worker, piece, known))
            answers += self._sort(zip(piece, map(Committed, known), strict=False))
            if not done:
                for left in pieces[place + 1 :]:
                    self._waiting += left
                return [*answers, *self._failed(piece[len(known) :])], True
        return answers, False

    def _write(self, worker: UUID, piece: Sequence[Waiting], known: list[str]) -> bool:
        """`known` gets what became of each; of the first of them, where the database fails after those."""
        writes = [each.write for each in piece]
        present = versions() if any(write.successor for write in writes) else {}
        again = [each.write.run for each in piece if each.failed]
        try:
            known += journal.write(worker, writes, present, self._tell, again)
        except journal.Halfway as exc:
            known += exc.results
            raise
        return True

    def _failed(self, piece: Iterable[Waiting]) -> list[Answer]:
        """They are tried again, after the others, until that is hopeless."""
        hopeless: list[Answer] = []
        for each in piece:
            each.failed += 1
            if each.failed < TOGETHER + ALONE:
                self._waiting.append(each)
            else:
                logger.error(
                    "a write fails again and again run=%s epoch=%s", each.write.run, each.write.epoch
                )
                hopeless.append((each, Committed.FAILED))
        return hopeless

    def _sort(self, results: Iterable[tuple[Waiting, Committed]]) -> list[Answer]:
        """What is known; those whose run somebody has locked wait a little."""
        known: list[Answer] = []
        for each, result in results:
            if result is Committed.LATER:
                each.due = time.monotonic() + AGAIN
                self._waiting.append(each)
            else:
                known.append((each, result))
        return known


def _pieces(waiting: Sequence[Waiting]) -> list[list[Waiting]]:
    """What is written in one transaction: all together, but for what has failed in that way."""
    together = [each for each in waiting if each.failed < TOGETHER]
    alone = [[each] for each in waiting if each.failed >= TOGETHER]
    return [together, *alone] if together else alone
