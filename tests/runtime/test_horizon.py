"""A run is never stepped past what the database has granted, and asks early enough not to wait."""

from __future__ import annotations

import random

import pytest

from django_livesim.protocol.names import Kind, Status
from django_livesim.protocol.records import Held, Position, RunInfo
from django_livesim.runtime.horizon import AHEAD, MOST, Horizon
from django_livesim.runtime.ports import EventOut, FrameOut, StatusOut
from django_livesim.runtime.reserving import position
from django_livesim.simulation import Loop, Simulation, command
from tests.runtime.world import World


class Walk(Simulation):
    tick_rate = 20

    def setup(self):
        self.state = {"at": 0.0, "kicks": 0}

    def step(self, dt):
        self.state["at"] += self.random.random()
        self.emit("stepped", self.tick)

    @command
    def kick(self):
        self.state["kicks"] += 1


class Rare(Walk):
    tick_rate = 0.1


def a_loop(sleep=0.05):
    def lane(sim):
        while True:
            for _message in sim.messages():
                pass
            sim.state["tick"] = sim.tick
            sim.sleep(sleep)

    return Loop(lane)


def heir_of(world, run, *definitions):
    """Another worker over the same ledger, the first one having died."""
    world.row(run)["worker"] = False
    heir = World(*definitions, ledger=world.ledger)
    heir.supervisor.ring()
    heir.settle()
    return heir


def tick(world, run):
    return world.runner(run).host.tick


def test_a_run_waits_at_its_horizon_while_the_database_is_away_and_goes_on_afterwards():
    world = World(Walk)
    run = world.start(Walk)
    world.run_for(2.0)
    world.ledger.answering = False
    horizon = world.row(run)["horizon"]
    world.run_for(10.0)
    assert tick(world, run) == horizon
    assert world.runner(run).next_due() is None
    assert max(frame.tick for frame in world.out(FrameOut, run)) <= horizon
    world.ledger.answer()
    world.run_for(1.0)
    assert tick(world, run) == pytest.approx(horizon + 20, abs=2)


@pytest.mark.parametrize("definition", [Walk, a_loop()], ids=["class", "loop"])
def test_a_run_at_its_pace_never_waits_for_its_horizon(definition):
    world = World(definition)
    run = world.start(definition)
    waited = 0
    for _ in range(2000):
        world.clock.advance(0.01)
        world.settle()
        waited += world.runner(run).horizon.is_reached(tick(world, run))
    assert waited == 0
    assert tick(world, run) > 300


def test_at_full_speed_a_run_does_not_wait_once_its_rate_is_known():
    class Busy(Walk):
        def step(self, dt):
            super().step(dt)
            world.clock.advance(0.001)

    world = World(Busy)
    run = world.start(Busy)
    world.supervisor.stepping = False
    world.control(run, "speed", x=0.0)
    world.supervisor.stepping = True
    world.ledger.answering = False
    before, idle = tick(world, run), 0
    for turn in range(6000):
        if turn % 20 == 0:  # the database takes 20 ms
            world.ledger.answer()
            world.ledger.answering = False
        made = tick(world, run)
        world.supervisor.turn()
        if tick(world, run) == made:
            idle += turn > 200
            world.clock.advance(0.001)
    assert idle == 0
    assert tick(world, run) - before > 5000
    assert world.row(run)["horizon"] - tick(world, run) <= AHEAD * 1000 + 1


def test_a_run_that_steps_seldom_asks_for_its_next_tick_only_when_that_is_near():
    world = World(Rare)
    run = world.start(Rare)
    world.run_for(5.0, by=0.1)
    assert world.row(run)["horizon"] == tick(world, run) == 1
    world.run_for(4.0, by=0.1)
    assert (world.row(run)["horizon"], tick(world, run)) == (2, 1)
    writes = len(world.ledger.writes)
    world.run_for(30.0, by=0.1)
    assert tick(world, run) == 4
    assert len(world.ledger.writes) - writes <= 4  # a checkpoint every 10 seconds


