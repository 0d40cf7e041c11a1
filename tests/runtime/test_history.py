"""History is played again beside the runs that are live, and shown as progress."""

from __future__ import annotations

from typing import Any, ClassVar

from django_livesim.protocol.names import Kind, Outcome, Status
from django_livesim.runtime.clock import ManualClock
from django_livesim.runtime.history import SLICE
from django_livesim.runtime.ports import StatusOut
from django_livesim.simulation import Simulation, command
from tests.runtime.world import World

COST = 0.001  # seconds that a step takes


class Timed(Simulation):
    """Its steps take time, in a world whose clock it has been given."""

    clock: ClassVar[ManualClock | None] = None
    spent: ClassVar[dict[str, float]] = {}

    def setup(self):
        self.state = {"n": 0, "log": []}

    def step(self, dt):
        self.state["n"] += 1
        if self.clock is not None:
            self.clock.advance(COST)
            self.spent[self.run.simulation] = self.spent.get(self.run.simulation, 0.0) + COST

    @command
    def add(self, n):
        self.state["log"].append([n, self.tick])


class Replayed(Timed):
    tick_rate = 1000
    recovery = "replay"
    views: ClassVar[list[bool]] = []

    def view(self, role):
        self.views.append(self.live)
        return self.state


class Live(Timed):
    tick_rate = 100
    steps: ClassVar[list[float]] = []

    def step(self, dt):
        super().step(dt)
        if self.clock is not None:
            self.steps.append(self.clock.now())


def crashed(*definitions: Any, ticks: int, runs: int = 1) -> tuple[World, list[Any]]:
    Timed.clock = None
    world = World(*definitions)
    started = [world.start(Replayed) for _ in range(runs)]
    for run in started:
        world.send(run, "add", n=1)
    world.run_for(ticks / Replayed.tick_rate)
    for run in started:
        world.send(run, "add", n=2)
    for run in started:
        world.row(run)["worker"] = False
    return world, started


def heir_of(world: World, *definitions: Any) -> World:
    heir = World(*definitions, ledger=world.ledger)
    Timed.clock, Timed.spent = heir.clock, {}
    Replayed.views.clear()
    Live.steps.clear()
    return heir


def play(heir: World, run: Any) -> None:
    """Turn after turn, until history has been played."""
    while run not in heir.supervisor.runners or heir.runner(run).replaying:
        wait = heir.supervisor.turn()
        heir.clock.advance(wait)


def test_replay_is_shown_as_progress_twice_a_second_and_not_written_with_each_slice():
    world, (run,) = crashed(Replayed, ticks=3000)
    log = list(world.state(run)["log"])
    heir = heir_of(world, Replayed)
    heir.supervisor.ring()
    began = heir.clock.now()
    play(heir, run)
    heir.supervisor.turn()
    took = heir.clock.now() - began
    assert took >= 1.5
    told = [status for status in heir.out(StatusOut, run) if status.progress is not None]
    assert 2 <= len(told) <= 2 * took + 1
    shares = [status.progress for status in told]
    assert shares == sorted(shares)
    assert 0.0 < shares[0] < 0.5 < shares[-1] < 1.0
    assert told[0].reason == f"playing history again: {int(100 * shares[0])} %"
    assert len([write for write in heir.ledger.writes if write.epoch == 2]) <= len(told) + 4
    last = heir.out(StatusOut, run)[-1]
    assert (last.status, last.reason, last.progress) == (Status.RUNNING, "", None)
    assert heir.row(run)["progress"] is None
    assert heir.state(run)["log"] == log


def test_replay_encodes_nothing_though_somebody_watches():
    world, (run,) = crashed(Replayed, ticks=1000)
    heir = heir_of(world, Replayed)
    heir.supervisor.ring()
    heir.supervisor.turn()
    heir.supervisor.interest(run, ["view"], True)
    play(heir, run)
    assert False not in Replayed.views
    heir.supervisor.turn()
    assert Replayed.views  # the first frame comes at once


def test_history_takes_half_of_the_time_at_most_while_another_run_wants_all_of_it():
    world, (run,) = crashed(Replayed, Live, ticks=1000)
    heir = heir_of(world, Replayed, Live)
    heir.row(run)["worker"] = True
    busy = heir.start(Live, watch=False)
    heir.control_now(busy, "speed", x=0.0)
    heir.row(run)["worker"] = False
    Timed.spent.clear()
    heir.supervisor.ring()
    play(heir, run)
    history, live = Timed.spent["replayed"], Timed.spent["live"]
    assert history >= 1.0
    assert live >= 0.9 * history


