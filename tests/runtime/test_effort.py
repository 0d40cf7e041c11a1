"""What runs cost their worker, as its beat tells it."""

from __future__ import annotations

import time

import orjson
import pytest

from django_livesim import Simulation
from django_livesim.protocol.loads import RunLoad, load_of, stepping, told_stepping
from django_livesim.runtime.effort import SAMPLED, Effort
from django_livesim.worker.loads import MOST, Loads, Since
from tests.runtime.world import World

LENGTH = 0.004  # seconds of a step here


class Idle(Simulation):
    name = "idle"
    tick_rate = 10

    def setup(self) -> None:
        self.state = {"n": 0}

    def step(self, dt: float) -> None:
        self.state["n"] += 1


class Busy(Idle):
    name = "busy"

    def step(self, dt: float) -> None:
        until = time.thread_time() + LENGTH
        while time.thread_time() < until:
            pass


class Sleepy(Idle):
    name = "sleepy"

    def step(self, dt: float) -> None:
        time.sleep(LENGTH)


def loads(world: World, since: Since | None = None) -> Loads:
    supervisor = world.supervisor
    return Loads(supervisor.runners, supervisor.lateness, (since or Since()).noted)


def test_only_what_the_thread_works_for_a_run_is_its_share_of_a_core():
    world = World(Busy, Sleepy)
    busy, sleepy = world.start(Busy), world.start(Sleepy)
    world.run_for(2.0, by=0.1)
    efforts = [world.runner(run).effort for run in (busy, sleepy)]
    assert efforts[0].cpu >= 18 * LENGTH  # some touches are estimates
    assert efforts[1].cpu < efforts[0].cpu / 2


def test_short_touches_are_estimated_from_those_that_are_measured():
    effort, other = Effort(), time.thread_time()
    for _ in range(SAMPLED * 20):
        effort.enter()
        until = time.thread_time() + 0.0001
        while time.thread_time() < until:
            pass
        effort.leave()
    used = time.thread_time() - other
    assert used / 3 < effort.cpu < used * 3


def test_the_mean_time_of_a_step_is_of_the_steps_since_the_beat_before():
    world = World(Idle)
    run = world.start(Idle)
    asked = loads(world)
    runner = world.runner(run)
    runner.effort.stepped(9.0)
    asked.tell()
    runner.effort.stepped(0.25)
    runner.effort.stepped(0.75)
    assert load_of(asked.tell(), run).step == 0.5
    assert load_of(asked.tell(), run).step == 0.0


def test_it_is_told_how_late_ticks_came_and_how_many_were_passed_over():
    world = World(Idle)
    run = world.start(Idle)
    asked = loads(world)
    world.run_for(1.0, by=0.1)
    assert load_of(asked.tell(), run).behind == pytest.approx(0.0, abs=0.001)
    world.clock.advance(0.45)
    assert load_of(asked.tell(), run).behind == pytest.approx(0.35, abs=0.001)
    world.settle()
    told = asked.tell()
    assert load_of(told, run).behind == pytest.approx(0.35, abs=0.001)
    assert load_of(told, run).late == 2
    assert told["late"] == pytest.approx(0.35, abs=0.001)
    assert asked.tell()["late"] is None


def test_the_rate_is_that_of_the_ticks_since_the_beat_before(monkeypatch):
    world = World(Idle)
    run = world.start(Idle)
    asked = loads(world)
    assert load_of(asked.tell(), run).rate is None  # it may have been taken up a moment ago
    ticks = world.runner(run).host.tick
    world.run_for(1.0, by=0.1)
    ticks = world.runner(run).host.tick - ticks
    assert ticks > 5
    asked._then = (asked._then[0] - 20.0, asked._then[1])
    assert load_of(asked.tell(), run).rate == pytest.approx(ticks / 20, rel=0.2)
    world.control(run, "pause")
    asked.tell()
    assert load_of(asked.tell(), run).rate == 0.0


def test_how_many_watch_is_told_as_it_is_known():
    world = World(Idle)
    run, other = world.start(Idle), world.start(Idle)
    assert load_of(loads(world).tell(), run).viewers is None
    known = Loads(world.supervisor.runners, world.supervisor.lateness, lambda: (), {run: 3, other: 0}.get)
    told = known.tell()
    assert (load_of(told, run).viewers, load_of(told, other).viewers) == (3, 0)


def test_a_run_that_is_paused_is_not_late():
    world = World(Idle)
    run = world.start(Idle)
    world.control(run, "pause")
    world.clock.advance(60)
    assert load_of(loads(world).tell(), run).behind == 0.0


def test_the_size_of_a_state_is_that_of_its_last_checkpoint():
    world = World(Idle)
    run = world.start(Idle)
    assert load_of(loads(world).tell(), run).size == len(world.ledger.checkpoints[run][-1].data) > 0


def test_of_many_runs_those_are_told_that_cost_most_in_few_bytes():
    world = World(Idle)
    runs = [world.start(Idle, watch=False) for _ in range(MOST + 20)]
    asked = loads(world)
    asked.tell()
    for run in runs[-5:]:
        world.runner(run).effort.cpu += 1.2345
    told = asked.tell()
    assert told["runs"] == MOST + 20
    assert len(told["each"]) == MOST
    assert {run.hex for run in runs[-5:]} <= set(told["each"])
    assert len(orjson.dumps(told)) < 8192


def test_code_that_is_called_for_long_is_told_with_the_seconds():
    world = World(Idle)
    run = world.start(Idle)
    since = Since()
    since.enter(run, 1)
    asked = loads(world, since)
    assert asked.tell()["stepping"] == {}
    epoch, began = since._note[1:]
    since._note = (run, epoch, began - 14.2)
    told = asked.tell()
    assert 14 <= stepping(told, run) < 44
    since.leave()
    assert asked.tell()["stepping"] == {}


def test_what_a_worker_of_another_version_tells_is_passed_over():
    world = World(Idle)
    run = world.start(Idle)
    assert load_of({}, run) is None
    assert load_of({"each": {run.hex: "much"}}, run) is None
    assert load_of({"each": {run.hex: [1, 2]}}, run) is None
    assert stepping({"runs": 1}, run) == 0.0
    assert load_of({"each": {run.hex: [0, 0, 0, 0, 0, "fast"]}}, run) is None
    told = RunLoad(cpu=0.25, late=3, behind=0.5, size=10, step=0.01, rate=20.0, viewers=2)
    assert load_of({"each": {run.hex: told.encode()}}, run) == told
    assert load_of({"each": {run.hex: [*told.encode(), "more"]}}, run) == told
    older = RunLoad(cpu=0.25, late=3, behind=0.5, size=10, step=0.01)
    assert load_of({"each": {run.hex: told.encode()[:5]}}, run) == older
    assert told_stepping({run: 1.9}) == {}