def test_a_paused_run_reserves_nothing_and_steps_asked_for_reserve_themselves():
    world = World(Walk)
    run = world.start(Walk)
    world.run_for(1.0)
    world.control(run, "pause")
    assert world.row(run)["horizon"] == tick(world, run)
    assert position(world.runner(run), hashed=False).horizon is None
    at = tick(world, run)
    world.supervisor.stepping = False
    world.control(run, "step", n=7)
    assert world.row(run)["horizon"] == at + 7
    world.supervisor.stepping = True
    world.settle()
    assert (tick(world, run), world.row(run)["horizon"]) == (at + 7, at + 7)
    assert heir_of(world, run, Walk).runner(run).host.tick == at + 7


def test_an_heir_of_a_run_that_was_paused_by_steps_asked_for_makes_no_others():
    world = World(Walk)
    run = world.start(Walk)
    world.run_for(1.0)
    at = tick(world, run)
    world.supervisor.stepping = False
    world.control(run, "step", n=2)  # while it was running, with ticks reserved
    assert world.row(run)["horizon"] == at + 2
    heir = heir_of(world, run, Walk)
    assert (tick(heir, run), heir.row(run)["status"]) == (at + 2, Status.PAUSED)


def test_a_paused_loop_gets_the_messages_before_its_stop_though_nothing_was_reserved():
    loop = a_loop()
    world = World(loop)
    run = world.start(loop)
    world.run_for(1.0)
    world.control(run, "pause")
    world.ledger.send(run, "kick", Kind.COMMAND, {})
    world.control(run, "stop")
    world.run_for(0.1)
    assert world.row(run)["status"] is Status.STOPPED
    assert [each.entry.name for each in world.ledger.verdicts[run]][-2:] == ["kick", "stop"]


def test_an_answer_from_before_a_pause_counts_for_no_more():
    info = RunInfo(id="r", simulation="s")
    horizon = Horizon(Held(info=info, epoch=1, status=Status.RUNNING, tick=10, next_seq=1, speed=1.0))
    assert horizon.ask(10, 60) == 60
    assert horizon.ask(20, 20, exactly=True) == 20
    horizon.grant(60)
    assert horizon.granted == 20
    assert horizon.ask(20, 70) == 70
    horizon.grant(70)
    assert horizon.ask(30, 40) == 70  # never lowered while it moves


def test_what_leaves_never_shows_more_than_the_database_has():
    world, dice = World(Walk, checkpoint_seconds=1.0), random.Random(4)
    run = world.start(Walk)
    shown = []
    put = world.outlet.put

    def checked(of, epoch, outputs):
        for output in outputs:
            if isinstance(output, FrameOut | EventOut | StatusOut):
                shown.append(output.tick)
                assert output.tick <= world.row(of)["horizon"]
        put(of, epoch, outputs)

    world.outlet.put = checked
    acts = ["pause", "resume", "step", "speed", "kick", "away", "back"]
    for _ in range(400):
        act = dice.choice(acts)
        if act == "kick":
            world.ledger.send(run, act, Kind.COMMAND, {})
        elif act == "away":
            world.ledger.answering = False
        elif act == "back":
            world.ledger.answer()
        else:
            args = {"step": {"n": dice.randrange(1, 50)}, "speed": {"x": dice.choice([0.5, 1.0, 8.0])}}
            world.ledger.send(run, act, Kind.CONTROL, args.get(act, {}))
        world.supervisor.ring()
        world.run_for(dice.random(), by=0.01)
    assert len(shown) > 1000
    assert shown == sorted(shown)


def test_an_heir_begins_where_nobody_has_been_shown_more_and_has_the_same_state():
    world = World(Walk, checkpoint_seconds=3.0)
    run = world.start(Walk)
    world.run_for(5.0)
    world.send(run, "kick")
    world.run_for(1.3)
    horizon, seen = world.row(run)["horizon"], max(frame.tick for frame in world.out(FrameOut, run))
    heir = heir_of(world, run, Walk)
    assert heir.runner(run).host.tick in (horizon, horizon + 1)
    assert seen < horizon
    heir.run_for(1.0)
    alone = World(Walk)
    other = alone.start(Walk)
    while alone.runner(other).host.tick < heir.runner(run).host.tick:
        alone.run_for(0.05)
    assert heir.state(run) == alone.state(other) | {"kicks": 1}
    assert "not alike" not in heir.row(run)["reason"]