def test_another_run_keeps_its_pace_while_history_is_played():
    world, (run,) = crashed(Replayed, Live, ticks=3000)
    heir = heir_of(world, Replayed, Live)
    heir.row(run)["worker"] = True
    heir.start(Live, watch=False)
    heir.row(run)["worker"] = False
    heir.supervisor.ring()
    Live.steps.clear()
    began = heir.clock.now()
    play(heir, run)
    took = heir.clock.now() - began
    assert took < 1.3 * 3.0  # what the other one leaves
    gaps = [after - before for before, after in zip(Live.steps, Live.steps[1:], strict=False)]
    assert max(gaps) <= 1 / Live.tick_rate + SLICE + 2 * COST
    assert abs(len(Live.steps) - took * Live.tick_rate) <= 3


def test_runs_play_their_history_in_turn():
    world, runs = crashed(Replayed, ticks=1000, runs=3)
    heir = heir_of(world, Replayed)
    heir.supervisor.ring()
    while heir.clock.now() < 1.5:
        heir.supervisor.turn()
    ticks = [heir.runner(run).host.tick for run in runs]
    assert max(ticks) - min(ticks) <= 2 * SLICE / COST
    assert min(ticks) > 400
    for run in runs:
        play(heir, run)
        assert [n for n, _ in heir.state(run)["log"]] == [1, 2]


def test_a_run_that_is_lost_in_the_midst_of_its_history_is_forgotten():
    world, (run,) = crashed(Replayed, ticks=1000)
    heir = heir_of(world, Replayed)
    heir.supervisor.ring()
    for _ in range(5):
        heir.supervisor.turn()
    assert heir.runner(run).replaying
    heir.row(run)["epoch"] += 1  # another has it
    heir.clock.advance(1.0)
    for _ in range(3):
        heir.supervisor.turn()
    assert run not in heir.supervisor.runners
    assert heir.supervisor.turn() > 0


def test_a_run_let_go_in_the_midst_of_its_history_does_not_say_that_it_plays():
    world, (run,) = crashed(Replayed, ticks=3000)
    heir = heir_of(world, Replayed)
    heir.supervisor.ring()
    while heir.row(run)["progress"] is None:
        heir.supervisor.turn()
    assert heir.runner(run).replaying
    heir.supervisor.drain()
    for _ in range(3):
        heir.supervisor.turn()
    row = heir.row(run)
    assert (row["worker"], row["progress"], row["reason"]) == (False, None, "")


def test_a_run_let_go_in_the_midst_of_its_history_keeps_its_horizon_for_the_next_heir():
    world, (run,) = crashed(Replayed, ticks=3000)
    before = dict(world.row(run))
    assert before["horizon"] > before["tick"] > 0
    heir = heir_of(world, Replayed)
    heir.supervisor.ring()
    while run not in heir.supervisor.runners or not heir.runner(run).host.tick:
        heir.supervisor.turn()
    assert heir.runner(run).replaying
    heir.supervisor.drain()
    for _ in range(3):
        heir.supervisor.turn()
    row = heir.row(run)
    assert (row["worker"], row["tick"], row["horizon"]) == (False, before["tick"], before["horizon"])


def test_a_stop_waits_until_history_has_been_played_and_stores_what_it_led_to():
    world, (run,) = crashed(Replayed, ticks=5000)
    heir = heir_of(world, Replayed)
    heir.ledger.send(run, "add", Kind.COMMAND, {"n": 3})
    heir.ledger.send(run, "stop", Kind.CONTROL, {})
    heir.supervisor.ring()
    heir.settle()
    row = heir.row(run)
    assert row["status"] is Status.STOPPED and row["tick"] >= world.row(run)["tick"] > 2000
    last, stop = world.ledger.verdicts[run][-2:]
    assert (last.entry.name, last.outcome, stop.entry.name) == ("add", Outcome.APPLIED, "stop")


class Ends(Simulation):
    tick_rate = 10

    def setup(self):
        self.state = {"n": 0}

    def step(self, dt):
        self.state["n"] += 1
        if self.state["n"] == 12:
            self.finish("done")


def test_the_tick_that_is_told_never_goes_back_though_a_run_ends_before_its_horizon():
    world = World(Ends)
    run = world.start(Ends)
    world.run_for(0.75)
    world.row(run)["worker"] = False
    told, horizon = world.row(run)["tick"], world.row(run)["horizon"]
    assert horizon > 12
    heir = World(Ends, ledger=world.ledger)
    heir.supervisor.ring()
    heir.settle()
    ticks = [told, *(status.tick for status in heir.out(StatusOut, run))]
    assert ticks == sorted(ticks)
    assert ticks[-1] == heir.row(run)["tick"] == 12
