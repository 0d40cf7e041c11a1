"""The ledger of a simulated worker: what `django_livesim.worker.ledger` does, one statement at a time.

Each `yield` gives the world a statement to carry out, or a number of seconds to wait; the world answers with
what came of it, later, or raises `DatabaseDownError` there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django_livesim.protocol.records import Committed, Entry, Held, Poll, Position, Write
from tests.reliability.faulty import DatabaseDownError, FaultyDatabase, held

if TYPE_CHECKING:
    from tests.reliability.worker import SimulatedWorker

BEAT = 2.0
LEASE_TTL = 10.0
PEERS_EVERY = 2.0
SWEEP_EVERY = 5.0
AGAIN = 0.1
RETRY = 1.0
DOUBT = 0.1

Thread = Generator[Callable[[], Any] | float, Any, Any]


@dataclass(kw_only=True, eq=False)
class Waiting:
    """A write, as in `worker.writing`."""

    write: Write
    done: Callable[..., None]
    due: float = 0.0
    failed: bool = False


class SimulatedLedger:
    """Implements `runtime.ports.Ledger` for one process, and keeps its lease."""

    def __init__(self, process: SimulatedWorker, database: FaultyDatabase) -> None:
        self.process = process
        self.database = database
        self.worker: UUID | None = None
        self.jobs: deque[tuple[str, Any, Callable[..., None]]] = deque()
        self._waiting: list[Waiting] = []
        self._writing: frozenset[UUID] = frozenset()
        self._failed = False
        """Whether the database has failed, and no beat was taken since."""
        self._due = {"beat": 0.0, "peers": 0.0, "sweep": 0.0}
        self._beaten = 0.0
        """When a beat was last known to have been taken, by the clock before it was sent."""
        self._seen: dict[UUID, tuple[int, float]] = {}

    # -- the step thread ----------------------------------------------------------------------

    def poll(
        self, held: Mapping[UUID, Position], claiming: bool, done: Callable[[Poll | None], None]
    ) -> None:
        self._put("poll", (held, claiming), done)

    def write(self, write: Write, done: Callable[[Committed], None]) -> None:
        self._put("write", write, done)

    def _put(self, kind: str, what: Any, done: Callable[..., None]) -> None:
        self.process.tap()
        self.jobs.append((kind, what, done))
        self.process.nudge()

    # -- the thread of the database -----------------------------------------------------------

    def run(self) -> Thread:
        while True:
            now = self.process.clock.time()
            jobs = list(self.jobs)
            self.jobs.clear()
            due = self._next_due()
            if not jobs and now < due:
                yield due - now
                continue
            if self._in_doubt and now >= self._care_due:
                yield from self._care()
            self._waiting += [
                Waiting(write=write, done=done) for what, write, done in jobs if what == "write"
            ]
            self._writing = frozenset(each.write.run for each in self._waiting)
            if not self._in_doubt:
                yield from self._write()
            for _, (positions, claiming), done in (job for job in jobs if job[0] == "poll"):
                poll = None
                if not self._in_doubt:
                    try:
                        poll = yield from self._poll(positions, claiming)
                    except DatabaseDownError:
                        self._fail()
                self.process.post(done, poll)
            if self.process.clock.time() >= self._care_due:
                yield from self._care()

    def _next_due(self) -> float:
        due = self._care_due
        return due if self._in_doubt else min([due, *(each.due for each in self._waiting)])

    @property
    def _care_due(self) -> float:
        return self._due["beat"] if self._failed else min(self._due.values())

    @property
    def _in_doubt(self) -> bool:
        return self._failed or (self.worker is not None and not self.leased(self.worker))

    def _fail(self) -> None:
        if not self._failed:
            self._failed = True
            self._due["beat"] = self.process.clock.time() + DOUBT

    def leave(self) -> None:
        if self.worker is not None:
            self.database.leave(self.worker)

    def _write(self) -> Thread:
        now, world = self.process.clock.time(), self.process.world
        due = [each for each in self._waiting if each.due <= now]
        self._waiting = [each for each in self._waiting if each.due > now]
        if not due:
            return
        results = [Committed.FAILED] * len(due)
        if self.worker is not None and world.chance(world.weather.locked):
            results = [Committed.LATER] * len(due)
        elif self.worker is not None:
            writes, again = [each.write for each in due], [each.write.run for each in due if each.failed]
            try:
                results = yield partial(self.database.write, self.worker, writes, again)
            except DatabaseDownError:
                for each in due:
                    each.failed = True
                self._waiting += due
                self._fail()
                return
        for each, result in zip(due, results, strict=True):
            if result is Committed.LATER:
                each.due = self.process.clock.time() + AGAIN
                self._waiting.append(each)
            else:
                self.process.post(each.done, result)

    # -- looking for work ---------------------------------------------------------------------

    def _poll(self, positions: Mapping[UUID, Position], claiming: bool) -> Thread:
        database = self.database
        if self.worker is None:
            yield from self._register()
        worker = self.worker
        granted: dict[UUID, int] = {}
        lost: frozenset[UUID] = frozenset()
        asked = {
            run: at for run, at in positions.items() if at.horizon is not None and run not in self._writing
        }
        if asked:
            granted = yield partial(database.reserve, worker, asked)
        if unsure := {run: at for run, at in positions.items() if run not in granted}:
            lost = yield partial(database.lost, worker, unsure)
        mine = [run for run in positions if run not in lost]
        claimed = (yield from self._claim(worker, mine)) if claiming else []
        runs = [*mine, *(each.info.id for each in claimed)]
        entries: dict[UUID, list[Entry]] = (yield partial(self.waiting, runs)) if runs else {}
        return Poll(worker=worker, claimed=tuple(claimed), entries=entries, horizons=granted, lost=lost)

    def waiting(self, runs: Sequence[UUID]) -> dict[UUID, list[Entry]]:
        """Commands that no worker has taken yet."""
        return self.database.waiting(runs)

    def _claim(self, worker: UUID, mine: list[UUID]) -> Thread:
        claimed: list[Held] = []
        for run, epoch, holder in (yield partial(self.database.claimable, worker, mine)):
            if (yield partial(self.database.claim, worker, run, epoch, holder)):
                loaded = yield from self._load(worker, run)
                claimed += [] if loaded is None else [loaded]
        return claimed

    def _load(self, worker: UUID, run: UUID) -> Thread:
        row = yield partial(self.database.row, run, worker)
        if row is None:
            return None
        stored = yield partial(self.process.world.newest_checkpoint, run)
        after = stored.apply_seq if stored is not None and stored.data else 0
        journal = yield partial(self.database.journal, run, after)
        return held(row, stored, journal)

    # -- the lease ----------------------------------------------------------------------------

    def _register(self) -> Thread:
        worker = self.process.world.new_id()
        self._beaten = self.process.clock.time()
        yield partial(self.database.register, worker, self.process)
        self._due["beat"] = self.process.clock.time() + BEAT
        self._seen.clear()
        self.worker = worker

    def leased(self, worker: UUID | None) -> bool:
        """Whether a beat was taken lately; always, where it does not look."""
        if worker is None or worker != self.worker:
            return False
        lasts = self.process.clock.time() - self._beaten < LEASE_TTL
        return lasts or not self.process.world.weather.fences_itself

    def _care(self) -> Thread:
        self._failed = True
        with suppress(DatabaseDownError):
            yield from self._keep_lease()
        if self._failed:
            self._due["beat"] = self.process.clock.time() + RETRY

    def _keep_lease(self) -> Thread:
        now = self.process.clock.time()
        if self.worker is None:
            yield from self._register()
        if self._is_due("beat", now, BEAT):
            began = self.process.clock.time()
            if not (yield partial(self.database.beat, self.worker)):
                self._lose_lease("gone")
                return
            self._beaten = began
        self._failed = False
        if self._is_due("peers", now, PEERS_EVERY):
            yield from self._look_at_peers()
        if self._is_due("sweep", now, SWEEP_EVERY):
            yield self.database.refuse_orphans

    def _is_due(self, what: str, now: float, every: float) -> bool:
        if now < self._due[what]:
            return False
        self._due[what] = now + every
        return True

    def _look_at_peers(self) -> Thread:
        now = self.process.clock.time()
        peers = yield partial(self.database.peers, self.worker)
        seen = self._seen
        self._seen = {
            peer: seen[peer] if peer in seen and seen[peer][0] == beat else (beat, now)
            for peer, beat, _ in peers
        }
        for peer, beat, process in peers:
            ended = self.process.world.weather.same_host and process.over
            if ended or now - self._seen[peer][1] >= LEASE_TTL:
                self.process.note("declares gone", process.name)
                yield partial(self.database.declare_gone, peer, beat)

    def _lose_lease(self, why: str) -> None:
        self.process.note("has lost its lease:", why)
        self.worker = None
        self.process.post(self.process.supervisor.take, Poll(dead=True))
