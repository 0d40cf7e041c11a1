"""The database, in a thread of its own, so that neither steps nor frames wait for it.

Jobs are done in the order in which they came, writes that wait together in
one transaction. Answers go back to the step thread by `post`.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connections

from django_livesim import conf, registry
from django_livesim.gateway import autostart
from django_livesim.protocol.records import Committed, Held, Poll, Position, Write
from django_livesim.store import identity, journal, leases

logger = logging.getLogger(__name__)

PEERS_EVERY = 0.5  # seconds between two looks at the other workers
TICKS_EVERY = 1.0  # seconds between two notes of how far the held runs are
SWEEP_EVERY = 1.0  # seconds between two looks for commands that came while their run ended

Post = Callable[..., None]


def _nowhere(*args: Any) -> None:
    """Where answers go before the ledger is started."""


DATABASE_ERRORS = (DatabaseError, InterfaceError)


class Ledger:
    """Implements `runtime.ports.Ledger`, and keeps the worker's lease."""

    def __init__(
        self,
        *,
        queues: Iterable[str],
        max_runs: int | None = None,
        registered: Callable[[UUID], None],
        load: Callable[[], dict[str, Any]],
    ) -> None:
        """`registered` hears each id that the worker gets; `load` says what a beat tells of it."""
        self.queues = list(queues)
        self.max_runs = max_runs
        self.worker: UUID | None = None
        self._registered = registered
        self._load = load
        self._post: Post = _nowhere
        self._dead: Callable[[], None] = _nowhere
        self._jobs: queue.SimpleQueue[tuple[str, Any, Callable[..., None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="livesim-ledger", daemon=True)
        self._identity = identity.this_process()
        self._peers = leases.Peers(self._identity, conf.settings.LEASE_TTL)
        self._due = {"beat": 0.0, "peers": 0.0, "sweep": 0.0}
        self._ticks_due = 0.0
        self._complained = 0.0

    # -- the step thread ----------------------------------------------------------------------

    def start(self, post: Post, dead: Callable[[], None]) -> None:
        """Begin; answers go to `post(function, *args)`, and `dead` too where the lease is lost."""
        self._post, self._dead = post, dead
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Do what waits, give up the lease, and end."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def poll(
        self, held: Mapping[UUID, Position], claiming: bool, done: Callable[[Poll | None], None]
    ) -> None:
        self._jobs.put(("poll", (held, claiming), done))

    def write(self, write: Write, done: Callable[[Committed], None]) -> None:
        self._jobs.put(("write", write, done))

    # -- the thread of the database -----------------------------------------------------------

    def _run(self) -> None:
        going_on = True
        while going_on:
            jobs = self._take()
            going_on = None not in jobs
            real = [job for job in jobs if job is not None]
            self._write([job for job in real if job[0] == "write"])
            for _, (held, claiming), done in (job for job in real if job[0] == "poll"):
                self._answer(done, self._guarded(partial(self._poll, held, claiming)))
            if going_on:
                self._guarded(self._keep_lease)
        self._guarded(self._leave)
        connections.close_all()

    def _take(self) -> list[Any]:
        """All jobs that wait; waits for one until the lease needs care."""
        try:
            jobs = [self._jobs.get(timeout=max(0.0, min(self._due.values()) - time.monotonic()))]
        except queue.Empty:
            return []
        while not self._jobs.empty():
            jobs.append(self._jobs.get_nowait())
        return jobs

    def _answer(self, done: Callable[..., None], answer: Any) -> None:
        self._post(done, answer)

    def _guarded(self, function: Callable[[], Any]) -> Any:
        """None where the database did not answer; the connection is made anew next time."""
        try:
            return function()
        except DATABASE_ERRORS as exc:
            self._complain(exc)
        except Exception:
            logger.exception("the ledger failed worker=%s", self.worker)
        connections[conf.settings.DATABASE].close()
        return None

    def _complain(self, exc: Exception) -> None:
        """Once a minute: the database is away, and what follows from that."""
        now = time.monotonic()
        if now - self._complained >= 60:
            self._complained = now
            logger.warning("the database does not answer; commands wait, and are tried again", exc_info=exc)

    def _write(self, jobs: list[Any]) -> None:
        if not jobs:
            return
        worker = self.worker
        results = None
        if worker is not None:
            results = self._guarded(lambda: journal.write(worker, [write for _, write, _ in jobs]))
        if results is not None and Committed.FAILED in results:
            connections[conf.settings.DATABASE].close()
        for index, (_, _, done) in enumerate(jobs):
            self._answer(done, Committed.FAILED if results is None else results[index])

    # -- looking for work ---------------------------------------------------------------------

    def _poll(self, held: Mapping[UUID, Position], claiming: bool) -> Poll:
        worker = self._lease()
        lost = leases.lost(worker, held)
        mine = [run for run in held if run not in lost]
        if time.monotonic() >= self._ticks_due:
            self._ticks_due = time.monotonic() + TICKS_EVERY
            journal.note_ticks(worker, {run: held[run].tick for run in mine})
        claimed = self._claim(worker, mine) if claiming else []
        runs = [*mine, *(each.info.id for each in claimed)]
        return Poll(claimed=tuple(claimed), entries=journal.waiting(runs) if runs else {}, lost=lost)

    def _claim(self, worker: UUID, held: list[UUID]) -> list[Held]:
        limit = leases.CLAIM_BATCH
        if self.max_runs is not None:
            limit = min(limit, self.max_runs - len(held))
        if limit <= 0:
            return []
        simulations = [definition.name for definition in registry.all()]
        claimed = leases.claim(worker, held, queues=self.queues, simulations=simulations, limit=limit)
        loaded = (journal.load(run, worker) for run in claimed)
        return [each for each in loaded if each is not None]

    # -- the lease ----------------------------------------------------------------------------

    def _lease(self) -> UUID:
        """This worker's id; registers it where it has none."""
        if self.worker is None:
            self.worker = leases.register(self._identity, self.queues)
            self._due["beat"] = time.monotonic() + conf.settings.BEAT
            logger.info("worker registered worker=%s pid=%s queues=%s", self.worker, os.getpid(), self.queues)
            self._registered(self.worker)
            autostart.start_all()
        return self.worker

    def _keep_lease(self) -> None:
        now = time.monotonic()
        worker = self._lease()
        if self._is_due("beat", now, conf.settings.BEAT) and not leases.beat(worker, self._load()):
            self._lost_lease()
            return
        if self._is_due("peers", now, PEERS_EVERY):
            self._peers.look(worker)
        if self._is_due("sweep", now, SWEEP_EVERY):
            journal.refuse_orphans()

    def _is_due(self, what: str, now: float, every: float) -> bool:
        if now < self._due[what]:
            return False
        self._due[what] = now + every
        return True

    def _lost_lease(self) -> None:
        """Declared gone by a peer: drop everything, and begin anew under a new id."""
        logger.error("declared gone by a peer worker=%s; all its runs are dropped", self.worker)
        self.worker = None
        self._peers = leases.Peers(self._identity, conf.settings.LEASE_TTL)
        self._post(self._dead)

    def _leave(self) -> None:
        if self.worker is not None:
            leases.leave(self.worker)
