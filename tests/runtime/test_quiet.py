"""A run that needs nothing but steps: what is left out for it changes nothing that anybody sees."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_livesim import Refused, Simulation, command
from django_livesim.protocol.names import Kind
from django_livesim.runtime import quiet
from tests.runtime.world import World


class Teller(Simulation):
    """Counts, says so now and then, and can end itself or break."""

    tick_rate = 10
    frame_rate = 10

    def setup(self) -> None:
        self.state = {"n": 0, "drawn": 0}

    def step(self, dt: float) -> None:
        self.state["n"] += 1
        self.state["drawn"] = self.random.randrange(1000)
        if self.state["n"] % 17 == 0:
            self.emit("seventeen", self.state["n"])
        if self.state["n"] == 90:
            self.finish(self.state["n"])

    def metrics(self) -> dict[str, float]:
        return {"n": self.state["n"]}

    @command
    def add(self, n: int) -> int:
        if n < 0:
            raise Refused("too little")
        self.state["n"] += n
        return self.state["n"]


class Breaking(Simulation):
    tick_rate = 10

    def setup(self) -> None:
        self.state = {"n": 0}

    def step(self, dt: float) -> None:
        self.state["n"] += 1
        if self.state["n"] == 8:
            raise RuntimeError("eight")


class Still(Simulation):
    """Says nothing at all."""

    tick_rate = 20

    def setup(self) -> None:
        self.state = {"n": 0}

    def step(self, dt: float) -> None:
        self.state["n"] += 1

    @command
    def add(self, n: int) -> None:
        self.state["n"] += n


def steps_alone(world: World, run: Any, seconds: float) -> int:
    """How many of its steps are made by themselves in so long."""
    counted = 0
    runner = world.runner(run)
    step = runner.step_quietly

    def count() -> bool:
        nonlocal counted
        counted += 1
        return bool(step())

    runner.step_quietly = count
    world.run_for(seconds)
    return counted


def test_most_steps_that_nobody_watches_are_made_by_themselves() -> None:
    world = World(Still)
    run = world.start(Still, watch=False)
    world.run_for(0.5)
    assert steps_alone(world, run, 1.0) >= 17  # of twenty


def test_no_step_that_somebody_watches_is() -> None:
    world = World(Teller)
    run = world.start(Teller)
    assert steps_alone(world, run, 1.0) == 0
    assert len(world.frames(run)) >= 9


@pytest.mark.parametrize("quietly", [True, False])
def test_a_step_that_raises_ends_the_run_with_its_traceback(monkeypatch: Any, quietly: bool) -> None:
    if not quietly:
        monkeypatch.setattr(quiet, "found", lambda run: None)
    world = World(Breaking)
    run = world.start(Breaking, watch=False)
    world.run_for(2.0)
    row = world.row(run)
    assert row["status"] == "failed"
    assert "RuntimeError: eight" in row["error"]


def test_it_waits_at_its_horizon_while_the_database_is_away() -> None:
    world = World(Still)
    run = world.start(Still, watch=False)
    world.run_for(2.0)
    world.ledger.answering = False
    world.run_for(10.0)
    assert world.runner(run).host.tick == world.row(run)["horizon"]
    world.ledger.answer()
    world.run_for(1.0)
    assert world.runner(run).host.tick == pytest.approx(world.row(run)["horizon"], abs=60)


@pytest.mark.parametrize("ticks", range(1, 40, 3))
def test_a_command_for_a_tick_acts_at_that_tick(ticks: int) -> None:
    world = World(Still)
    run = world.start(Still, watch=False)
    world.run_for(1.0)
    due = world.runner(run).host.tick + ticks
    entry = world.ledger.send(run, "add", Kind.COMMAND, {"n": 1}, due_tick=due)
    world.supervisor.ring()
    world.settle()
    world.run_for(3.0)
    verdict = world.ledger.verdict(run, entry)
    assert verdict is not None
    assert verdict.apply_tick == due


@pytest.mark.parametrize("seconds", [0.37, 0.95, 2.51])
def test_no_step_is_early_where_something_else_is_due(seconds: float) -> None:
    world = World(Still, checkpoint_seconds=seconds)
    run = world.start(Still, watch=False)
    for _ in range(400):
        world.run_for(0.013, by=0.013)
        due = int(world.clock.now() * Still.tick_rate) + 1
        assert world.runner(run).host.tick <= due


def test_a_checkpoint_is_made_when_it_is_time() -> None:
    world = World(Still, checkpoint_seconds=3.0)
    run = world.start(Still, watch=False)
    made = []
    runner = world.runner(run)
    store = runner.keeper.store
    runner.keeper.store = lambda *args: made.append(world.clock.now()) or store(*args)
    world.run_for(10.0, by=0.05)
    assert len(made) == 3
    assert [later - earlier for earlier, later in itertools.pairwise(made)] == pytest.approx(
        [3.0, 3.0], abs=0.11
    )


ACTS = st.one_of(
    st.tuples(st.just("run"), st.floats(0.05, 2.0)),
    st.tuples(st.just("add"), st.integers(-1, 5)),
    st.tuples(st.just("later"), st.integers(0, 30)),
    st.tuples(st.just("control"), st.sampled_from(["pause", "resume", "stop"])),
    st.tuples(st.just("speed"), st.sampled_from([0.5, 1.0, 4.0])),
    st.tuples(st.just("step"), st.integers(1, 4)),
    st.tuples(st.just("watch"), st.none()),
    st.tuples(st.just("away"), st.floats(0.05, 6.0)),
)


def told(acts: list[tuple[str, Any]]) -> list[Any]:
    """What becomes of a run to which all this is done: what is told and stored, its end, and its state."""
    world = World(Teller)
    run = world.start(Teller, watch=False)
    for act, value in acts:
        if act == "run":
            world.run_for(value, by=0.05)
        elif act == "add":
            world.send(run, "add", n=value)
        elif act == "later":
            held = world.supervisor.runners.get(run)
            tick = held.host.tick + value if held else value
            world.ledger.send(run, "add", Kind.COMMAND, {"n": 1}, due_tick=tick)
            world.supervisor.ring()
            world.settle()
        elif act == "control":
            world.control(run, value)
        elif act == "speed":
            world.control(run, "speed", x=value)
        elif act == "step":
            world.control(run, "step", n=value)
        elif act == "watch":
            world.supervisor.interest(run, ["view"], True)
            world.settle()
        elif act == "away":
            world.ledger.answering = False
            world.run_for(value, by=0.05)
            world.ledger.answer()
    world.run_for(1.0, by=0.05)
    outputs = [
        repr(output) for of, _, output in world.outlet.outputs if of == run and "Frame" not in repr(output)
    ]
    row = world.row(run)
    state = world.state(run) if run in world.supervisor.runners else None
    samples = [(each.tick, each.values) for each in world.ledger.samples[run].values()]
    return [outputs, samples, row["status"], state]


@settings(max_examples=150, deadline=None)
@given(st.lists(ACTS, max_size=12))
def test_whatever_is_done_to_a_run_comes_out_as_if_each_boundary_were_looked_at(
    acts: list[tuple[str, Any]],
) -> None:
    found = quiet.found
    try:
        with_it = told(acts)
        quiet.found = lambda run: None
        without = told(acts)
    finally:
        quiet.found = found
    assert with_it == without
