"""The parent's database: a thread of its own, so that children are watched whatever the database does.

It is told of deaths and writes them down, each until that has committed, whether in the first try or after
an outage; it beats for children that cannot; and it looks for runs of blocking loops, which are to have a
child to themselves. The main thread owns everything else.

A death is a transaction of its own. A run that somebody else has locked holds up its own strike alone: the
worker is gone, its other runs are free, and that strike is tried again. What waits are children that have
died in an outage, and no child begins to hold runs in one, or runs that are locked; so it does not grow.

Where the parent dies on any line, what was not written is found by other workers, as the death of any
worker is; a strike that waits for a lock is lost then.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connections

from django_livesim import conf
from django_livesim.bus import doorbells
from django_livesim.bus.seldom import Seldom
from django_livesim.store import burying, leases, locks
from django_livesim.store.blocking import Blocking
from django_livesim.store.clocks import lease_time
from django_livesim.store.deadlines import within
from django_livesim.store.striking import Harm
from django_livesim.worker.children import Death

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

RETRY = 1.0  # seconds before a death that could not be written is written again,
LOCKED = 0.1  # and before what somebody else has locked is
ASK_EVERY = 2.0  # seconds between two questions whether the database answers
SILENT = 10.0  # seconds without an answer after which it counts as away


@dataclass(frozen=True, kw_only=True)
class Beaten:
    """What became of a beat for a child."""

    worker: UUID
    since: float | None
    """By `lease_time`, from before it was sent; None where it was of no use."""


Found = tuple[list[UUID], set[UUID]]
"""Runs of blocking loops that are free, and those held that are told to end."""


class Registrar:
    """Writes what the parent sees. Its methods may be called from any thread, and do not wait."""

    def __init__(self, *, asks: bool) -> None:
        """`asks`: whether it asks the database now and then if it answers."""
        self._asks = asks
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._unwritten: deque[Death | Harm] = deque()
        self._thread = threading.Thread(target=self._run, name="livesim-registrar", daemon=True)
        self._answered = -SILENT
        self._ask_due = 0.0
        self._retry_due = 0.0
        self._locked_due = 0.0
        self._blocking = Blocking()
        self.beaten: queue.SimpleQueue[Beaten] = queue.SimpleQueue()
        """For the main thread, which alone writes into the maps of children."""
        self.found: queue.SimpleQueue[Found] = queue.SimpleQueue()
        """For the main thread, which spawns, and ends."""

    # -- the main thread ----------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Write what waits, and end; within `timeout` seconds, whatever the database does."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def bury(self, death: Death) -> None:
        """Write a death of a worker, until that has committed."""
        self._jobs.put(lambda: self._note(death))

    def beat_for(self, worker: UUID, stepping: Mapping[str, float]) -> None:
        """Say that it lives, and in which code; `beaten` gets an answer in any case, sooner or later."""
        self._jobs.put(lambda: self._beat_for(worker, stepping))

    def look(
        self,
        workers: Collection[UUID],
        queues: list[str],
        held: Collection[UUID],
        most: int,
        stuck: Collection[UUID],
    ) -> None:
        """Look for runs of blocking loops, as `store.blocking` does; `found` gets an answer in any case.

        And for those of `stuck` that are told to end.
        """
        blocking = self._blocking
        self._jobs.put(
            lambda: self._look(
                lambda: (blocking.look(workers, queues, held, most), blocking.told_to_end(stuck))
            )
        )

    @property
    def is_answered(self) -> bool:
        """Whether the database has answered lately, where it is asked."""
        return time.monotonic() - self._answered < SILENT

    # -- its own thread -----------------------------------------------------------------------

    def _run(self) -> None:
        going_on = True
        while going_on:
            job = self._take()
            if job is None:
                going_on = False
            else:
                job()
            self._write_deaths(hurry=not going_on)
            if self._asks and going_on and time.monotonic() >= self._ask_due:
                self._ask_due = time.monotonic() + ASK_EVERY
                self._try(self._ask)
        connections.close_all()

    def _take(self) -> Callable[[], None] | None:
        wait = LOCKED if self._unwritten else ASK_EVERY if self._asks else None
        try:
            return self._jobs.get(timeout=wait)
        except queue.Empty:
            return _nothing

    def _note(self, death: Death) -> None:
        for harm in death.harms:
            logger.error("strike run=%s epoch=%s: its code %s", harm.run, harm.epoch, harm.why)
        if death.worker is not None:
            self._blocking.was_ours(death.worker)
        self._unwritten.append(death)
        self._locked_due = 0.0

    def _write_deaths(self, *, hurry: bool) -> None:
        """All that are due, until the database fails; what is locked is left, and written again soon."""
        now = time.monotonic()
        if not self._unwritten or (now < max(self._retry_due, self._locked_due) and not hurry):
            return
        self._locked_due = now + LOCKED
        for _ in range(len(self._unwritten)):
            each, left = self._unwritten.popleft(), list[Death | Harm]()
            done = self._try(lambda: left.extend(self._write(each)))  # noqa: B023
            self._unwritten.extend(left if done else [each])
            if not done:
                return

    @staticmethod
    def _write(each: Death | Harm) -> Sequence[Death | Harm]:
        """What of it is locked by somebody else, and so is left."""
        try:
            left = _strike(each) if isinstance(each, Harm) else _bury(each)
        except locks.Locked:
            return [each]
        doorbells.ring()
        return left

    def _beat_for(self, worker: UUID, stepping: Mapping[str, float]) -> None:
        began = lease_time()
        lives: list[bool] = []
        self._try(lambda: lives.append(leases.beat_for(worker, stepping)))
        self.beaten.put(Beaten(worker=worker, since=began if lives == [True] else None))

    def _look(self, look: Callable[[], Found]) -> None:
        found: list[Found] = []
        self._try(lambda: found.append(look()))
        self.found.put(found[0] if found else ([], set()))

    def _ask(self) -> None:
        with connections[conf.settings.DATABASE].cursor() as cursor:
            cursor.execute("SELECT 1")

    def _try(self, function: Callable[[], object]) -> bool:
        """Whether it was done; the connection is made anew next time where it was not."""
        try:
            with within(conf.settings.LEASE_TTL / 2):
                function()
        except Exception as exc:
            self._retry_due = time.monotonic() + RETRY
            seldom.warning("the database does not answer the workers' parent, which asks again: %s", exc)
            connections[conf.settings.DATABASE].close()
            return False
        self._answered = time.monotonic()
        self._retry_due = 0.0
        return True


def _strike(harm: Harm) -> Sequence[Harm]:
    burying.strike(harm)
    return []


def _bury(death: Death) -> Sequence[Harm]:
    if death.worker is None:
        return []
    return burying.bury(death.worker, death.harms, explained=death.explained)


def _nothing() -> None:
    """What is to be done where nobody has asked for anything."""