@pytest.mark.parametrize("recovery", ["checkpoint", "replay"])
def test_an_heir_goes_on_from_the_horizon_though_nothing_is_noted_but_that(recovery):
    class Early(Walk):
        pass

    Early.recovery = recovery
    world = World(Early)
    run = world.start(Early)
    noted, horizon = world.row(run)["tick"], world.row(run)["horizon"]
    assert noted == 0 < horizon
    world.ledger.checkpoints[run].clear()  # as it is where none can be read
    heir = heir_of(world, run, Early)
    assert tick(heir, run) >= horizon


def test_an_heir_whose_history_comes_out_otherwise_says_so_and_goes_on(caplog):
    class Moody(Walk):
        made = 0

        def step(self, dt):
            Moody.made += 1
            self.state["at"] = Moody.made

    world = World(Moody)
    run = world.start(Moody)
    world.run_for(3.3)
    assert world.row(run)["hash"]
    noted = world.row(run)["tick"]
    heir = heir_of(world, run, Moody)
    assert (
        heir.row(run)["reason"] == f"recovered, but not alike: at tick {noted} its state is not what it was"
    )
    assert f"run={run} epoch=2" in caplog.text
    assert heir.out(StatusOut, run)[-1].reason == heir.row(run)["reason"]
    before = tick(heir, run)
    heir.run_for(1.0)
    assert tick(heir, run) > before


def test_a_hash_is_noted_only_of_what_has_committed():
    world = World(Walk)
    run = world.start(Walk)
    world.run_for(2.0)
    assert world.runner(run).fingerprint() != ""
    world.ledger.answering = False
    world.runner(run).offer([world.ledger.send(run, "kick", Kind.COMMAND, {})])
    assert world.state(run)["kicks"] == 1
    assert world.runner(run).fingerprint() == ""
    world.supervisor._after(world.runner(run))
    assert world.runner(run).fingerprint() == ""
    world.ledger.answer()
    world.settle()
    assert world.runner(run).fingerprint() != ""


def test_ticks_that_depend_on_a_command_are_asked_for_by_its_write_alone():
    world = World(Walk)
    run = world.start(Walk)
    world.control(run, "pause")
    at = tick(world, run)
    world.supervisor.stepping = False
    world.ledger.answering = False
    world.runner(run).offer([world.ledger.send(run, "step", Kind.CONTROL, {"n": 3})])
    world.supervisor._after(world.runner(run))
    assert world.runner(run).steps_asked == 3
    assert position(world.runner(run), hashed=True) == Position(1, at)


def test_states_that_are_dear_to_encode_are_not_hashed():
    class Large(Walk):
        def dump(self):
            world.clock.advance(0.02)
            return super().dump()

    world = World(Large)
    run = world.start(Large)
    world.run_for(2.5)
    assert (world.row(run)["hash"], world.row(run)["tick"] > 30) == ("", True)


def test_neither_loops_nor_what_is_not_deterministic_is_played_to_the_horizon():
    class Odd(Walk):
        deterministic = False

    loop = a_loop()
    for definition in (Odd, loop):
        world = World(definition, checkpoint_seconds=1.0)
        run = world.start(definition)
        world.run_for(3.3)
        noted, shown = world.row(run)["tick"], tick(world, run)
        heir = heir_of(world, run, definition)
        assert heir.runner(run).host.tick <= noted + 1 <= shown + 1 < world.row(run)["horizon"]
        assert world.row(run)["hash"] == ""


def test_no_more_is_asked_for_at_once_than_commands_are_taken_ahead():
    world = World(Walk)
    run = world.start(Walk)
    world.control(run, "pause")
    at = tick(world, run)
    world.supervisor.stepping = False
    world.control(run, "step", n=10 * MOST)
    assert world.row(run)["horizon"] == at + MOST


def test_nothing_leaves_while_the_lease_is_in_doubt():
    world = World(Walk)
    world.start(Walk)
    world.run_for(1.0)
    seen = len(world.outlet.outputs)
    world.supervisor._leased = lambda worker: False
    world.run_for(1.0)
    assert len(world.outlet.outputs) == seen
    world.supervisor._leased = lambda worker: True
    world.run_for(0.2)
    assert len(world.outlet.outputs) > seen
