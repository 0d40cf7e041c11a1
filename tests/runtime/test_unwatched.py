"""What a run does by itself where nobody watches it: `when_unwatched`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from django_livesim import Simulation, command
from django_livesim.protocol.names import Status
from django_livesim.runtime.ports import EndOut, StatusOut
from django_livesim.runtime.unwatched import NOBODY
from django_livesim.simulation import Loop
from tests.runtime.world import World


class Pond(Simulation):
    """Counts, and draws a number at each step."""

    tick_rate = 10
    when_unwatched = "pause"

    def setup(self) -> None:
        self.state = {"value": 0, "drawn": 0}

    def step(self, dt: float) -> None:
        self.state["value"] += 1
        self.state["drawn"] = self.random.randrange(1000)

    @command
    def add(self, n: int = 1) -> None:
        self.state["value"] += n


class Hut(Pond):
    when_unwatched = "stop"


class Tower(Pond):
    when_unwatched = "run"


class Glacier(Pond):
    tick_rate = 0.01


async def drift(sim: Any) -> None:
    while True:
        sim.state["value"] = sim.state.get("value", 0) + 1
        for message in sim.messages():
            sim.state.setdefault("seen", []).append(message.args)
        await sim.sleep(0.1)


def drift_sync(sim: Any) -> None:
    while True:
        sim.state["value"] = sim.state.get("value", 0) + 1
        for message in sim.messages():
            sim.state.setdefault("seen", []).append(message.args)
        sim.sleep(0.1)


def loop(function: Any, when_unwatched: str = "pause") -> Loop:
    return Loop(function, name=f"{function.__name__}_{when_unwatched}", when_unwatched=when_unwatched)


KINDS = [Pond, loop(drift), loop(drift_sync)]
STOPPING = [Hut, loop(drift, "stop"), loop(drift_sync, "stop")]


def world_of(definition: Any, **options: Any) -> tuple[World, UUID]:
    """A run of `definition` that somebody watched when it began."""
    world = World(definition, **options)
    return world, world.start(definition)


def look(world: World, run: UUID) -> None:
    """A hub tells that somebody watches."""
    world.supervisor.interest(run, ["view"], False)
    world.settle()


def hand_over(world: World, definition: Any, **options: Any) -> World:
    """Another worker after this one has left in good order."""
    world.supervisor.drain()
    world.settle()
    heir = World(definition, ledger=world.ledger, **options)
    heir.supervisor.ring()
    heir.settle()
    return heir


def shown(world: World, run: UUID) -> tuple[Status, str]:
    row = world.row(run)
    return row["status"], row["reason"]


@pytest.mark.parametrize("definition", KINDS, ids=lambda each: each.name)
def test_a_run_that_nobody_watches_pauses_after_a_period_and_goes_on_when_somebody_does(definition):
    world, run = world_of(definition)
    world.run_for(14.9, by=0.1)
    assert world.row(run)["status"] is Status.RUNNING
    world.run_for(0.3, by=0.1)
    assert shown(world, run) == (Status.PAUSED, NOBODY)
    before = world.state(run)["value"]
    assert before in (150, 151, 152)
    world.run_for(100, by=1)
    assert world.state(run)["value"] == before
    look(world, run)
    assert shown(world, run) == (Status.RUNNING, "")
    world.run_for(1, by=0.1)
    assert world.state(run)["value"] >= before + 9
    told = [(each.status, each.reason) for each in world.out(StatusOut, run)]
    assert told == [(Status.RUNNING, ""), (Status.PAUSED, NOBODY), (Status.RUNNING, "")]


@pytest.mark.parametrize("definition", KINDS, ids=lambda each: each.name)
def test_signs_of_interest_keep_it_running(definition):
    world, run = world_of(definition)
    for _ in range(10):
        world.run_for(5, by=0.5)
        look(world, run)
    assert world.row(run)["status"] is Status.RUNNING


def test_a_run_that_nobody_ever_watched_has_a_period_too():
    world = World(Pond)
    run = world.start(Pond, watch=False)
    world.run_for(14.9, by=0.1)
    assert world.row(run)["status"] is Status.RUNNING
    world.run_for(0.3, by=0.1)
    assert shown(world, run) == (Status.PAUSED, NOBODY)


def test_by_default_a_run_goes_on_unwatched():
    world, run = world_of(Tower)
    world.run_for(100, by=0.1)
    assert world.row(run)["status"] is Status.RUNNING
    assert world.state(run)["value"] >= 999


@pytest.mark.parametrize("definition", STOPPING, ids=lambda each: each.name)
def test_with_stop_it_ends_as_stopped_with_its_state_stored(definition):
    world, run = world_of(definition)
    world.run_for(15.2, by=0.1)
    assert shown(world, run) == (Status.STOPPED, NOBODY)
    assert world.out(EndOut, run)[0].status is Status.STOPPED
    assert world.ledger.checkpoints[run][-1].tick == world.row(run)["tick"] >= 149
    assert not world.row(run)["worker"]


def test_the_pause_comes_when_it_is_due_and_not_with_the_next_step():
    world, run = world_of(Glacier)
    world.run_for(15, by=0.5)
    assert shown(world, run) == (Status.PAUSED, NOBODY)
    assert world.state(run)["value"] == 1
    look(world, run)
    world.run_for(10, by=0.5)
    assert world.state(run)["value"] == 1, "what is left of the wait is waited for"


def test_at_full_speed_it_pauses_as_well():
    world = World(Pond)
    run = world.ledger.add(Pond.name, {}, 1)
    world.row(run)["speed"] = 0.0
    world.supervisor.ring()
    for _ in range(5):
        world.supervisor.turn()
    world.clock.advance(15)
    world.settle()
    assert shown(world, run) == (Status.PAUSED, NOBODY)
    assert world.runner(run).next_due() is None


def test_a_paused_run_waits_for_nothing_but_the_poll():
    world, run = world_of(Pond)
    world.run_for(16, by=0.1)
    assert world.runner(run).next_due() is None
    assert world.supervisor.turn() == pytest.approx(world.supervisor.looking.due - world.clock.now())


def test_commands_apply_while_nobody_is_watching():
    world, run = world_of(Pond)
    world.run_for(16, by=0.1)
    before = world.state(run)["value"]
    world.send(run, "add", n=1000)
    assert world.state(run)["value"] == before + 1000
    assert shown(world, run) == (Status.PAUSED, NOBODY)


def test_a_loop_gets_the_messages_that_wait_before_it_rests():
    definition = loop(drift, "stop")
    world, run = world_of(definition)
    while world.runner(run).pace.due <= 15.01:
        world.run_for(0.03, by=0.03)
    world.send(run, "note", n=7)
    world.clock.advance(15.001 - world.clock.now())
    world.settle()
    assert world.runner(run).pace.due > world.clock.now(), "the loop still sleeps"
    assert world.row(run)["status"] is Status.RUNNING
    world.run_for(0.2, by=0.1)
    assert shown(world, run) == (Status.STOPPED, NOBODY)
    assert [verdict.outcome for verdict in world.ledger.verdicts[run]] == ["applied"]


def test_a_persons_pause_is_not_undone_by_a_viewer():
    world, run = world_of(Pond)
    world.control(run, "pause")
    world.run_for(30, by=1)
    assert shown(world, run) == (Status.PAUSED, "")
    look(world, run)
    assert shown(world, run) == (Status.PAUSED, "")


def test_a_persons_pause_is_not_ended_by_stop():
    world, run = world_of(Hut)
    world.control(run, "pause")
    world.run_for(60, by=1)
    assert shown(world, run) == (Status.PAUSED, "")


def test_a_persons_pause_of_a_run_that_rests_makes_it_theirs():
    world, run = world_of(Pond)
    world.run_for(16, by=0.1)
    world.control(run, "pause")
    assert shown(world, run) == (Status.PAUSED, "")
    look(world, run)
    assert world.row(run)["status"] is Status.PAUSED
    assert world.out(StatusOut, run)[-1].reason == ""


def test_a_persons_resume_gives_another_period():
    world, run = world_of(Pond)
    world.run_for(16, by=0.1)
    world.control(run, "resume")
    world.run_for(14.8, by=0.1)
    assert shown(world, run) == (Status.RUNNING, "")
    world.run_for(0.5, by=0.1)
    assert shown(world, run) == (Status.PAUSED, NOBODY)


def test_resume_of_a_running_one_gives_another_period_too():
    world, run = world_of(Hut)
    world.run_for(10, by=0.1)
    world.control(run, "resume")
    world.run_for(10, by=0.1)
    assert world.row(run)["status"] is Status.RUNNING


def test_steps_that_a_person_asks_for_are_made_and_the_pause_is_theirs_then():
    world, run = world_of(Pond)
    world.run_for(16, by=0.1)
    before = world.state(run)["value"]
    world.control(run, "step", n=3)
    assert world.state(run)["value"] == before + 3
    assert shown(world, run) == (Status.PAUSED, "")
    look(world, run)
    assert world.row(run)["status"] is Status.PAUSED


def test_steps_asked_for_are_not_cut_short():
    world, run = world_of(Hut)
    world.control(run, "pause")
    world.run_for(30, by=1)
    before = world.state(run)["value"]
    world.control(run, "step", n=5)
    assert world.state(run)["value"] == before + 5


def test_a_change_of_speed_leaves_the_reason():
    world, run = world_of(Pond)
    world.run_for(16, by=0.1)
    world.control(run, "speed", x=2)
    assert shown(world, run) == (Status.PAUSED, NOBODY)
    look(world, run)
    assert shown(world, run) == (Status.RUNNING, "")


def test_who_asks_for_the_state_counts_as_watching_but_wakes_nothing():
    world, run = world_of(Pond)
    for _ in range(5):
        world.run_for(10, by=0.1)
        world.control(run, "inspect")
    assert world.row(run)["status"] is Status.RUNNING
    world.run_for(16, by=0.1)
    world.control(run, "inspect")
    assert shown(world, run) == (Status.PAUSED, NOBODY)


@pytest.mark.parametrize("definition", KINDS, ids=lambda each: each.name)
def test_the_next_worker_knows_why_it_is_paused(definition):
    world, run = world_of(definition)
    world.run_for(16, by=0.1)
    before = world.state(run)["value"]
    heir = hand_over(world, definition)
    heir.run_for(60, by=1)
    assert shown(heir, run) == (Status.PAUSED, NOBODY)
    assert heir.state(run)["value"] == before
    look(heir, run)
    heir.run_for(1, by=0.1)
    assert shown(heir, run) == (Status.RUNNING, "")
    assert heir.state(run)["value"] > before


def test_commands_while_it_rests_and_a_worker_that_dies_change_nothing_of_that():
    world, run = world_of(Pond)
    world.run_for(16, by=0.1)
    world.send(run, "add", n=1000)
    before = world.state(run)
    world.row(run)["worker"] = False  # as if it had been killed
    heir = World(Pond, ledger=world.ledger)
    heir.supervisor.ring()
    heir.settle()
    assert heir.state(run) == before
    assert shown(heir, run) == (Status.PAUSED, NOBODY)
    look(heir, run)
    assert heir.row(run)["status"] is Status.RUNNING


def test_a_persons_pause_stays_theirs_for_the_next_worker():
    world, run = world_of(Pond)
    world.run_for(16, by=0.1)
    world.control(run, "pause")
    heir = hand_over(world, Pond)
    look(heir, run)
    assert heir.row(run)["status"] is Status.PAUSED


def test_a_run_that_is_taken_up_has_a_full_period():
    world, run = world_of(Pond)
    world.run_for(14, by=0.1)
    heir = hand_over(world, Pond)
    heir.run_for(14.8, by=0.1)
    assert heir.row(run)["status"] is Status.RUNNING
    heir.run_for(0.5, by=0.1)
    assert shown(heir, run) == (Status.PAUSED, NOBODY)


def test_one_that_rests_goes_on_where_its_code_says_run_by_now():
    world, run = world_of(Pond)
    world.run_for(16, by=0.1)
    later = type("Pond", (Pond,), {"when_unwatched": "run"})
    heir = hand_over(world, later)
    look(heir, run)
    heir.run_for(60, by=0.1)
    assert heir.row(run)["status"] is Status.RUNNING


def test_a_rest_does_not_change_what_is_computed():
    rested, run = world_of(Pond)
    rested.run_for(16, by=0.1)
    look(rested, run)
    rested.run_for(4, by=0.1)
    ticks = rested.runner(run).host.tick
    watched, other = world_of(Tower)
    while watched.runner(other).host.tick < ticks:
        watched.run_for(0.1, by=0.1)
    assert watched.state(other) == rested.state(run)


@pytest.mark.parametrize("definition", [Pond, Hut], ids=lambda each: each.name)
def test_while_no_sign_of_interest_can_come_in_none_is_missed(definition):
    world, run = world_of(definition)
    world.run_for(10, by=0.1)
    world.supervisor._hears = lambda: False
    world.run_for(60, by=0.1)
    assert world.row(run)["status"] is Status.RUNNING
    world.supervisor._hears = lambda: True
    world.run_for(14, by=0.1)
    assert world.row(run)["status"] is Status.RUNNING
    world.run_for(2, by=0.1)
    assert world.row(run)["reason"] == NOBODY


@pytest.mark.parametrize("definition", STOPPING, ids=lambda each: each.name)
def test_leaving_meanwhile_stores_it_once(definition):
    world, run = world_of(definition)
    world.run_for(14.9, by=0.1)
    world.clock.advance(0.2)
    world.supervisor.drain()
    world.settle()
    assert world.supervisor.runners == {}
    assert world.row(run)["status"] in (Status.STOPPED, Status.RUNNING)
    assert not world.row(run)["worker"]


def test_the_first_write_says_that_it_begins_and_each_what_was_before():
    world, run = world_of(Pond)
    world.run_for(16, by=0.1)
    look(world, run)
    world.control(run, "stop")
    said = [(w.previous, w.status, w.begins) for w in world.ledger.writes if w.status is not None]
    assert said == [
        (Status.WAITING, Status.RUNNING, True),
        (Status.RUNNING, Status.PAUSED, False),
        (Status.PAUSED, Status.RUNNING, False),
        (Status.RUNNING, Status.STOPPED, False),
    ]


def test_a_write_that_waits_is_overwritten_by_what_comes_meanwhile():
    world, run = world_of(Pond)
    world.ledger.answering = False
    world.run_for(16, by=0.1)
    look(world, run)
    assert world.runner(run).status is Status.RUNNING
    world.ledger.answer()
    world.settle()
    assert shown(world, run) == (Status.RUNNING, "")


def test_held_runs_of_before_have_no_reason():
    world, run = world_of(Pond)
    held = replace(world.runner(run).held, status=Status.PAUSED)
    assert held.reason == ""


class Mill(Simulation):
    """Takes its time: a test says what happens in its setup and in its steps."""

    tick_rate = 10
    in_setup: Any = staticmethod(lambda: None)
    in_step: Any = staticmethod(lambda: None)

    def setup(self) -> None:
        self.state = {}
        self.in_setup()

    def step(self, dt: float) -> None:
        self.in_step()


def slow_mill(**slow: Any) -> type[Mill]:
    return type("Mill", (Mill,), {name: staticmethod(function) for name, function in slow.items()})


@pytest.mark.parametrize("definition", STOPPING, ids=lambda each: each.name)
def test_a_viewer_heard_during_a_long_step_of_another_run_is_not_missed(definition):
    def long_step() -> None:
        for _ in range(4 if begun else 0):
            world.clock.advance(4)
            world.supervisor.interest(run, ["view"], False)

    begun: list[bool] = []
    mill = slow_mill(in_step=long_step)
    world = World(mill, definition)
    world.start(mill)
    run = world.start(definition)
    begun.append(True)
    for _ in range(3):
        world.clock.advance(0.1)
        world.supervisor.turn()
    begun.clear()
    world.settle()
    assert world.clock.now() >= 48
    assert world.row(run)["status"] is Status.RUNNING
    world.run_for(15.2, by=0.1)
    assert world.row(run)["reason"] == NOBODY


def test_a_viewer_heard_while_many_others_are_set_up_is_not_missed():
    def long_setup() -> None:
        world.clock.advance(1)
        world.supervisor.interest(run, ["view"], False)

    mill = slow_mill(in_setup=long_setup)
    world = World(mill, Hut)
    run = world.start(Hut)
    for _ in range(20):
        world.ledger.add(mill.name, {}, 1)
    world.supervisor.ring()
    world.settle()
    assert world.clock.now() == 20
    assert world.row(run)["status"] is Status.RUNNING


@pytest.mark.parametrize("definition", STOPPING, ids=lambda each: each.name)
def test_the_period_of_one_taken_up_begins_after_all_that_were_taken_up_with_it(definition):
    """Viewers learn where it is held only when the step thread is free again."""
    mill = slow_mill(in_setup=lambda: world.clock.advance(1))
    world = World(mill, definition)
    run = world.ledger.add(definition.name, {}, 1)
    for _ in range(19):
        world.ledger.add(mill.name, {}, 1)
    world.supervisor.ring()
    world.settle()
    assert world.clock.now() == 19
    world.run_for(14.8, by=0.1)
    assert world.row(run)["status"] is Status.RUNNING
    world.run_for(0.4, by=0.1)
    assert shown(world, run) == (Status.STOPPED, NOBODY)


def test_a_period_that_is_renewed_makes_no_step_before_its_time():
    world, run = world_of(Glacier)
    world.run_for(1, by=0.5)
    before = world.state(run)["value"]
    world.supervisor._hears = lambda: False
    world.run_for(30, by=0.5)
    assert world.state(run)["value"] == before
