"""How many frames there are: no more than those who watch want, and than anybody could follow."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_livesim.protocol.names import Kind
from django_livesim.runtime.interest import SLOWEST, Beat, Interest
from django_livesim.runtime.ports import FrameOut, SendOut
from django_livesim.simulation import Loop, Simulation, command
from django_livesim.testing import wait_until
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


class EachTick(Count):
    tick_rate = 1
    frame_rate = None
    report_every = 1
    report_to = "shop"


def test_what_is_owed_to_some_is_shown_to_no_others_a_second_time():
    world, run = started(EachTick)
    for _ in range(6):
        world.supervisor.interest(run, ["owner", "view"], False, hub="one", rates={"view": 0.4})
        world.run_for(2.0)
    owner, view = (
        [frame.tick for frame in world.out(FrameOut, run) if frame.role == role] for role in ("owner", "view")
    )
    updates = [output.send.message["tick"] for output in world.out(SendOut, run)]
    assert len(view) >= 3
    assert [tick for tick in owner if owner.count(tick) > 1] == []
    assert [tick for tick in updates if updates.count(tick) > 1] == []
    assert set(owner) >= set(range(3, 12))


def test_who_changes_what_they_want_has_the_author_told_of_no_tick_twice():
    world, run = started(EachTick)
    for _ in range(20):
        watch(world, run, 0.01)
        watch(world, run, 20.0)
        world.supervisor.interest(run, ["view"], True, hub="two")
        world.run_for(0.1)
    updates = [output.send.message["tick"] for output in world.out(SendOut, run)]
    assert updates == sorted(set(updates))


# -- whole frames --------------------------------------------------------------------------------


def wholes(world: World, run: UUID) -> int:
    return sum(frame.whole for frame in world.out(FrameOut, run))


@pytest.mark.parametrize("paused", [False, True])
def test_many_hubs_that_miss_frames_get_two_whole_ones_a_second_together(paused):
    world, run = started(EachTick)
    if paused:
        world.control(run, "pause")
    world.run_for(1.0)
    for turn in range(50):
        for hub in range(10):
            if turn % 6 == 0:
                world.supervisor.interest(
                    run, ["view"], True, hub=f"hub {hub}", rates={"view": hub % 2 and 0.0}
                )
                world.settle()
        world.run_for(0.1)
    assert 8 <= wholes(world, run) <= 11


@pytest.mark.parametrize("paused", [False, True])
def test_a_whole_frame_comes_at_once_where_it_is_the_first_and_else_when_it_is_time(paused):
    world, run = started(EachTick)
    if paused:
        world.control(run, "pause")
    world.run_for(3.2)
    world.supervisor.interest(run, ["view"], True, hub="one")
    world.settle()
    assert wholes(world, run) == 1
    world.supervisor.interest(run, ["view"], True, hub="two")
    world.supervisor.interest(run, ["view"], True, hub="three")
    world.settle()
    assert wholes(world, run) == 1
    world.run_for(0.4)
    assert wholes(world, run) == 1
    world.run_for(0.2)
    assert wholes(world, run) == 2
    world.run_for(3.0)
    assert wholes(world, run) == 2


def test_commands_and_the_last_word_are_shown_though_there_was_a_whole_frame_just_now():
    class Quick(EachTick):
        frame_on_command = True

    world, run = started(Quick)
    for _ in range(3):
        world.supervisor.interest(run, ["view"], True, hub="one", rates={"view": 0.0})
        world.settle()
    before = world.state(run)["value"]
    world.outlet.outputs.clear()
    for _ in range(5):
        world.send(run, "add", n=1)
    assert [state["value"] - before for _, state in world.frames(run)] == [1, 2, 3, 4, 5]
    world.control(run, "stop")
    assert world.frames(run)[-1][1]["value"] == before + 5
    assert len(world.out(FrameOut, run)) > 5


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


class Errand:
    """A loop that reports thrice, and is away then until the test lets it go on."""

    def __init__(self, *, seconds: float = 0.05) -> None:
        self.seconds = seconds
        self.done = threading.Event()
        self.begun = threading.Event()

    def loop(self, **options) -> Loop:
        async def errand(sim):
            for number in range(3):
                sim.state["number"] = number
                sim.report()
                await sim.sleep(self.seconds)
            sim.state["number"] = -1
            self.begun.set()
            while not self.done.is_set():
                await asyncio.sleep(0.001)
            sim.state["number"] = 3
            sim.report()
            await sim.sleep(60)

        loop = Loop(errand)
        for name, value in options.items():
            setattr(loop, name, value)
        return loop


@pytest.fixture
def errand() -> Iterator[Errand]:
    errand = Errand()
    yield errand
    errand.done.set()


def turns(world: World, seconds: float, by: float = 0.01) -> None:
    for _ in range(round(seconds / by)):
        world.clock.advance(by)
        world.supervisor.turn()


def numbers(world: World, run: UUID) -> list[int]:
    return [state["number"] for _, state in world.frames(run)]


def sleeps(world: World, run: UUID, errand: Errand, ticks: int) -> None:
    """Until it has ended so many ticks, and has not begun with the next."""
    for _ in range(1000):
        if world.runner(run).host.tick >= ticks:
            break
        world.run_for(errand.seconds / 5, by=errand.seconds / 5)
    assert world.runner(run).host.tick == ticks


def goes_away(world: World, errand: Errand) -> None:
    """Turn by turn until it is away for long, since `settle` waits for a loop that is; no time passes."""

    def has_begun() -> bool:
        world.supervisor.turn()
        return errand.begun.is_set()

    wait_until(has_begun)


def away(errand: Errand, fps: float) -> tuple[World, UUID]:
    """A run whose loop has reported thrice in quick succession, and is away."""
    world, run = started(errand.loop())
    watch(world, run, fps)
    sleeps(world, run, errand, 3)
    world.clock.advance(errand.seconds)
    goes_away(world, errand)
    return world, run


def test_the_last_report_is_shown_when_it_is_time_though_the_loop_is_away_then(errand):
    world, run = away(errand, 0.5)
    assert numbers(world, run)[-1] < 2
    turns(world, 3.0)
    assert numbers(world, run)[-1] == 2
    turns(world, 10.0)
    assert numbers(world, run).count(2) == 1


def test_a_tab_that_comes_back_gets_the_last_report_of_a_loop_that_is_away(errand):
    world, run = away(errand, 0.0)
    turns(world, 3.0)
    assert numbers(world, run) == []
    world.supervisor.interest(run, ["view"], True, hub="one")
    turns(world, 0.02)
    assert numbers(world, run) == [2]
    assert wholes(world, run) == 1
    errand.done.set()
    wait_until(lambda: turns(world, 0.02) or numbers(world, run)[-1] == 3)


def test_at_full_speed_too_the_last_report_of_a_loop_that_is_away_is_shown(errand):
    world, run = started(errand.loop(frame_rate=0.1))
    watch(world, run)
    sleeps(world, run, errand, 1)
    world.ledger.send(run, "speed", Kind.CONTROL, {"x": 0})
    world.supervisor.ring()
    goes_away(world, errand)
    before = numbers(world, run)
    assert before[-1] < 2
    turns(world, 4.0)
    assert numbers(world, run) == before
    turns(world, 7.0)
    assert numbers(world, run) == [*before, 2]


def test_a_whole_frame_that_was_refused_is_shown_though_the_loop_is_away_then(errand):
    errand.seconds = 0.2
    world, run = started(errand.loop())
    watch(world, run)
    sleeps(world, run, errand, 3)
    for hub in ("one", "two"):
        world.supervisor.interest(run, ["view"], True, hub=hub)
        world.settle()
    assert wholes(world, run) == 1
    world.outlet.outputs.clear()
    world.clock.advance(errand.seconds)
    goes_away(world, errand)
    assert numbers(world, run) == []
    turns(world, 0.6)
    assert wholes(world, run) == 1
    assert numbers(world, run) == [2]


def test_a_loop_that_has_not_begun_has_nothing_to_show_and_takes_no_turns_for_it(errand):
    definition = errand.loop()
    world = World(definition)
    run = world.ledger.add(definition.name, {}, 1)
    world.ledger.send(run, "pause", Kind.CONTROL, {})
    world.supervisor.ring()
    world.settle()
    assert world.runner(run).host.tick == 0
    for _ in range(2):
        world.supervisor.interest(run, ["view"], True, hub="one")
        world.settle()
    assert world.frames(run) == []
    assert world.runner(run).next_due() is None


def test_a_report_is_encoded_once_however_many_ticks_follow_it():
    shown: list[int] = []

    async def ticker(sim):
        sim.report()
        while True:
            await sim.sleep(0.01)

    loop = Loop(ticker)
    loop.view_function = lambda sim, role: shown.append(sim.tick) or {"tick": sim.tick}
    world, run = started(loop)
    watch(world, run, 0.1)
    world.run_for(5.0)
    assert len(shown) <= 2


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
