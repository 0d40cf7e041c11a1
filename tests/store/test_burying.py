"""The end of a worker, written by who saw it."""

from __future__ import annotations

import uuid

import pytest

from django_livesim import gateway
from django_livesim.models import Run, Worker
from django_livesim.store import burying, leases, locks
from django_livesim.store.burying import bury
from django_livesim.store.striking import Harm
from tests.hosts import host_view

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held() -> tuple[Worker, Run, Run]:
    """A worker that holds two runs."""
    worker = Worker.objects.create()
    runs = [gateway.start("counter") for _ in range(2)]
    Run.objects.update(worker=worker, status="running", epoch=4)
    return worker, runs[0], runs[1]


def harm(run: Run, epoch: int = 4) -> Harm:
    return Harm(run=run.id, epoch=epoch, why="ended its process by SIGSEGV", stack="Current thread 0x1")


def test_the_worker_is_gone_and_its_end_explained_and_one_run_is_struck(held):
    worker, bad, good = held
    bury(worker.id, [harm(bad)], explained=True)
    worker.refresh_from_db()
    assert (worker.state, worker.explained) == ("gone", True)
    assert list(Run.objects.filter(strikes=1).values_list("id", "error")) == [(bad.id, "Current thread 0x1")]
    assert Run.objects.get(id=good.id).worker_id == worker.id


def test_written_twice_it_is_one_strike(held):
    worker, bad, _ = held
    for _ in range(2):
        bury(worker.id, [harm(bad)], explained=True)
    assert Run.objects.get(id=bad.id).strikes == 1


def test_a_run_that_another_has_claimed_meanwhile_is_struck_all_the_same_and_lost_at_the_last(held):
    worker, bad, _ = held
    other = Worker.objects.create()
    Run.objects.filter(id=bad.id).update(worker=other, epoch=5)
    bury(worker.id, [harm(bad)], explained=True)
    row = Run.objects.get(id=bad.id)
    assert (row.strikes, row.worker_id, row.epoch) == (1, other.id, 5)
    Run.objects.filter(id=bad.id).update(strikes=2, epoch=6)
    bury(Worker.objects.create().id, [harm(bad, epoch=5)], explained=True)
    row = Run.objects.get(id=bad.id)
    assert (row.status, row.worker_id, row.epoch) == ("quarantined", None, 7)


def test_a_run_that_has_ended_is_not_struck(held):
    worker, bad, _ = held
    Run.objects.filter(id=bad.id).update(status="finished", worker=None)
    bury(worker.id, [harm(bad)], explained=True)
    assert not Run.objects.filter(strikes__gt=0).exists()


def test_without_a_run_to_blame_its_end_is_not_explained(held):
    worker, _, _ = held
    bury(worker.id, [], explained=False)
    worker.refresh_from_db()
    assert (worker.state, worker.explained) == ("gone", False)
    bury(uuid.uuid4(), [], explained=True)


def test_one_that_has_left_in_good_order_is_not_dug_up(held):
    worker, bad, _ = held
    leases.leave(worker.id)
    assert bury(worker.id, [harm(bad)], explained=False) == []
    worker.refresh_from_db()
    assert (worker.explained, Run.objects.get(id=bad.id).strikes) == (True, 0)


def test_a_strike_that_was_locked_is_not_lost_where_nobody_heard_of_the_commit(row_locks, held):
    worker, bad, _ = held
    with host_view(lambda: gateway.share(bad, "public")):
        for _ in range(2):
            assert bury(worker.id, [harm(bad)], explained=True) == [harm(bad)]
    assert bury(worker.id, [harm(bad)], explained=True) == []
    assert Run.objects.get(id=bad.id).strikes == 1


def test_a_run_that_is_locked_keeps_no_other_from_being_freed_and_is_struck_later(row_locks, held):
    worker, bad, good = held
    harms = [harm(bad), harm(good)]
    with host_view(lambda: gateway.share(bad, "public")):
        assert bury(worker.id, harms, explained=True) == harms[:1]
        worker.refresh_from_db()
        assert (worker.state, worker.explained) == ("gone", True)
        with pytest.raises(locks.Locked):
            burying.strike(harms[0])
    assert list(Run.objects.filter(strikes=1)) == [good]
    burying.strike(harms[0])
    assert Run.objects.filter(strikes=1).count() == 2
