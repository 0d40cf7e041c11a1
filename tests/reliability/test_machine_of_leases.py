"""Leases in arbitrary histories: whatever workers do, and in whatever order, one may write to a run."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Position, Write
from django_livesim.store import journal, leases
from django_livesim.store.identity import Identity

TTL = 10.0
SIMULATIONS = {"counter": 1}


@dataclass(eq=False)
class Process:
    """A worker as it sees itself: what it believes to hold, and when it has heard of whom."""

    id: UUID
    peers: leases.Peers
    held: dict[UUID, int] = field(default_factory=dict)
    past: list[tuple[UUID, int]] = field(default_factory=list)
    """What it has held before, and may still have a write of on its way."""
    heard: dict[UUID, tuple[int, float]] = field(default_factory=dict)

    def forget(self) -> None:
        self.past += self.held.items()
        self.held.clear()


class Leases(RuleBasedStateMachine):
    """The model: who has claimed each run last and in which epoch, all beats, and who was declared gone."""

    workers = Bundle("workers")
    now = 0.0

    @initialize()
    def empty(self) -> None:
        Run.objects.all().delete()
        Worker.objects.all().delete()
        type(self).now = 0.0
        runs = [Run.objects.create(simulation="counter").id for _ in range(2)]
        self.holder: dict[UUID, Process | None] = dict.fromkeys(runs)
        self.epoch = dict.fromkeys(runs, 0)
        self.beats: dict[UUID, int] = {}
        self.gone: set[UUID] = set()
        self.numbers = itertools.count(1)

    @rule(target=workers)
    def register(self) -> Process:
        number = next(self.numbers)
        identity = Identity(
            host=f"h{number}", boot_id=f"b{number}", pid_namespace="n", pid=1, pid_started="1"
        )
        worker = leases.register(identity, ["default"])
        self.beats[worker] = 0
        return Process(worker, leases.Peers(identity, TTL))

    @rule(seconds=st.sampled_from((0.5, 2.0, TTL / 2, TTL)))
    def time_passes(self, seconds: float) -> None:
        type(self).now += seconds

    @rule(worker=workers)
    def beat(self, worker: Process) -> None:
        """Whoever was declared gone learns it from its beat, and from then on believes nothing."""
        assert leases.beat(worker.id, {}) is (worker.id not in self.gone)
        if worker.id in self.gone:
            worker.forget()
        else:
            self.beats[worker.id] += 1

    @rule(worker=workers)
    def look(self, worker: Process) -> None:
        """Gone are those, and only those, whose beat was first seen a lease time ago."""
        alive = self.beats.keys() - self.gone - {worker.id}
        for peer in alive:
            if worker.heard.get(peer, (None, 0.0))[0] != self.beats[peer]:
                worker.heard[peer] = (self.beats[peer], self.now)
        silent = {peer for peer in alive if self.now - worker.heard[peer][1] >= TTL}
        assert set(worker.peers.look(worker.id)) == silent
        self.gone |= silent

    @rule(worker=workers)
    def live_on(self, worker: Process) -> None:
        """For longer than a lease, in which all beat and one of them looks."""
        for _ in range(3):
            self.time_passes(TTL / 2)
            for each in self.beats.keys() - self.gone:
                assert leases.beat(each, {})
                self.beats[each] += 1
            self.look(worker)

    @rule(worker=workers)
    def leave(self, worker: Process) -> None:
        leases.leave(worker.id)
        self.gone.add(worker.id)
        worker.forget()

    @rule(worker=workers)
    def claim(self, worker: Process) -> None:
        """Exactly the runs that nobody alive holds, and its own that it has dropped."""
        free = {run for run, holder in self.holder.items() if self._is_free(run, holder, worker)}
        claimed = leases.claim(worker.id, list(worker.held), queues=["default"], simulations=SIMULATIONS)
        assert set(claimed) == free
        for run in claimed:
            self.epoch[run] += 1
            self.holder[run] = worker
            worker.held[run] = self.epoch[run]

    def _is_free(self, run: UUID, holder: Process | None, worker: Process) -> bool:
        if holder is None or holder.id in self.gone:
            return True
        return holder is worker and run not in worker.held

    @rule(worker=workers)
    def drop_from_memory(self, worker: Process) -> None:
        worker.forget()

    @rule(worker=workers, releases=st.booleans())
    def write(self, worker: Process, releases: bool) -> None:
        """Accepted from whoever claimed the run last, and from nobody else."""
        writes = [
            Write(run=run, epoch=epoch, number=1, tick=1, next_seq=1, speed=1.0, release=releases)
            for run, epoch in worker.held.items()
        ]
        results = journal.write(worker.id, writes)
        for one, result in zip(writes, results, strict=True):
            mine = self._is_mine(one.run, worker)
            assert result == (Committed.YES if mine else Committed.FENCED)
            if not mine or releases:
                worker.past.append((one.run, worker.held.pop(one.run)))
            if mine and releases:
                self.holder[one.run] = None

    @rule(worker=workers)
    def a_late_write_arrives(self, worker: Process) -> None:
        """Of a memory that was dropped: refused, though the run may be the same worker's once more."""
        for run, epoch in worker.past:
            late = Write(run=run, epoch=epoch, number=1, tick=1, next_seq=1, speed=1.0)
            mine = self.holder[run] is worker and self.epoch[run] == epoch  # nobody has claimed it since
            assert journal.write(worker.id, [late]) == [Committed.YES if mine else Committed.FENCED]

    @rule(worker=workers)
    def look_after_what_is_held(self, worker: Process) -> None:
        held = {run: Position(epoch, 2, 5) for run, epoch in worker.held.items()}
        mine = {run for run in held if self._is_mine(run, worker)}
        assert journal.reserve(worker.id, held).keys() == mine
        assert leases.lost(worker.id, held) == held.keys() - mine

    def _is_mine(self, run: UUID, worker: Process) -> bool:
        return self.holder[run] is worker and self.epoch[run] == worker.held[run]

    @invariant()
    def the_rows_are_as_the_model_has_them(self) -> None:
        for run, worker, epoch, status in Run.objects.values_list("id", "worker", "epoch", "status"):
            holder = self.holder[run]
            assert (worker, epoch) == (holder and holder.id, self.epoch[run])
            assert status == Status.WAITING


@pytest.mark.timeout(600)  # a failure is made small before it is told
@pytest.mark.django_db(transaction=True)
def test_whatever_happens_a_run_has_one_worker_that_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "monotonic", lambda: Leases.now)
    run_state_machine_as_test(
        Leases, settings=settings(max_examples=40, stateful_step_count=30, deadline=None, derandomize=True)
    )
