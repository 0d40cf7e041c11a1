"""Claims, fences, silence: at most one worker advances a run."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection, connections

from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Write
from django_livesim.store import claiming, clocks, identity, journal, leases

pytestmark = pytest.mark.django_db(transaction=True)


def worker(**fields) -> UUID:
    return leases.register(replace(identity.this_process(), **fields), ["default"])


def waiting_run(**fields) -> Run:
    return Run.objects.create(simulation="counter", **fields)


def claim(me: UUID, held=()) -> list[UUID]:
    return claiming.claim(me, held, queues=["default"], simulations={"counter": 1})


def write(run: UUID, epoch: int, **fields) -> Write:
    return Write(run=run, epoch=epoch, number=1, **{"tick": 1, "next_seq": 1, "speed": 1.0} | fields)


def test_a_claim_raises_the_epoch_and_happens_once():
    run, me, other = waiting_run(), worker(), worker()
    assert claim(me) == [run.id]
    assert claim(other) == []
    run.refresh_from_db()
    assert (run.worker_id, run.epoch, run.adoptions) == (me, 1, 0)


def test_only_known_simulations_queues_and_living_statuses_are_claimed():
    waiting_run(queue="heavy")
    Run.objects.create(simulation="unknown")
    waiting_run(status=Status.STOPPED)
    waiting_run(source="external")
    assert claim(worker()) == []


def test_a_worker_claims_again_what_it_dropped_from_memory():
    run, me = waiting_run(), worker()
    claim(me)
    assert claim(me, held=[run.id]) == []
    assert claim(me, held=[]) == [run.id]
    run.refresh_from_db()
    assert run.epoch == 2


def test_runs_of_a_worker_that_is_gone_are_adopted():
    run, first, heir = waiting_run(), worker(), worker()
    claim(first)
    leases.leave(first)
    assert claim(heir) == [run.id]
    run.refresh_from_db()
    assert (run.epoch, run.adoptions) == (2, 1)


def test_a_zombies_writes_are_fenced():
    run, zombie, heir = waiting_run(), worker(), worker()
    claim(zombie)
    leases.leave(zombie)
    claim(heir)
    assert journal.write(zombie, [write(run.id, 1, status=Status.FAILED)]) == [Committed.FENCED]
    assert journal.write(zombie, [write(run.id, 2, status=Status.FAILED)]) == [Committed.FENCED]
    run.refresh_from_db()
    assert run.status == Status.WAITING
    assert journal.write(heir, [write(run.id, 2, status=Status.RUNNING)]) == [Committed.YES]


def test_one_fenced_write_of_a_batch_leaves_the_others():
    mine, theirs, me, other = waiting_run(), waiting_run(), worker(), worker()
    Run.objects.filter(id=mine.id).update(worker=me, epoch=1)
    Run.objects.filter(id=theirs.id).update(worker=other, epoch=1)
    results = journal.write(me, [write(theirs.id, 1), write(mine.id, 1)])
    assert results == [Committed.FENCED, Committed.YES]


@pytest.fixture
def clock(monkeypatch):
    """The clock by which silence is timed; `clock[0]` is what it says."""
    now = [0.0]
    monkeypatch.setattr(clocks, "lease_time", lambda: now[0])
    return now


def test_silence_for_the_ttl_is_death_and_a_beat_is_life(clock):
    me, other = worker(), worker(boot_id="another machine")
    peers = leases.Peers(identity.this_process(), ttl=10)

    def silent_for(seconds):
        found = []
        for _ in range(int(2 * seconds)):
            clock[0] += 0.5
            found += peers.look(me)
        return found

    for _ in range(5):
        assert silent_for(6) == []
        assert leases.beat(other, {})
    assert silent_for(9) == []
    assert silent_for(2) == [other]
    assert not leases.beat(other, {})
    assert Worker.objects.get(id=other).state == Worker.State.GONE


def test_time_in_which_a_worker_could_not_look_is_nobodys_silence(clock):
    me, other = worker(), worker(boot_id="another machine")
    peers = leases.Peers(identity.this_process(), ttl=10)
    for _ in range(9):
        assert peers.look(me) == []
        clock[0] += 600  # the database was away, or this process stood still
    assert peers.look(me) == []
    clock[0] += 1
    assert peers.look(me) == [other]


@pytest.mark.parametrize(
    ("queues", "told"),
    [(["default"], "its runs are taken over"), ([], "a process that was attached to a run has died")],
)
def test_the_log_says_what_becomes_of_the_runs_of_the_dead(caplog, queues, told):
    here = identity.this_process()
    me, dead = worker(), leases.register(replace(here, pid_started="long ago"), queues)
    assert leases.Peers(here, ttl=1000).look(me) == [dead]
    assert told in caplog.text


def test_a_process_of_this_host_that_has_ended_is_dead_at_once(wait):
    child = subprocess.Popen(["sleep", "600"])
    here = identity.this_process()
    row = worker(pid=child.pid, pid_started=identity._started(child.pid))
    peers, me = leases.Peers(here, ttl=1000), worker()
    assert peers.look(me) == []
    child.kill()
    assert wait(lambda: peers.look(me)) == [row]  # not yet waited for: a zombie counts as gone
    child.wait()


def test_a_pid_taken_by_another_process_is_not_the_worker():
    here = identity.this_process()
    row = worker(pid=os.getpid(), pid_started="1")
    assert leases.Peers(here, ttl=1000).look(worker()) == [row]


def test_claims_from_many_threads_never_share_a_run():
    runs = {waiting_run().id for _ in range(20)}
    workers = [worker() for _ in range(4)]
    taken: dict[UUID, list[UUID]] = {}

    def take(me: UUID) -> None:
        try:
            taken[me] = []
            while found := claiming.claim(
                me, taken[me], queues=["default"], simulations={"counter": 1}, limit=3
            ):
                taken[me] += found
        finally:
            connections.close_all()

    threads = [threading.Thread(target=take, args=(me,)) for me in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed = [run for found in taken.values() for run in found]
    assert len(claimed) == len(set(claimed))
    for me in workers:
        taken[me] += claiming.claim(me, taken[me], queues=["default"], simulations={"counter": 1}, limit=100)
    assert {run for found in taken.values() for run in found} == runs
    assert connection.vendor in ("sqlite", "postgresql")


def test_a_process_whose_state_may_not_be_read_is_not_known_to_be_gone(monkeypatch):
    here = identity.this_process()
    monkeypatch.setattr(identity, "_read", lambda path: "")  # as for another user's under hidepid
    hidden, gone, unknown = (
        replace(here, pid=pid, pid_started=at) for pid, at in ((7, "1"), (8, "1"), (8, ""))
    )

    def unreadable(path: Path) -> str:
        raise PermissionError

    def kill(pid: int, number: int) -> None:
        raise ProcessLookupError if pid == gone.pid else PermissionError

    monkeypatch.setattr(identity.os, "kill", kill)
    monkeypatch.setattr(identity.Path, "read_text", unreadable)
    assert not identity.is_gone(here, hidden)
    assert identity.is_gone(here, gone)
    assert not identity.is_gone(here, unknown)
