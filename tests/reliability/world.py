"""A whole world in one thread: workers, their database, senders and viewers, out of one seed.

Nothing in it reads a clock or draws a number but through the world, so one seed is one history, whatever
machine plays it. The manner is that of FoundationDB's simulation and TigerBeetle's VOPR.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from uuid import UUID

import orjson

from django_livesim.protocol.names import Kind, Outcome, Status, Verb
from django_livesim.protocol.records import RunInfo, Stored
from tests.reliability import weather
from tests.reliability.faulty import FaultyDatabase, RunTables
from tests.reliability.ledger import LEASE_TTL
from tests.reliability.people import Boss, Planner, Sender
from tests.reliability.tally import DEFINITIONS, differences
from tests.reliability.witness import Follower, Place, Rule, Witness
from tests.reliability.worker import SimulatedWorker

TROUBLE = 40.0  # seconds in which things go wrong
PATIENCE = 60.0  # seconds within which all is well again after them
INTEREST = 6.0  # seconds between two signs that somebody watches


class World:
    """See the module. `run` plays its history to the end, or raises `witness.Violation`."""

    database_class: type[FaultyDatabase] = FaultyDatabase
    worker_class: type[SimulatedWorker] = SimulatedWorker

    def __init__(self, seed: int, rules: Collection[Rule] = frozenset(Rule), tail: int | None = 80) -> None:
        """`rules`: what is watched over; `tail`: how many events are kept to be told, None: all."""
        self.seed = seed
        self.random = Random(seed)
        self.now = 0.0
        self.is_down = False
        self.trace: deque[tuple[float, tuple[object, ...]]] = deque(maxlen=tail)
        self.weather = weather.draw(self.random)
        self.witness = Witness(rules)
        self.database = self.witness.database = self.database_class(self.witness)
        self.counts: Counter[str] = Counter()
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._names = itertools.count(1)
        self.runs = [self._add_run() for _ in range(self.random.choice((1, 1, 1, 2)))]
        self.viewers = {run: [Follower(self.witness) for _ in range(2)] for run in self.runs}
        self.senders = [sender for run in self.runs for sender in self._senders(run)]
        self.bosses = {run: Boss(self, run, "boss", self.random.choice((0, 3, 6)), 8.0) for run in self.runs}
        self.workers: list[SimulatedWorker] = []
        for _ in range(self.weather.workers):
            self._start_worker()
        self._plan_troubles()
        self.after(0.5, self._show_interest)

    # -- time and chance ----------------------------------------------------------------------

    def after(self, seconds: float, function: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._heap, (self.now + seconds, next(self._order), function, args))

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    def latency(self) -> float:
        """Seconds that a statement is under way."""
        if self.chance(self.weather.slow):
            return self.random.uniform(1, 1.5 * LEASE_TTL)
        return self.random.expovariate(1 / self.weather.latency)

    def new_id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))

    def note(self, *what: object) -> None:
        self.trace.append((self.now, what))

    def _until(self, when: float, reached: Callable[[], bool] = lambda: False) -> bool:
        """Let the world go on to that moment, or until it has `reached`; whether it has."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= when:
            self.now, _, function, args = pop(heap)
            self.counts["events"] += 1
            function(*args)
            if reached():
                return True
        self.now = when
        return reached()

    # -- what there is ------------------------------------------------------------------------

    def _add_run(self) -> UUID:
        name = self.random.choice(list(DEFINITIONS))
        info = RunInfo(id=self.new_id(), simulation=name, seed=self.random.getrandbits(32))
        self.database.add(info)
        return info.id

    def _senders(self, run: UUID) -> Iterator[Sender]:
        for name in ("anna", "ben"):
            yield Sender(self, run, name, self.random.randrange(4, 14), self.random.choice((0.5, 3.0)))
        if self.chance(0.3):
            yield Planner(self, run, "later", 5, 5.0)

    def _start_worker(self) -> None:
        worker = self.worker_class(self, f"worker {next(self._names)}")
        self.workers.append(worker)

    def died(self, worker: SimulatedWorker) -> None:
        """Another process is started in its place, after a while."""
        self.counts["processes ended"] += 1
        self.workers.remove(worker)
        self.after(self.random.uniform(0.2, 8), self._start_worker)

    def newest_checkpoint(self, run: UUID) -> Stored | None:
        """What a worker reads; what is damaged stays so."""
        kept = self.database.runs[run].checkpoints
        if kept and self.chance(self.weather.damage):
            kept[-1].damaged = True
            self.note("the newest checkpoint is damaged: tick", kept[-1].stored.tick)
        return self.database.newest_checkpoint(run)

    # -- troubles -----------------------------------------------------------------------------

    def _plan_troubles(self) -> None:
        troubles = (
            [self._kill] * self.weather.kills
            + [self._stop] * self.weather.stops
            + [self._cut_off] * self.weather.cuts
            + [self._drain] * self.weather.drains
            + [self._outage] * self.weather.outages
        )
        for trouble in troubles:
            early = self.chance(0.2)  # while a run has nothing stored yet
            self.after(self.random.uniform(0.5, 3.0 if early else TROUBLE), trouble)

    def _victim(self) -> SimulatedWorker | None:
        """Most often one that holds something."""
        holding = [each for each in self.workers if each.supervisor.runners]
        of = holding if holding and self.chance(0.8) else self.workers
        return self.random.choice(of) if of else None

    def _kill(self) -> None:
        if (victim := self._victim()) is not None:
            victim.light(self.random.randrange(1, 40))

    def _stop(self) -> None:
        if (victim := self._victim()) is not None:
            self.counts["stopped and continued"] += 1
            victim.stop(self.random.uniform(1.5, 5) * LEASE_TTL)

    def _cut_off(self) -> None:
        if (victim := self._victim()) is not None:
            self.counts["cut off from the database"] += 1
            victim.cut_off(self.random.uniform(0.5, 2.5) * LEASE_TTL, with_a_write=self.chance(0.7))

    def _drain(self) -> None:
        if (victim := self._victim()) is not None:
            victim.drain()

    def _outage(self) -> None:
        self.counts["outages"] += 1
        self.note("the database is away")
        self.is_down = True
        self.after(self.random.uniform(0.5, 1.5 * LEASE_TTL), self._end_outage)

    def _end_outage(self) -> None:
        self.note("the database is back")
        self.is_down = False

    # -- messages -----------------------------------------------------------------------------

    def ring(self, run: UUID) -> None:
        """There is a new row; perhaps somebody hears of it."""
        holder = self.database.runs[run].row.worker
        for worker in self.workers:
            if holder is None or worker.ledger.worker == holder:
                for _ in range(1 + self.chance(self.weather.rings_doubled)):
                    if not self.chance(self.weather.rings_lost):
                        self.after(self.random.random() * 0.05, worker.ring)

    def show(self, run: UUID, epoch: int, seq: int, place: Place) -> None:
        """A frame goes on its way to each viewer: lost, late, twice, or at once."""
        for viewer in self.viewers[run]:
            if self.chance(self.weather.frames_late):
                self.after(self.random.expovariate(1 / 5), viewer.see, epoch, seq, place)
            if not self.chance(self.weather.frames_lost):
                viewer.see(epoch, seq, place)

    def _show_interest(self) -> None:
        for worker in self.workers:
            for run in worker.supervisor.runners:
                worker.interest(run)
        self.after(INTEREST, self._show_interest)

    # -- the history --------------------------------------------------------------------------

    def run(self) -> None:
        self._until(TROUBLE)
        self._heal()
        self._resume()
        self.after(2 * LEASE_TTL, self._resume)  # whatever else was still under way
        self._await(self._is_answered, "commands are answered")
        for run, boss in self.bosses.items():
            if self.database.runs[run].row.status is not Status.STOPPED:
                boss.say(Verb.STOP)
        self._await(self._is_stopped, "runs are stopped")
        for run in self.runs:
            self._judge(self.database.runs[run])
        self.counts += Counter(self.witness.counts)
        self.counts["seeds"] += 1
        self.counts["acknowledged"] += sum(len(each.acknowledged) for each in self.senders)
        self.counts["frames seen"] += sum(each.shown for of_run in self.viewers.values() for each in of_run)

    def _resume(self) -> None:
        for run, boss in self.bosses.items():
            if self.database.runs[run].row.status is not Status.STOPPED:
                boss.say(Verb.RESUME)

    def _heal(self) -> None:
        self.note("-- all troubles end")
        self.weather, self.is_down = self.weather.calm(), False
        for sender in [*self.senders, *self.bosses.values()]:
            sender.gap = min(sender.gap, 0.5)  # nobody takes longer than what is waited for
        for worker in list(self.workers):
            worker.go_on()

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        happened = self._until(self.now + PATIENCE, condition)
        self.witness.demand(happened, Rule.HEALED, "after", PATIENCE, "s not all", what)

    def _is_answered(self) -> bool:
        done = all(sender.done for sender in [*self.senders, *self.bosses.values()])
        return done and not any(tables.waiting for tables in self.database.runs.values())

    def _is_stopped(self) -> bool:
        return all(tables.row.status is Status.STOPPED for tables in self.database.runs.values())

    # -- the end ------------------------------------------------------------------------------

    def _judge(self, tables: RunTables) -> None:
        """Compare what the state has with what was acknowledged, and with its own history."""
        demand, journal = self.witness.demand, tables.journal()
        ids: list[str] = orjson.loads(tables.checkpoints[-1].stored.views or b"null")["all"]["ids"]
        applied = [
            row.args["id"] for row in journal if row.kind is Kind.COMMAND and row.outcome is Outcome.APPLIED
        ]
        acknowledged = self._acknowledged(tables)
        demand(len(set(ids)) == len(ids), Rule.ONCE, ids)
        demand(not acknowledged - set(ids), Rule.LOST, acknowledged - set(ids))
        demand(ids == applied, Rule.ORDER, "state", ids, "journal", applied)
        for name in ("anna", "ben"):
            numbers = [int(each.split("-")[1]) for each in ids if each.startswith(name)]
            demand(numbers == sorted(numbers), Rule.SENT, name, numbers)
        for row in journal:
            early = row.due_tick is not None and (row.apply_tick or 0) < row.due_tick
            demand(not early, Rule.EARLY, row)
        self._judge_pauses(tables)
        if Rule.REPLAY in self.witness.rules:
            for difference in differences(tables.row.info, tables.taken, journal):
                demand(False, Rule.REPLAY, difference)

    def _acknowledged(self, tables: RunTables) -> set[str]:
        """The ids that were acknowledged and not refused for a reason."""
        ids = set()
        for sender in self.senders:
            for client_id in sender.acknowledged if sender.run == tables.row.info.id else ():
                row = tables.commands.get((sender.name, client_id))
                if row is None or row.outcome is not Outcome.REFUSED:
                    ids.add(client_id if row is None else row.args["id"])
        return ids

    def _judge_pauses(self, tables: RunTables) -> None:
        """Between a pause and what ends it there are no ticks but those asked for."""
        limit: float = float("inf")
        for row in tables.journal():
            tick = row.apply_tick or 0
            self.witness.demand(tick <= limit, Rule.PAUSED, row, "after", limit)
            if row.name == Verb.RESUME:
                limit = float("inf")
            elif row.name == Verb.PAUSE:
                limit = tick
            elif row.name == Verb.STEP:
                limit = (tick if limit == float("inf") else limit) + row.args["n"]

    def tail(self) -> str:
        """The last events, one a line."""
        lines = (f"{at:9.3f}  {' '.join(map(str, what))}" for at, what in self.trace)
        return "\n".join([f"{self.weather}", *lines])


@contextmanager
def silence() -> Iterator[None]:
    """Thousands of workers that die say so in the log; not here."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
