"""The database, in a thread of its own, so that neither steps nor frames wait for it.

Jobs are done in the order in which they came, writes that wait together in
one transaction. Where the database does not answer, writes wait, and looks
find nothing; the worker's beat is what asks whether it is there again.
Answers go back to the step thread by `post`.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import connections

from django_livesim.protocol.records import Committed, Held, Passed, Poll, Position, Write
from django_livesim.runtime.harm import Harm
from django_livesim.store import journal, leases, loading, looking, striking, together, transitions
from django_livesim.store.claiming import CLAIM_BATCH, claim, held_back
from django_livesim.store.looking import Look
from django_livesim.store.together import Together
from django_livesim.store.transitions import Tell
from django_livesim.worker.asking import Asking
from django_livesim.worker.keeping import Lease, code, versions
from django_livesim.worker.loading import Loading
from django_livesim.worker.notes import Notes
from django_livesim.worker.strikes import Strikes
from django_livesim.worker.thinning import Thinning
from django_livesim.worker.writing import Waiting, Writes

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5  # seconds that pass at least between two looks at everything,
SWEEP_EVERY = 0.9  # and between two that ask for commands that came while their run ended

T = TypeVar("T")

Post = Callable[..., None]


def _nowhere(*args: Any) -> None:
    """Where answers go before the ledger is started."""


class Ledger:
    """Implements `runtime.ports.Ledger`, and has the worker's lease kept."""

    def __init__(
        self,
        *,
        queues: Iterable[str],
        max_runs: int | None = None,
        registered: Callable[[UUID], None],
        load: Callable[[], dict[str, Any]],
        tell: Tell = transitions.log,
        freed: Callable[[Sequence[UUID]], None] = _nowhere,
        notes: Notes | None = None,
        code: Callable[[], dict[str, Any]] = code,
    ) -> None:
        """`registered` hears each id that the worker gets; `load` says what a beat tells of it.

        `tell` hears what has changed of a run, once that has committed, and `freed` that one was let go, with
        the workers that may claim it, which need not wait for their poll. They must not block.
        `notes` is what the worker shares with its parent, which has others step blocking loops, and runs
        that were struck.
        `code` says for which runs there is code here.
        """
        self.max_runs = max_runs
        self._asking = Asking()
        self._lease = Lease(
            self._asking,
            queues=queues,
            registered=registered,
            load=load,
            tell=tell,
            lost=self._drop_all,
            drain=lambda: self._drain(),
            notes=notes,
            code=code,
        )
        self._blocking = None if notes is None else False
        self._struck = notes is None
        self._tell = tell
        self._freed = freed
        self._post: Post = _nowhere
        self._dead: Callable[[], None] = _nowhere
        self._drain: Callable[[], None] = _nowhere
        self._jobs: queue.SimpleQueue[tuple[str, Any, Callable[..., None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="livesim-ledger", daemon=True)
        self._loading = Loading()
        self._writes = Writes(self._asking, tell)
        self._strikes = Strikes(self._asking, tell)
        self._thinning = Thinning()
        self._look_due = self._sweep_due = 0.0
        self._dropped: Set[UUID] = frozenset()  # runs of its row that were not held, at the last look
        self._writing: frozenset[UUID] = frozenset()  # runs written in this turn, or that wait to be

    @property
    def worker(self) -> UUID | None:
        """This worker's id; None while it has none."""
        return self._lease.worker

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

    def strike(self, run: UUID, epoch: int, harm: Harm) -> None:
        self._jobs.put(
            ("strike", striking.Harm(run=run, epoch=epoch, why=harm.why, stack=harm.stack), _nowhere)
        )

    def load_again(self, run: UUID, passed: tuple[Passed, ...], done: Callable[[Held | None], None]) -> None:
        self._jobs.put(("load", (run, passed), done))

    def leased(self, worker: UUID | None) -> bool:
        """Whether this is the worker, and no peer can have declared it gone. Any thread."""
        return self._lease.held_by(worker)

    # -- the thread of the database -----------------------------------------------------------

    def _run(self) -> None:
        going_on = True
        while going_on:
            jobs = self._take()
            going_on = None not in jobs
            real = [job for job in jobs if job is not None]
            answers = self._lease.check()
            self._writes.add(Waiting(write=write, done=done) for what, write, done in real if what == "write")
            self._writing = self._writes.runs
            if answers or self.worker is None:
                self._write()
            self._strikes.add(self.worker, (harm for what, harm, _ in real if what == "strike"))
            if not self._lease.in_doubt and not self._strikes.turn():
                self._lease.fail()
            for _, (run, passed), done in (job for job in real if job[0] == "load"):
                self._answer(done, self._ask(partial(self._load_again, run, passed)))
            for _, (held, claiming), done in (job for job in real if job[0] == "poll"):
                self._answer(done, self._ask(partial(self._poll, held, claiming)))
            if going_on and self._thinning.is_due:
                self._ask(self._thinning.turn)
            if going_on and time.monotonic() >= self._lease.due:
                self._lease.care()
        if self._strikes.finish():
            self._asking.ask(self._lease.leave)
        connections.close_all()

    def _take(self) -> list[Any]:
        """All jobs that wait; waits for one until the lease needs care, or a write is tried again."""
        until = self._lease.due
        if not self._lease.in_doubt:
            until = min(until, self._writes.due, self._strikes.due)
        try:
            jobs = [self._jobs.get(timeout=max(0.0, until - time.monotonic()))]
        except queue.Empty:
            return []
        while not self._jobs.empty():
            jobs.append(self._jobs.get_nowait())
        return jobs

    def _ask(self, function: Callable[[], T]) -> T | None:
        """What it gives; None where the database does not answer, and it is not asked before it has again."""
        if self._lease.in_doubt:
            return None
        answer = self._asking.ask(function)
        if self._asking.failed:
            self._lease.fail()
        return answer

    def _answer(self, done: Callable[..., None], answer: Any) -> None:
        self._post(done, answer)

    def _drop_all(self) -> None:
        """The lease is lost, and with it all runs; what waits to be written of them is told not to be."""
        self._loading.forget()
        self._post(self._dead)
        self._write()

    def _write(self) -> None:
        """What is due; where the database fails, the rest waits for it.

        Without an id all is given up: the lease is lost, though the step thread may not have heard of it yet.
        """
        worker = self.worker
        if worker is None:
            known = self._writes.give_up()
        else:
            known, failed = self._writes.turn(worker)
            if failed:
                self._lease.fail()
        if any(result is Committed.YES and each.write.release for each, result in known):
            self._freed(self._lease.peers.claiming)  # first: with the last answer the worker may end
        for each, result in known:
            self._answer(each.done, result)
            if result is Committed.YES:
                self._thinning.wrote(each.write)

    def _poll(self, held: Mapping[UUID, Position], claiming: bool) -> Poll:
        """Grant horizons, and find what is lost, free and waiting; what a look has seen is asked no more."""
        worker = self._lease.have()
        horizons, unsure = self._reserve(worker, held)
        seen = self._look(worker)
        lost = leases.lost(worker, unsure) if seen is None else seen.lost(held)
        mine = [run for run in held if run not in lost]
        claimed = self._claim(worker, mine, seen) if claiming else []
        runs = [*mine, *(each.info.id for each in claimed)]
        more = len(claimed) == CLAIM_BATCH
        waiting = loading.waiting(runs if seen is None or seen.commands or claimed else ())
        return Poll(
            worker=worker,
            claimed=tuple(claimed),
            more=more,
            full=waiting.full,
            entries=waiting.entries,
            left=waiting.left,
            horizons=horizons,
            lost=lost,
        )

    def _reserve(
        self, worker: UUID, held: Mapping[UUID, Position]
    ) -> tuple[dict[UUID, int], dict[UUID, Position]]:
        """The horizons granted, and the runs that asked for one and got none: they may not be the worker's.

        A run whose write has gone before, though it was taken later, or is to be tried again gets its
        horizon by that: here an older position would lower what it says.
        """
        asked = {run for run, at in held.items() if at.horizon is not None} - self._writing
        horizons = journal.reserve(worker, {run: held[run] for run in asked})
        for run in horizons:
            self._thinning.stored(run, len(held[run].samples))
        return horizons, {run: held[run] for run in asked - horizons.keys()}

    def _look(self, worker: UUID) -> Look | None:
        """What there is to do; None where that was asked just now, and doorbells ring."""
        now = time.monotonic()
        if now < self._look_due:
            return None
        sweeps = now >= self._sweep_due
        seen = looking.look(
            worker,
            queues=self._lease.queues,
            simulations=self._claimable(),
            orphans=sweeps,
            struck=self._struck,
        )
        self._look_due = now + LOOK_EVERY
        if sweeps:
            self._sweep_due = now + SWEEP_EVERY
            self._lease.expect_orphans(seen.orphans)
        return seen

    def _claim(self, worker: UUID, held: list[UUID], seen: Look | None = None) -> list[Held]:
        """Runs that are the worker's from now on; none where a look has `seen` none."""
        limit = CLAIM_BATCH
        if seen is not None:
            self._dropped = seen.mine.keys() - set(held)
        unstruck = self._strikes.runs
        if self.max_runs is not None:  # those that it has dropped, and may not take yet, need their place
            limit = min(limit, self.max_runs - len(held) - len(unstruck))
            limit -= held_back(self._dropped) if limit > 0 and self._dropped else 0
        if limit <= 0:
            return []
        kept = [*held, *self._loading.left_out(), *unstruck]
        if seen is not None and not seen.free and seen.mine.keys() <= set(kept):
            return []
        taken = self._take_free(worker, kept, limit)
        rows = together.read(taken, worker)
        loaded = (self._load_run(run, worker, together=rows) for run in taken)
        return [each for each in loaded if each is not None]

    def _claimable(self) -> dict[str, int]:
        """The simulations of which runs are claimed, with their versions here."""
        return versions(blocking=self._blocking)

    def _take_free(self, worker: UUID, kept: list[UUID], limit: int) -> list[UUID]:
        return claim(
            worker,
            kept,
            queues=self._lease.queues,
            simulations=self._claimable(),
            limit=limit,
            struck=self._struck,
            tell=self._tell,
        )

    def _load_again(self, run: UUID, passed: tuple[Passed, ...]) -> Held | None:
        return None if self.worker is None else self._load_run(run, self.worker, passed)

    def _load_run(
        self,
        run: UUID,
        worker: UUID,
        passed: tuple[Passed, ...] = (),
        together: Together | None = None,
    ) -> Held | None:
        held = self._loading.load(run, worker, passed, together)
        self._thinning.forget(run)  # others may have written of it
        return held
