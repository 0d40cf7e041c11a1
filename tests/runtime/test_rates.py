"""How many frames there are: no more than those who watch want, and than anybody could follow."""

from __future__ import annotations

import math
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_livesim.protocol.names import Kind
from django_livesim.runtime.interest import SLOWEST, Beat, Interest
from django_livesim.runtime.ports import FrameOut, SendOut
from django_livesim.simulation import Loop, Simulation, command
from tests.runtime.world import World


class Count(Simulation):
    tick_rate = 20
    frame_rate = 10

    def setup(self):
        self.state = {"value": 0}

    def step(self, dt):
        self.state["value"] += 1

    def view(self, role):
        return self.state

    @command
    def add(self, n):
        self.state["value"] += n


def watch(world: World, run: UUID, fps: float = math.inf, hub: str = "one", role: str = "view") -> None:
    rates = {} if fps == math.inf else {role: fps}
    world.supervisor.interest(run, [role], False, hub=hub, rates=rates)
    world.settle()


def shown(world: World, run: UUID, seconds: float) -> int:
    """Frames in that time."""
    world.outlet.outputs.clear()
    world.run_for(seconds)
    return len(world.out(FrameOut, run))


def started(definition=Count, **options) -> tuple[World, UUID]:
    world = World(definition, **options)
    return world, world.start(definition, watch=False)


# -- what hubs want ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fps", "frames"), [(math.inf, 40), (1000.0, 40), (10.0, 40), (7.5, 30), (2.0, 8), (0.0, 0)]
)
def test_there_are_no_more_frames_than_are_wanted(fps, frames):
    world, run = started()
    watch(world, run, fps)
    assert shown(world, run, 4.0) == pytest.approx(frames, abs=1 if frames else 0)


def test_the_hub_that_wants_the_most_is_followed_and_no_more_than_the_declared_rate():
    world, run = started()
    watch(world, run, 1.0, hub="one")
    watch(world, run, 4.0, hub="two")
    assert shown(world, run, 4.0) == pytest.approx(16, abs=1)
    watch(world, run, 1.0, hub="two")
    assert shown(world, run, 4.0) == pytest.approx(4, abs=1)
    watch(world, run, 100.0, hub="two")
    assert shown(world, run, 4.0) == pytest.approx(40, abs=1)


def test_a_hub_of_a_former_version_wants_all_there_are():
    world, run = started()
    watch(world, run, 1.0)
    world.supervisor.interest(run, ["view"], False)
    assert shown(world, run, 4.0) == pytest.approx(40, abs=1)


def test_a_hub_that_says_nothing_more_is_forgotten_with_its_wish():
    world, run = started(interest_ttl=3.0)
    watch(world, run, hub="gone")
    for _ in range(4):
        watch(world, run, 1.0, hub="there")
        world.run_for(1.0)
    watch(world, run, 1.0, hub="there")
    assert shown(world, run, 2.0) == pytest.approx(2, abs=1)


def test_roles_that_see_the_same_share_the_highest_wish_and_others_have_their_own():
    class Same(Count):
        view = Simulation.view

    for definition, frames in ((Same, {"all": 20}), (Count, {"view": 2, "owner": 20})):
        world, run = started(definition)
        world.supervisor.interest(run, ["view", "owner"], False, hub="one", rates={"view": 1.0})
        world.settle()
        shown(world, run, 2.0)
        roles = [frame.role for frame in world.out(FrameOut, run)]
        assert {role: roles.count(role) for role in roles} == {
            role: pytest.approx(count, abs=1) for role, count in frames.items()
        }


def test_what_came_too_early_is_shown_as_soon_as_it_is_wanted():
    class Slow(Count):
        tick_rate = 0.1

    world, run = started(Slow)
    watch(world, run, 0.0)
    world.run_for(15.0)
    watch(world, run, 0.0)
    assert world.frames(run) == []
    watch(world, run)
    assert [tick for tick, _ in world.frames(run)] == [world.runner(run).host.tick]


