"""Leases in arbitrary histories: whatever workers do, and in whatever order, one may write to a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Position, Write
from django_livesim.store import claiming, clocks, journal, leases
from django_livesim.store.identity import Identity

TTL = 10.0
PROCESSES = 3
SIMULATIONS = {"counter": 1}

some_process = st.integers(0, PROCESSES - 1)


@dataclass(eq=False)
class Process:
    """A worker as it sees itself: what it believes to hold, and how long it has not heard of whom."""

    id: UUID
    peers: leases.Peers
    held: dict[UUID, int] = field(default_factory=dict)
    past: list[tuple[UUID, int]] = field(default_factory=list)
    """What it has held before, and may still have a write of on its way."""
    silence: dict[UUID, tuple[int, float]] = field(default_factory=dict)
    looked: float | None = None

    def forget(self) -> None:
        self.past += self.held.items()
        self.held.clear()


class Leases(RuleBasedStateMachine):
    """The model: who has claimed each run last and in which epoch, all beats, and who was declared gone."""

    now = 0.0

    @initialize()
    def begin(self) -> None:
        Run.objects.all().delete()
        Worker.objects.all().delete()
        runs = [Run.objects.create(simulation="counter").id for _ in range(2)]
        self.holder: dict[UUID, Process | None] = dict.fromkeys(runs)
        self.epoch = dict.fromkeys(runs, 0)
        self.beats: dict[UUID, int] = {}
        self.gone: set[UUID] = set()
        self.processes = [self._register() for _ in range(PROCESSES)]

    def _register(self) -> Process:
        host = f"h{len(self.beats)}"
        identity = Identity(host=host, boot_id=host, pid_namespace="n", pid=1, pid_started="1")
        worker = leases.register(identity, ["default"])
        self.beats[worker] = 0
        return Process(worker, leases.Peers(identity, TTL))

    @rule(place=some_process)
    def start_anew(self, place: int) -> None:
        """As another process, on another host; what it held is for whoever notices."""
        self.processes[place] = self._register()

    @rule(place=some_process)
    def beat(self, place: int) -> None:
        """Whoever was declared gone learns it from its beat, and from then on believes nothing."""
        worker = self.processes[place]
        assert leases.beat(worker.id, {}) is (worker.id not in self.gone)
        if worker.id in self.gone:
            worker.forget()
        else:
            self.beats[worker.id] += 1

    @rule(place=some_process, seconds=st.sampled_from((0.5, TTL / 2, TTL)))
    def look(self, place: int, seconds: float) -> None:
        """After so many seconds; gone are those, and only those, that were silent for the lease time.

        Of the time between two looks a little counts, lest one that stood still itself blames others.
        """
        type(self).now += seconds
        worker = self.processes[place]
        passed = 0.0 if worker.looked is None else min(self.now - worker.looked, leases.UNSEEN)
        worker.looked = self.now
        for peer in self.beats.keys() - self.gone - {worker.id}:
            beat, silence = worker.silence.get(peer, (None, 0.0))
            worker.silence[peer] = (self.beats[peer], silence + passed if beat == self.beats[peer] else 0.0)
        alive = worker.silence.keys() - self.gone
        silent = {peer for peer in alive if worker.silence[peer][1] >= TTL}
        assert set(worker.peers.look(worker.id)) == silent
        self.gone |= silent

    @rule(place=some_process, quiet=st.integers(0, PROCESSES))
    def live_on(self, place: int, quiet: int) -> None:
        """For longer than a lease, in which one looks, and all beat but one, or all."""
        for _ in range(int(TTL) + 2):
            for other in range(PROCESSES):
                if other != quiet and self.processes[other].id not in self.gone:
                    self.beat(other)
            self.look(place, 1.0)

    @rule(place=some_process)
    def leave(self, place: int) -> None:
        worker = self.processes[place]
        leases.leave(worker.id)
        self.gone.add(worker.id)
        worker.forget()

    @rule(place=some_process)
    def claim(self, place: int) -> None:
        """Exactly the runs that nobody alive holds, and its own that it has dropped."""
        worker = self.processes[place]
        free = {run for run, holder in self.holder.items() if self._is_free(run, holder, worker)}
        claimed = claiming.claim(worker.id, list(worker.held), queues=["default"], simulations=SIMULATIONS)
        assert set(claimed) == free
        for run in claimed:
            self.epoch[run] += 1
            self.holder[run] = worker
            worker.held[run] = self.epoch[run]
        # they store their states: else they would be suspects after two deaths
        Run.objects.filter(id__in=claimed).update(unproven=0)

    def _is_free(self, run: UUID, holder: Process | None, worker: Process) -> bool:
        if holder is None or holder.id in self.gone:
            return True
        return holder is worker and run not in worker.held

    @rule(place=some_process)
    def drop_from_memory(self, place: int) -> None:
        self.processes[place].forget()

    @rule(place=some_process, releases=st.booleans())
    def write(self, place: int, releases: bool) -> None:
        """Accepted from whoever claimed the run last, and from nobody else."""
        worker = self.processes[place]
        for run, epoch in list(worker.held.items()):
            mine = self._write(worker, run, epoch, releases)
            if not mine or releases:
                worker.past.append((run, worker.held.pop(run)))
            if mine and releases:
                self.holder[run] = None

    @rule(place=some_process)
    def late_writes_arrive(self, place: int) -> None:
        """Of a memory that was dropped: refused, though the run may be the same worker's once more."""
        worker = self.processes[place]
        for run, epoch in worker.past:
            self._write(worker, run, epoch, releases=False)

    def _write(self, worker: Process, run: UUID, epoch: int, releases: bool) -> bool:
        one = Write(run=run, epoch=epoch, number=1, tick=1, next_seq=1, speed=1.0, release=releases)
        mine = self._is_mine(worker, run, epoch)
        assert journal.write(worker.id, [one]) == [Committed.YES if mine else Committed.FENCED]
        return mine

    @rule(place=some_process)
    def look_after_what_is_held(self, place: int) -> None:
        worker = self.processes[place]
        held = {run: Position(epoch, 2, 5) for run, epoch in worker.held.items()}
        mine = {run for run, at in held.items() if self._is_mine(worker, run, at.epoch)}
        assert journal.reserve(worker.id, held).keys() == mine
        assert leases.lost(worker.id, held) == held.keys() - mine

    def _is_mine(self, worker: Process, run: UUID, epoch: int) -> bool:
        return self.holder[run] is worker and self.epoch[run] == epoch

    @invariant()
    def the_rows_are_as_the_model_has_them(self) -> None:
        for run, worker, epoch, status in Run.objects.values_list("id", "worker", "epoch", "status"):
            holder = self.holder[run]
            assert (worker, epoch) == (holder and holder.id, self.epoch[run])
            assert status == Status.WAITING


@pytest.mark.timeout(600)  # a failure is made small before it is told
@pytest.mark.django_db(transaction=True)
def test_whatever_happens_a_run_has_one_worker_that_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "lease_time", lambda: Leases.now)
    examples = 30 if connection.vendor == "sqlite" else 10  # where each statement has a way to go
    run_state_machine_as_test(
        Leases,
        settings=settings(max_examples=examples, stateful_step_count=30, deadline=None, derandomize=True),
    )
