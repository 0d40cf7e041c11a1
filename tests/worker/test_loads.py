"""What the rows of workers say of what runs cost, written by workers and by their parents."""

from __future__ import annotations

import threading
import time
from uuid import UUID

import pytest

from django_livesim import Simulation, __version__, gateway, registry
from django_livesim.models import Run, Worker
from django_livesim.protocol.loads import load_of, stepping
from django_livesim.store import identity, leases
from tests.features.conftest import engine

__all__ = ["engine"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def slow():
    """A simulation whose third step takes as long as the test likes."""
    let_go = threading.Event()

    class Slow(Simulation):
        tick_rate = 20
        let = let_go

        def setup(self) -> None:
            self.state = {"n": 0}

        def step(self, dt: float) -> None:
            self.state["n"] += 1
            if self.state["n"] == 3:
                self.let.wait(60)

    registry.register(Slow)
    yield Slow
    let_go.set()
    registry.unregister("slow")


def test_a_beat_tells_what_each_run_costs_and_for_how_long_one_is_stepping(settings, slow, engine, wait):
    settings.LIVESIM = {"BEAT": 0.2}
    engine()
    counter, slow_run = gateway.start("counter"), gateway.start("slow")

    def told(ask):
        worker = Worker.objects.filter(runs=counter).first()
        return worker is not None and ask(worker.load)

    assert wait(lambda: told(lambda load: stepping(load, slow_run.id)), 30) >= 2.0
    assert told(lambda load: load_of(load, counter.id)).size > 0
    assert not told(lambda load: stepping(load, counter.id))
    slow.let.set()
    wait(lambda: told(lambda load: load["stepping"] == {} and load_of(load, counter.id).cpu > 0))
    wait(lambda: told(lambda load: load_of(load, slow_run.id).late > 10))


def test_a_beat_tells_which_package_it_is_of_and_what_its_clock_says(engine, wait):
    engine()
    load = wait(lambda: Worker.objects.values_list("load", flat=True).filter(load__has_key="clock").first())
    assert load["version"] == __version__
    assert abs(load["clock"] - time.time()) < 30
    assert 1_000_000 < load["memory"] <= load["peak"] * 1.1


def test_who_beats_for_a_worker_tells_what_keeps_it_and_leaves_the_rest_of_its_load():
    run, worker = UUID(int=7), leases.register(identity.this_process(), ["default"], {"runs": 3})
    assert leases.beat_for(worker, {run.hex: 4.2})
    row = Worker.objects.get()
    assert (row.beat, row.load) == (1, {"runs": 3, "stepping": {run.hex: 4.2}})
    assert leases.beat_for(worker)
    assert Worker.objects.get().load == row.load
    leases.leave(worker)
    assert not leases.beat_for(worker, {run.hex: 9.9})
    assert not Run.objects.exists()
