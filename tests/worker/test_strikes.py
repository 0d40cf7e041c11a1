"""Strikes that the database refuses: tried again until they are written, or true no more."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from django_livesim import Simulation, command, gateway, register, registry
from django_livesim.models import Run, Worker
from django_livesim.runtime.harm import Harm as Done
from django_livesim.store import identity, leases
from django_livesim.store.striking import Harm
from django_livesim.testing import worker_in_process
from django_livesim.worker.asking import Asking
from django_livesim.worker.ledger import Ledger
from django_livesim.worker.strikes import Strikes
from tests.hosts import away, host_view

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def me() -> UUID:
    return leases.register(identity.this_process(), ["default"])


@pytest.fixture
def runs(me) -> list[Run]:
    return [Run.objects.create(simulation="counter", worker_id=me, epoch=1, status="running") for _ in "ab"]


@pytest.fixture
def told() -> list[Any]:
    return []


@pytest.fixture
def strikes(told) -> Strikes:
    return Strikes(Asking(), told.append)


def harm(run: Run) -> Harm:
    return Harm(run=run.id, epoch=1, why="ran out of memory")


def struck() -> dict[UUID, int]:
    return dict(Run.objects.filter(strikes__gt=0).values_list("id", "strikes"))


def none_left(strikes: Strikes) -> bool:
    """After another turn."""
    strikes.turn()
    return not strikes.runs


def test_a_locked_run_is_struck_once_it_is_free_and_holds_up_no_other(row_locks, runs, me, strikes, wait):
    bad, good = runs
    with host_view(lambda: gateway.share(bad, "public")):
        strikes.add(me, map(harm, runs))
        assert strikes.turn()
        assert (struck(), strikes.runs) == ({good.id: 1}, [bad.id])
        strikes.due = 0.0
        assert strikes.turn()
        assert strikes.runs == [bad.id]
    wait(lambda: none_left(strikes))
    assert struck() == {good.id: 1, bad.id: 1}


def test_where_another_writes_for_long_on_sqlite_it_is_written_afterwards(
    runs, me, strikes, wait, monkeypatch
):
    if connection.vendor != "sqlite":
        pytest.skip("SQLite has one lock for all")
    quick = connection.settings_dict["OPTIONS"] | {"timeout": 0.1}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", quick)
    connection.close()
    with host_view(lambda: gateway.share(runs[1], "public")):
        strikes.add(me, map(harm, runs))
        assert not strikes.turn()
        assert set(strikes.runs) == {run.id for run in runs}
    wait(lambda: none_left(strikes))
    assert struck() == {run.id: 1 for run in runs}


def test_after_an_outage_it_is_written_though_the_worker_has_lost_its_lease(
    runs, me, strikes, told, wait, monkeypatch
):
    strikes.add(me, [])
    with away(monkeypatch):
        strikes.add(None, map(harm, runs))
        for _ in range(3):
            strikes.due = 0.0
            assert not strikes.turn()
        assert (set(strikes.runs), told) == ({run.id for run in runs}, [])
    wait(lambda: none_left(strikes))
    assert struck() == {run.id: 1 for run in runs} and len(told) == 2


def test_what_is_true_no_more_is_not_tried_again(runs, me, strikes, wait, monkeypatch):
    with away(monkeypatch):
        strikes.add(me, map(harm, runs))
        assert not strikes.turn()
    Run.objects.filter(id=runs[0].id).update(epoch=2)
    Run.objects.filter(id=runs[1].id).update(worker=None)
    wait(lambda: none_left(strikes))
    assert struck() == {}


def test_a_worker_that_ends_before_it_could_strike_says_no_goodbye(row_locks, wait):
    run = Run.objects.create(simulation="counter")
    ledger = Ledger(queues=["default"], registered=lambda worker: None, load=dict)
    ledger.start(lambda function, *args: function(*args), lambda: None)
    ledger.poll({}, True, lambda poll: None)
    wait(lambda: Run.objects.get(id=run.id).epoch == 1)
    worker = ledger.worker
    with host_view(lambda: gateway.share(run, "public")):
        ledger.strike(run.id, 1, Done(why="ran out of memory", stack=""))
        ledger.stop(20.0)
    row = Worker.objects.get(id=worker)
    assert (row.state, row.explained, struck()) == ("alive", False, {})


class Greedy(Simulation):
    """Runs out of memory in the step after it was told to, once."""

    tick_rate = 20
    asked = False

    def setup(self) -> None:
        self.state = {"n": 0}

    def step(self, dt: float) -> None:
        self.state["n"] += 1
        if Greedy.asked:
            Greedy.asked = False
            raise MemoryError

    @command
    def add(self) -> None:
        """Something to wait for."""


@pytest.fixture
def greedy() -> Any:
    register(Greedy)
    yield gateway.start("greedy")
    registry.unregister("greedy")


def test_a_worker_goes_on_while_a_strike_waits_and_takes_the_run_up_only_after_it(
    row_locks, greedy, wait, caplog
):
    other = gateway.start("counter")
    with worker_in_process():
        wait(lambda: Run.objects.filter(status="running").count() == 2)
        with host_view(lambda: gateway.share(greedy, "public")):
            Greedy.asked = True
            wait(lambda: f"strike run={greedy.id}" in caplog.text)
            assert gateway.send(other, "add", wait=True, timeout=60).outcome == "applied"
            third = gateway.start("counter")
            assert gateway.send(third, "add", wait=True, timeout=60).outcome == "applied"
            row = Run.objects.get(id=greedy.id)
            assert (row.strikes, row.epoch) == (0, 1)
        wait(lambda: Run.objects.get(id=greedy.id).epoch == 2)
        row = Run.objects.get(id=greedy.id)
        assert (row.strikes, row.struck_epoch) == (1, 1)
        assert gateway.send(greedy, "add", wait=True, timeout=60).outcome == "applied"
    assert caplog.text.count("strike run=") == 1
