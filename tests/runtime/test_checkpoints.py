"""When the state is stored, and what of it the step thread does itself."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from uuid import UUID

from django_livesim.protocol.names import Kind
from django_livesim.simulation import Simulation, command
from tests.runtime.world import World


class Work(Simulation):
    """A step takes `cost` seconds, an encoding of the state `dump_cost`."""

    tick_rate = 10
    cost = 0.0
    dump_cost = 0.0
    world: World

    def setup(self):
        self.state = {"steps": 0}

    def step(self, dt):
        self.state["steps"] += 1
        self.world.clock.advance(self.cost)

    def dump(self):
        self.world.clock.advance(self.dump_cost)
        return super().dump()

    @command
    def dig(self, n):
        self.state.setdefault("dug", []).append(n)
        self.world.clock.advance(0.003)


def work(every: float = 1000.0, **costs: float) -> tuple[World, UUID]:
    definition: Any = type("Work", (Work,), costs)
    world = World(definition, checkpoint_seconds=every)
    definition.world = world
    return world, world.start(definition, watch=False)


def ticks_stored(world: World, run: UUID) -> list[int]:
    return [each.tick for each in world.ledger.checkpoints[run]]


def test_a_state_is_stored_when_the_steps_since_the_last_time_were_dear():
    world, run = work(cost=0.05, dump_cost=0.001)
    world.run_for(20.0)
    stored = ticks_stored(world, run)
    assert len(stored) > 10
    assert all(10 <= later - sooner <= 31 for sooner, later in pairwise(stored))


def test_cheap_steps_are_no_reason_to_store_a_state():
    world, run = work(cost=0.0, dump_cost=0.001)
    world.run_for(20.0)
    assert ticks_stored(world, run) == [0]


def test_a_state_that_is_dear_to_encode_is_stored_as_seldom_as_costs_two_per_cent():
    world, run = work(cost=0.05, dump_cost=0.1)
    world.run_for(15.0)
    stored = ticks_stored(world, run)
    assert len(stored) >= 2
    assert all(later - sooner >= 40 for sooner, later in pairwise(stored))


def test_a_checkpoint_alone_is_written_with_the_others_of_its_second():
    world, run = work(every=2.0)
    for _ in range(20):
        world.start(type(world.runner(run).program.simulation), watch=False)
    written: list[float] = []
    write = world.ledger.write

    def noted(one: Any, done: Any) -> None:
        if one.checkpoint is not None:
            written.append(round(world.clock.now(), 2))
        write(one, done)

    world.ledger.write = noted
    world.run_for(10.0)
    assert len(written) > 60
    assert len(set(written)) <= 12


def test_a_checkpoint_is_not_hashed_in_the_step_thread():
    world, run = work()
    assert world.ledger.checkpoints[run][0].data
    assert world.ledger.checkpoints[run][0].hash == ""


def test_many_commands_for_one_boundary_are_applied_in_slices_and_in_order_before_the_next_step():
    world, run = work()
    definition = type(world.runner(run).program.simulation)
    other = world.start(definition, watch=False)
    world.run_for(0.55)
    tick = world.runner(run).host.tick
    for n in range(200):
        world.ledger.send(run, "dig", Kind.COMMAND, {"n": n})
    world.supervisor.ring()
    done, longest, others = 0, 0.0, world.runner(other).host.tick
    while done < 200:
        began = world.clock.now()
        world.supervisor.turn()
        longest = max(longest, world.clock.now() - began)
        done = len(world.state(run).get("dug", []))
        if done < 200:
            assert world.runner(run).host.tick == tick
    assert world.state(run)["dug"] == list(range(200))
    assert longest <= 0.02
    assert world.runner(other).host.tick >= others + 5
    world.settle()
    assert [each.apply_seq for each in world.ledger.verdicts[run]] == list(range(1, 201))
    assert {each.apply_tick for each in world.ledger.verdicts[run]} == {tick}
    world.run_for(0.5)
    assert world.runner(run).host.tick > tick


def test_a_paused_run_too_applies_its_commands_in_slices():
    world, run = work()
    world.control(run, "pause")
    for n in range(50):
        world.ledger.send(run, "dig", Kind.COMMAND, {"n": n})
    world.ledger.send(run, "step", Kind.CONTROL, {"n": 2})
    world.supervisor.ring()
    tick = world.runner(run).host.tick
    world.settle()
    assert world.state(run)["dug"] == list(range(50))
    assert world.runner(run).host.tick == tick + 2