def test_a_tab_that_comes_back_gets_the_newest_frame_at_once():
    world, run = started()
    watch(world, run, 0.5)
    world.run_for(2.55)
    world.outlet.outputs.clear()
    watch(world, run)
    assert [tick for tick, _ in world.frames(run)] == [world.runner(run).host.tick]


def test_keyframes_commands_and_the_last_word_come_whatever_is_wanted():
    class Quick(Count):
        frame_on_command = True

    world, run = started(Quick)
    watch(world, run, 0.0)
    assert shown(world, run, 1.0) == 0
    world.supervisor.interest(run, ["view"], True, hub="one", rates={"view": 0.0})
    world.settle()
    assert [frame.whole for frame in world.out(FrameOut, run)] == [True]
    world.send(run, "add", n=1)
    assert len(world.frames(run)) == 2
    world.control(run, "pause")
    assert world.frames(run)[-1][0] == world.runner(run).host.tick
    assert len(world.frames(run)) == 3


# -- as fast as can be ---------------------------------------------------------------------------


class Often(Count):
    frame_rate = None
    report_every = 1
    report_to = "shop"


def hurry(world: World, run: UUID, turns: int = 2000) -> None:
    """At full speed for two seconds, a step each millisecond."""
    world.ledger.send(run, "speed", Kind.CONTROL, {"x": 0})
    world.supervisor.ring()
    for _ in range(turns):
        world.supervisor.turn()
        world.clock.advance(0.001)


@pytest.mark.parametrize(("rate", "frames"), [(5.0, 10), (None, 40)])
def test_at_full_speed_there_are_no_more_frames_than_by_the_clock(rate, frames):
    world, run = started(Often, frame_rate=rate)
    watch(world, run)
    before = world.runner(run).host.tick
    world.outlet.outputs.clear()
    hurry(world, run)
    assert world.runner(run).host.tick - before > 500
    assert len(world.out(FrameOut, run)) == pytest.approx(frames, abs=3)
    assert len(world.out(SendOut, run)) == pytest.approx(frames, abs=3)


def test_steps_that_are_asked_for_at_once_show_the_last_and_not_each():
    world, run = started(Often, frame_rate=5.0)
    watch(world, run)
    world.control(run, "pause")
    world.run_for(1.0)
    world.outlet.outputs.clear()
    world.control(run, "step", n=300)
    assert 1 <= len(world.frames(run)) <= 3
    assert world.frames(run)[-1][0] == world.runner(run).host.tick


# -- loops that report ---------------------------------------------------------------------------


async def teller(sim):
    """Reports thrice in quick succession, and then not for a long time."""
    for _ in range(3):
        sim.state["tick"] = sim.tick
        sim.report()
        await sim.sleep(0.05)
    await sim.sleep(60)


def test_the_last_report_is_shown_when_it_is_time_though_nothing_happens_then():
    world, run = started(Loop(teller))
    watch(world, run, 0.5)
    world.run_for(0.3)
    assert world.frames(run)[-1][1]["tick"] < 2
    world.run_for(2.0)
    assert world.frames(run)[-1][1]["tick"] == 2
    assert shown(world, run, 5.0) == 0


# -- by themselves -------------------------------------------------------------------------------


@given(
    wanted=st.floats(SLOWEST, 200.0),
    waits=st.lists(st.floats(0.001, 0.5), min_size=50, max_size=200),
)
def test_a_beat_keeps_to_its_rate_on_average(wanted, waits):
    beat, now, taken = Beat(), 0.0, 0
    for wait in waits:
        now += wait
        taken += beat.take(now, wanted)
    assert taken <= now * wanted + 2
    late = max(waits) + 1 / wanted
    assert taken >= now / late - 2


def test_an_interest_that_nobody_has_is_owed_nothing():
    interest = Interest()
    interest.tell("one", 1.0, until=5.0)
    assert interest.takes(0.0, asked=False, due=True)
    assert not interest.takes(0.1, asked=False, due=True)
    assert 0.1 < interest.owed_at <= 1.5
    assert interest.lasts(4.0)
    assert not interest.lasts(5.0)
    assert interest.owed_at == math.inf
