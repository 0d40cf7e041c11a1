"""The ledger of a child that is there for one run, and those that leave such runs to it."""

from __future__ import annotations

from typing import Any

import pytest

from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Position
from django_livesim.runtime.harm import Harm
from django_livesim.store import identity, leases
from django_livesim.worker import notes
from django_livesim.worker.ledger import Ledger
from django_livesim.worker.own_run import OwnRun

pytestmark = pytest.mark.django_db(transaction=True)

PORTS: Any = {"queues": ["default"], "registered": lambda worker: None, "load": lambda: {"runs": 1}}


class Told:
    """A ledger without its thread, and how often it was told to leave."""

    def __init__(self, run: Run) -> None:
        self.drained = 0
        self.ledger = OwnRun(run=run.id, **PORTS)
        self.ledger._drain = self.drain

    def drain(self) -> None:
        self.drained += 1

    def look(self, *held: Any) -> list[Any]:
        return [
            each.info.id
            for each in self.ledger._poll(dict.fromkeys(held, Position(1, 0)), claiming=True).claimed
        ]


@pytest.fixture
def run():
    return Run.objects.create(simulation="echo_sync")


def another() -> Any:
    return leases.register(identity.this_process(), ["default"])


def test_workers_with_a_parent_leave_blocking_loops_to_processes_of_their_own(run):
    counter = Run.objects.create(simulation="counter")
    shared = Ledger(**PORTS, notes=notes.Notes(notes.make()))
    assert [held.info.id for held in shared._poll({}, claiming=True).claimed] == [counter.id]
    row = Worker.objects.get(id=shared.worker)
    assert row.load["simulations"].keys() > row.load["blocking"].keys() == {"echo_sync"}
    assert [held.info.id for held in Ledger(**PORTS)._poll({}, claiming=True).claimed] == [run.id]


def test_workers_with_a_parent_leave_what_was_struck_to_processes_of_their_own_but_for_their_own_runs():
    facts: Any = {"simulation": "counter", "strikes": 1, "tick": 5, "struck_tick": 5}
    free, further = Run.objects.create(**facts), Run.objects.create(**facts | {"tick": 6})
    shared = Ledger(**PORTS, notes=notes.Notes(notes.make()))
    assert [held.info.id for held in shared._poll({}, claiming=True).claimed] == [further.id]
    shared._look_due = 0.0
    mine = Run.objects.create(**facts, worker_id=shared.worker)
    assert [held.info.id for held in shared._poll({}, claiming=True).claimed] == [further.id, mine.id]
    assert Told(free).look() == [free.id]


def test_what_was_struck_is_let_go_when_it_has_done_well_for_a_while_and_a_blocking_loop_is_not(run):
    facts: Any = {"strikes": 1, "tick": 5, "struck_tick": 5}
    other = Run.objects.create(simulation="counter", **facts)
    for each, told in ((run, Told(run)), (other, Told(other))):
        assert told.look() == [each.id]
        Run.objects.filter(id=each.id).update(tick=6)
        assert (told.look(each.id), told.drained) == ([], 0)  # too soon
        told.ledger._until = 0.0
        Run.objects.filter(id=each.id).update(**facts)
        assert (told.look(each.id), told.drained) == ([], 0)  # no further
        Run.objects.filter(id=each.id).update(tick=6)
        assert (told.look(each.id), told.drained) == ([], int(each == other))


def test_it_claims_its_run_alone_once_and_leaves_when_it_is_held_no_more(run):
    Run.objects.create(simulation="echo_sync")
    told = Told(run)
    assert (told.look(), told.ledger.had, told.drained) == ([run.id], True, 0)
    epoch = Run.objects.get(id=run.id).epoch
    Run.objects.filter(id=run.id).update(worker=another())
    assert told.look() == []
    assert (told.drained, Run.objects.get(id=run.id).epoch) == (1, epoch)


@pytest.mark.parametrize("status", ["running", "stopped"])
def test_where_another_worker_was_quicker_or_the_run_has_ended_it_leaves_without_having_had_it(run, status):
    Run.objects.filter(id=run.id).update(status=status, worker=another() if status == "running" else None)
    told = Told(run)
    assert (told.look(), told.ledger.had, told.drained) == ([], False, 1)


def test_what_cannot_be_loaded_now_is_tried_again(run, monkeypatch):
    told = Told(run)
    with monkeypatch.context() as patch:
        patch.setattr(told.ledger, "_load_run", lambda run, worker, together: None)
        assert (told.look(), told.drained) == ([], 0)
    assert told.look() == [run.id]


def test_its_row_says_which_run_it_is_for_and_has_code_for_nobody_elses(run):
    told = Told(run)
    told.look()
    load = {"run": str(run.id), "simulations": {}}
    assert Worker.objects.get(id=told.ledger.worker).load == load
    told.ledger._lease._due["beat"] = 0.0
    told.ledger._lease.keep()
    assert Worker.objects.get(id=told.ledger.worker).load == {"runs": 1} | load


def test_a_struck_run_is_not_taken_up_again_in_the_same_process(run):
    told = Told(run)
    told.look()
    told.ledger.strike(run.id, 1, Harm(why="broke", stack=""))
    assert told.drained == 1
    assert Run.objects.get(id=run.id).status == Status.WAITING
