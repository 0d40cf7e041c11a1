"""The database, in a thread of its own, so that neither steps nor frames wait for it.

Jobs are done in the order in which they came, writes that wait together in
one transaction; a write whose run somebody else has locked is tried again
until it is not. Answers go back to the step thread by `post`.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connections

from django_livesim import conf, registry
from django_livesim.gateway import autostart
from django_livesim.protocol.records import Committed, Held, Passed, Poll, Position, Write
from django_livesim.store import identity, journal, leases, loading, transitions, unclaimed
from django_livesim.store.transitions import Tell

logger = logging.getLogger(__name__)

PEERS_EVERY = 0.5  # seconds between two looks at the other workers
LOST_EVERY = 1.0  # seconds between two looks whether runs that ask for nothing are still held
UNCLAIMED_EVERY = 3.0  # seconds between two looks for runs that no worker can claim
SWEEP_EVERY = 1.0  # seconds between two looks for commands that came while their run ended
AGAIN = 0.1  # seconds before a write is tried again whose run somebody else has locked
RETRY = 1.0  # seconds before a worker that could not register tries again
LOADS = 3  # failures to load a run before it is left out
LEFT_OUT = 60.0  # seconds for which a run that cannot be loaded is left out

Post = Callable[..., None]


def _nowhere(*args: Any) -> None:
    """Where answers go before the ledger is started."""


DATABASE_ERRORS = (DatabaseError, InterfaceError)


def _lease_time() -> Callable[[], float]:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC if sys.platform == "darwin" else None)
    return time.monotonic if clock is None else partial(time.clock_gettime, clock)


lease_time = _lease_time()
"""Seconds that only grow, the time included for which the machine was asleep.

Linux stops CLOCK_MONOTONIC meanwhile and has CLOCK_BOOTTIME; on macOS it is `time.monotonic` that stops,
and CLOCK_MONOTONIC goes on.
"""


def versions() -> dict[str, int]:
    """The version of each simulation that this process has the code of."""
    return {definition.name: definition.version for definition in registry.all()}


class Ledger:
    """Implements `runtime.ports.Ledger`, and keeps the worker's lease."""

    def __init__(
        self,
        *,
        queues: Iterable[str],
        max_runs: int | None = None,
        registered: Callable[[UUID], None],
        load: Callable[[], dict[str, Any]],
        tell: Tell = transitions.log,
        freed: Callable[[Sequence[UUID]], None] = _nowhere,
    ) -> None:
        """`registered` hears each id that the worker gets; `load` says what a beat tells of it.

        `tell` hears what has changed of a run, once that has committed, and `freed` that one was let go, with
        the workers that may claim it, which need not wait for their poll. They must not block.
        """
        self.queues = list(queues)
        self.max_runs = max_runs
        self.worker: UUID | None = None
        self._registered = registered
        self._load = load
        self._tell = tell
        self._freed = freed
        self._post: Post = _nowhere
        self._dead: Callable[[], None] = _nowhere
        self._drain: Callable[[], None] = _nowhere
        self._jobs: queue.SimpleQueue[tuple[str, Any, Callable[..., None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="livesim-ledger", daemon=True)
        self._identity = identity.this_process()
        self._peers = leases.Peers(self._identity, conf.settings.LEASE_TTL)
        self._due = {"beat": 0.0, "peers": 0.0, "sweep": 0.0, "autostart": 0.0, "unclaimed": 0.0}
        self._due["succeed"] = math.inf  # from when it has another id than the one whose runs it is to have
        self._unclaimed = unclaimed.Unclaimed()
        self._failed_loads: dict[UUID, tuple[int, float]] = {}  # how often, and until when it is left out
        self._later: list[Any] = []  # writes to be tried again
        self._later_due = math.inf
        self._lease_until: tuple[UUID, float] | None = None  # one value, since two threads read it
        self._before: UUID | None = None  # the worker that this was, whose runs it has not taken over yet
        self._lost_due = 0.0
        self._writing: frozenset[UUID] = frozenset()  # runs written in this turn, or to be tried again
        self._complained = 0.0

    # -- the step thread ----------------------------------------------------------------------

    def start(self, post: Post, dead: Callable[[], None], drain: Callable[[], None] = _nowhere) -> None:
        """Begin; answers go to `post(function, *args)`, and `dead` too where the lease is lost.

        `drain` is called, in the thread of the database, where the worker is told by its row to leave.
        """
        self._post, self._dead, self._drain = post, dead, drain
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Do what waits, give up the lease, and end; within `timeout` seconds, whatever the database does."""
        self._jobs.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.error("the database hangs worker=%s; leaving without its answer", self.worker)

    def poll(
        self, held: Mapping[UUID, Position], claiming: bool, done: Callable[[Poll | None], None]
    ) -> None:
        self._jobs.put(("poll", (held, claiming), done))

    def write(self, write: Write, done: Callable[[Committed], None]) -> None:
        self._jobs.put(("write", write, done))

    def load_again(self, run: UUID, passed: tuple[Passed, ...], done: Callable[[Held | None], None]) -> None:
        self._jobs.put(("load", (run, passed), done))

    def leased(self, worker: UUID | None) -> bool:
        """Whether this is the worker, and no peer can have declared it gone. Any thread.

        By `lease_time`, from before the last beat that committed was sent: peers time their silence from
        after it. So this is right too where the process was stopped for a while, or the machine asleep.
        """
        lease = self._lease_until
        return lease is not None and lease[0] == worker and lease_time() < lease[1]

    # -- the thread of the database -----------------------------------------------------------

    def _run(self) -> None:
        going_on = True
        while going_on:
            jobs = self._take()
            going_on = None not in jobs
            real = [job for job in jobs if job is not None]
            if self.worker is not None and not self.leased(self.worker):
                self._fence_self()
            self._write([*self._take_later(), *(job for job in real if job[0] == "write")])
            for _, (run, passed), done in (job for job in real if job[0] == "load"):
                self._answer(done, self._guarded(partial(self._load_again, run, passed)))
            for _, (held, claiming), done in (job for job in real if job[0] == "poll"):
                self._answer(done, self._guarded(partial(self._poll, held, claiming)))
            if going_on and time.monotonic() >= min(self._due.values()):
                self._care()
        self._guarded(self._leave)
        connections.close_all()

    def _take(self) -> list[Any]:
        """All jobs that wait; waits for one until the lease needs care, or a write is tried again."""
        until = min(self._later_due, *self._due.values())
        try:
            jobs = [self._jobs.get(timeout=max(0.0, until - time.monotonic()))]
        except queue.Empty:
            return []
        while not self._jobs.empty():
            jobs.append(self._jobs.get_nowait())
        return jobs

    def _take_later(self) -> list[Any]:
        """The writes whose time has come again."""
        if time.monotonic() < self._later_due:
            return []
        jobs, self._later, self._later_due = self._later, [], math.inf
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
        self._writing = frozenset(write.run for _, write, _ in [*jobs, *self._later])
        if not jobs:
            return
        worker = self.worker
        results = None
        if worker is not None:
            writes = [write for _, write, _ in jobs]
            restarts = any(write.successor for write in writes)
            present = versions() if restarts else {}
            results = self._guarded(lambda: journal.write(worker, writes, present, self._tell))
        if results is not None and Committed.FAILED in results:
            connections[conf.settings.DATABASE].close()
        answers = list(zip(jobs, results or [Committed.FAILED] * len(jobs), strict=True))
        if any(result == Committed.YES and job[1].release for job, result in answers):
            self._freed(self._peers.claiming)  # first: with the last answer the worker may end
        for job, result in answers:
            if result == Committed.LATER:
                self._later.append(job)
                self._later_due = time.monotonic() + AGAIN
            else:
                self._answer(job[2], result)

    # -- looking for work ---------------------------------------------------------------------

    def _poll(self, held: Mapping[UUID, Position], claiming: bool) -> Poll:
        worker = self._lease()
        horizons, lost = self._reserve(worker, held)
        mine = [run for run in held if run not in lost]
        claimed = self._claim(worker, mine) if claiming else []
        runs = [*mine, *(each.info.id for each in claimed)]
        more = len(claimed) == leases.CLAIM_BATCH
        entries = loading.waiting(runs) if runs else {}
        return Poll(
            worker=worker,
            claimed=tuple(claimed),
            more=more,
            full=sum(map(len, entries.values())) >= loading.at_once(len(runs)),
            entries=entries,
            horizons=horizons,
            lost=lost,
        )

    def _reserve(
        self, worker: UUID, held: Mapping[UUID, Position]
    ) -> tuple[dict[UUID, int], frozenset[UUID]]:
        """The horizons granted, and the runs that are no longer the worker's.

        A run whose write has gone before, though it was taken later, or is to be tried again gets its
        horizon by that: here an older position would lower what it says.
        """
        asked = {run for run, at in held.items() if at.horizon is not None} - self._writing
        horizons = journal.reserve(worker, {run: held[run] for run in asked})
        unsure = asked - horizons.keys()
        if time.monotonic() >= self._lost_due:
            self._lost_due = time.monotonic() + LOST_EVERY
            unsure |= held.keys() - asked
        return horizons, leases.lost(worker, {run: held[run] for run in unsure})

    def _claim(self, worker: UUID, held: list[UUID]) -> list[Held]:
        limit = leases.CLAIM_BATCH
        if self.max_runs is not None:
            limit = min(limit, self.max_runs - len(held))
        if limit <= 0:
            return []
        kept = [*held, *self._left_out()]
        claimed = leases.claim(worker, kept, queues=self.queues, simulations=versions(), limit=limit)
        loaded = (self._load_run(run, worker) for run in claimed)
        return [each for each in loaded if each is not None]

    def _left_out(self) -> list[UUID]:
        """Runs of this worker's that it could not load time and again, and does not try for a while."""
        now = time.monotonic()
        return [run for run, (times, until) in self._failed_loads.items() if times >= LOADS and now < until]

    def _load_again(self, run: UUID, passed: tuple[Passed, ...]) -> Held | None:
        return None if self.worker is None else self._load_run(run, self.worker, passed)

    def _load_run(self, run: UUID, worker: UUID, passed: tuple[Passed, ...] = ()) -> Held | None:
        """One that cannot be loaded keeps no other from being loaded."""
        try:
            held = loading.load(run, worker, passed)
        except (OperationalError, InterfaceError):
            raise  # the database is away, and the run not at fault
        except Exception:
            times = self._failed_loads.get(run, (0, 0.0))[0] + 1
            self._failed_loads[run] = (times, time.monotonic() + LEFT_OUT)
            logger.exception("a run cannot be loaded run=%s times=%s", run, times)
            return None
        self._failed_loads.pop(run, None)
        return held

    # -- the lease ----------------------------------------------------------------------------

    def _lease(self) -> UUID:
        """This worker's id; registers it where it has none."""
        if self.worker is None:
            began = lease_time()
            worker = leases.register(self._identity, self.queues, {"simulations": versions()})
            self._due["beat"] = time.monotonic() + conf.settings.BEAT
            logger.info("worker registered worker=%s pid=%s queues=%s", worker, os.getpid(), self.queues)
            try:
                self._registered(worker)
            except Exception:
                logger.exception("no doorbells are heard worker=%s; the poll goes on", worker)
            self._guarded(self._autostart)
            self.worker = worker
            self._hold_lease(worker, began)
            self._due["succeed"] = time.monotonic() + RETRY
            self._guarded(self._succeed)
        return self.worker

    def _hold_lease(self, worker: UUID, since: float) -> None:
        self._lease_until = (worker, since + conf.settings.LEASE_TTL)

    def _succeed(self) -> None:
        """Take over the runs of the worker that this was, until that has succeeded once.

        One whose runs nobody could call again, since it serves no queue, lets them go.
        """
        if self._before is not None and self.worker is not None:
            if self.queues:
                leases.succeed(self._before, self.worker)
            else:
                leases.leave(self._before)
        self._before = None
        self._due["succeed"] = math.inf

    def _autostart(self) -> None:
        """Until it has succeeded once."""
        if self._is_due("autostart", time.monotonic(), RETRY):
            autostart.start_all(self.queues)
            self._due["autostart"] = math.inf

    def _care(self) -> None:
        """Keep the lease; without one, and without a database to ask for it, wait a little."""
        self._guarded(self._keep_lease)
        if self.worker is None:
            retry = time.monotonic() + RETRY
            self._due = {what: max(due, retry) for what, due in self._due.items()}

    def _keep_lease(self) -> None:
        now = time.monotonic()
        worker = self._lease()
        began = lease_time()
        if self._is_due("beat", now, conf.settings.BEAT):
            if not leases.beat(worker, self._facts()):
                self._lose_lease("declared gone by a peer")
                return
            self._hold_lease(worker, began)
        if self._is_due("succeed", now, RETRY):
            self._succeed()
        if self._is_due("peers", now, PEERS_EVERY):
            self._peers.look(worker)
            if self._peers.told_to_leave:
                self._told_to_leave()
        if self._is_due("sweep", now, SWEEP_EVERY):
            journal.refuse_orphans()
        self._autostart()
        if self._is_due("unclaimed", now, UNCLAIMED_EVERY):
            self._unclaimed.look(self._tell)

    def _facts(self) -> dict[str, Any]:
        """What a beat tells: the load, and for which runs there is code here."""
        return self._load() | {"simulations": versions()}

    def _is_due(self, what: str, now: float, every: float) -> bool:
        if now < self._due[what]:
            return False
        self._due[what] = now + every
        return True

    def _fence_self(self) -> None:
        """No beat has committed for the lease's time: this process stood still, or the database was away.

        Its peers may have declared it gone. Where they have not, its next self takes its runs over, so
        that a database that was away for all of them moves no run from one worker to another.
        """
        before = self.worker
        self._lose_lease(f"without a beat for {conf.settings.LEASE_TTL:g} s")
        self._before = before

    def _lose_lease(self, why: str) -> None:
        """Drop everything, and begin anew under a new id."""
        logger.error("%s worker=%s; all its runs are dropped from memory", why, self.worker)
        self.worker = self._lease_until = None
        self._failed_loads.clear()
        self._peers = leases.Peers(self._identity, conf.settings.LEASE_TTL)
        self._post(self._dead)

    def _told_to_leave(self) -> None:
        """Once: somebody has marked this worker's row as draining."""
        logger.info("told to leave worker=%s; its runs are stored and let go", self.worker)
        drain, self._drain = self._drain, _nowhere
        drain()

    def _leave(self) -> None:
        if self.worker is not None:
            leases.leave(self.worker)
