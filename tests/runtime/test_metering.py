"""Figures of a run: how often they are asked for, who gets them, and what becomes of bad ones."""

from __future__ import annotations

import logging
import math
from decimal import Decimal
from uuid import UUID

import orjson
import pytest

from django_livesim.jobs import Job, of_class
from django_livesim.protocol.errors import LivesimError
from django_livesim.protocol.figures import MOST, NAME, NAMED, read, superfluous
from django_livesim.protocol.names import Status
from django_livesim.runtime.metering import EARLY, SHOWN, STORED, Due
from django_livesim.runtime.ports import EventOut, MetricsOut
from django_livesim.simulation import Loop, Simulation, command
from tests.runtime.world import World


class Tank(Simulation):
    tick_rate = 20
    asked = 0

    def setup(self, **params):
        self.state = {"level": 0}

    def step(self, dt):
        self.state["level"] += 1

    @command
    def fill(self, n):
        self.state["level"] += n

    def metrics(self):
        type(self).asked += 1
        return {"level": self.state["level"]}


class Bare(Simulation):
    tick_rate = 20

    def setup(self):
        self.state = {}

    def step(self, dt):
        pass


def a_tank(**members) -> type[Tank]:
    return type("Tank", (Tank,), {"asked": 0, **members})


def started(definition, watch: bool = True, **options) -> tuple[World, UUID]:
    world = World(definition, **options)
    return world, world.start(definition, watch=watch)


def shown(world: World, run: UUID) -> list[tuple[int, dict]]:
    return [(output.tick, orjson.loads(output.values)) for output in world.out(MetricsOut, run)]


def stored(world: World, run: UUID) -> dict[int, dict]:
    return {tick: orjson.loads(each.values) for tick, each in world.ledger.samples[run].items()}


# -- how often -----------------------------------------------------------------------------------


def test_while_nobody_watches_they_are_asked_for_once_a_second_and_nothing_is_shown():
    tank = a_tank()
    world, run = started(tank, watch=False)
    world.run_for(10.0)
    assert 10 <= tank.asked <= 11
    assert shown(world, run) == []
    assert 9 <= len(stored(world, run)) <= 11
    assert all(figures == {"level": tick} for tick, figures in stored(world, run).items())


def test_who_watches_sees_four_a_second_and_one_is_stored():
    tank = a_tank()
    world, run = started(tank)
    world.run_for(10.0)
    assert 38 <= len(shown(world, run)) <= 42
    assert tank.asked <= 42
    assert 9 <= len(stored(world, run)) <= 11
    assert all(figures == {"level": tick} for tick, figures in shown(world, run))


def test_when_nobody_watches_any_more_they_are_asked_for_less_often():
    tank = a_tank()
    world, _run = started(tank, interest_ttl=2.0)
    world.run_for(5.0)
    before = tank.asked
    world.run_for(5.0)
    assert tank.asked - before <= 6


@pytest.mark.parametrize("speed", [0.0, 5.0])
def test_they_are_sampled_by_the_clock_at_any_speed(speed):
    tank = a_tank()
    world, run = started(tank)
    world.control(run, "speed", x=5.0)
    if speed:
        world.run_for(4.0)
    else:
        world.runner(run).speed = 0.0
        for _ in range(400):
            world.clock.advance(0.01)
            world.supervisor.turn()
    assert len(shown(world, run)) <= 19
    assert len(stored(world, run)) <= 7


def test_slow_ticks_that_come_a_little_early_or_late_are_all_sampled():
    due = Due(STORED)
    assert all(due.take(tick + (0.05 if tick % 2 else -0.05)) for tick in range(100))


def test_on_average_there_is_never_more_than_one_in_a_period():
    due = Due(SHOWN)
    taken = sum(due.take(tick * 0.001) for tick in range(100_000))
    assert taken == pytest.approx(100 / SHOWN, abs=1 + EARLY)


def test_a_simulation_without_figures_has_nothing_that_samples():
    world, run = started(Bare)
    assert not Bare.has_metrics and Tank.has_metrics
    assert world.runner(run).meter is None
    world.run_for(2.0)
    assert (shown(world, run), stored(world, run)) == ([], {})


# -- where a run rests ---------------------------------------------------------------------------


def test_pause_steps_and_end_are_sampled_at_once():
    world, run = started(a_tank())
    world.run_for(2.33)
    world.control(run, "pause")
    tick = world.runner(run).host.tick
    assert shown(world, run)[-1] == (tick, {"level": tick})
    assert stored(world, run)[tick] == {"level": tick}
    world.control(run, "step", n=3)
    assert shown(world, run)[-1] == (tick + 3, {"level": tick + 3})
    world.run_for(1.5)
    assert stored(world, run)[tick + 3] == {"level": tick + 3}
    assert tick + 1 not in stored(world, run)
    world.send(run, "fill", n=1000)
    world.control(run, "stop")
    assert shown(world, run)[-1] == (tick + 3, {"level": tick + 1003})
    assert stored(world, run)[tick + 3] == {"level": tick + 1003}


def test_a_run_that_finishes_has_its_last_figures_stored():
    class Short(Tank):
        def step(self, dt):
            super().step(dt)
            if self.state["level"] == 7:
                self.finish()

    world, run = started(Short, watch=False)
    world.run_for(1.0)
    assert world.row(run)["status"] is Status.FINISHED
    assert stored(world, run)[7] == {"level": 7}


def test_commands_to_a_paused_run_are_seen_in_its_figures_soon_and_not_each_by_itself():
    tank = a_tank()
    world, run = started(tank)
    world.run_for(1.0)
    world.control(run, "pause")
    tick = world.runner(run).host.tick
    before = tank.asked
    for _ in range(50):
        world.send(run, "fill", n=100)
    assert tank.asked - before <= 2
    world.run_for(3.0)
    assert shown(world, run)[-1] == (tick, {"level": tick + 5000})
    assert stored(world, run)[tick] == {"level": tick + 5000}
    assert tank.asked - before <= 7


# -- what is let out, and written ----------------------------------------------------------------


def test_figures_leave_no_earlier_than_the_command_that_they_show_has_committed():
    world, run = started(a_tank())
    world.run_for(1.0)
    world.ledger.answering = False
    before = len(shown(world, run))
    world.send(run, "fill", n=1000)
    world.run_for(1.0)
    assert [level for _, figures in shown(world, run)[before:] if (level := figures["level"]) > 900] == []
    assert not any(figures["level"] > 900 for figures in stored(world, run).values())
    world.ledger.answer()
    world.run_for(0.5)
    assert shown(world, run)[-1][1]["level"] > 1000


def test_a_look_that_is_not_answered_gives_its_samples_again():
    world, run = started(a_tank(), watch=False)
    world.run_for(1.0)
    there = set(stored(world, run))
    post, lost = world.ledger.post, []
    world.ledger.poll = lambda held, claiming, done: (lost.append(held), post(done, None))
    world.run_for(1.2)
    assert any(held[run].samples for held in lost)
    assert set(stored(world, run)) == there
    del world.ledger.poll
    world.run_for(3.0)
    given = {each.tick for held in lost for each in held[run].samples}
    assert given and given <= set(stored(world, run))
    assert not world.runner(run).record._given


def test_samples_make_no_write_of_their_own():
    world, run = started(a_tank(), watch=False, checkpoint_seconds=1000)
    world.run_for(1.0)
    before = len(world.ledger.writes)
    world.run_for(5.0)
    assert len(stored(world, run)) >= 5
    assert len(world.ledger.writes) == before


# -- history -------------------------------------------------------------------------------------


def test_while_history_is_played_again_nothing_is_sampled_and_what_was_stays():
    tank = a_tank()
    first = World(tank, checkpoint_seconds=1000)
    run = first.start(tank, watch=False)
    first.run_for(5.0)
    before = dict(stored(first, run))
    first.row(run)["worker"] = False
    tank.asked = 0
    heir = World(tank, ledger=first.ledger)
    heir.supervisor.ring()
    heir.settle()
    runner = heir.runner(run)
    assert runner.host.live and runner.host.tick >= max(before)
    assert tank.asked == 1
    assert len(set(stored(heir, run)) - set(before)) <= 1
    assert before.items() <= stored(heir, run).items()


def lost_lineage(first: World, run: UUID, definition) -> tuple[World, dict[int, dict], int]:
    """An heir, what was stored before it, and the tick from which it goes on."""
    first.row(run)["worker"] = False
    before = dict(stored(first, run))
    tick = first.ledger.checkpoints[run][-1].tick
    assert max(before) > tick
    heir = World(definition, ledger=first.ledger)
    heir.supervisor.ring()
    heir.settle()
    return heir, before, tick


def test_where_a_run_goes_on_from_an_older_state_the_figures_of_lost_ticks_go():
    tank = a_tank(deterministic=False)
    world = World(tank, checkpoint_seconds=2.0)
    run = world.start(tank, watch=False)
    world.run_for(5.5)
    heir, before, tick = lost_lineage(world, run, tank)
    kept = stored(heir, run)
    assert {each: kept.get(each) for each in before if each <= tick} == {
        each: before[each] for each in before if each <= tick
    }
    assert [each for each in kept if each > tick and each in before] == []


def test_the_figures_of_a_loops_lost_ticks_go():
    async def drip(sim):
        sim.state.setdefault("drops", 0)
        while True:
            sim.state["drops"] += 1
            await sim.sleep(0.05)

    loop = Loop(drip)
    loop.metrics(lambda sim: {"drops": sim.state["drops"]})
    world = World(loop, checkpoint_seconds=2.0)
    run = world.start(loop, watch=False)
    world.run_for(5.5)
    assert len(stored(world, run)) >= 4
    heir, _before, tick = lost_lineage(world, run, loop)
    heir.run_for(0.2)
    assert min((each for each in stored(heir, run) if each > tick), default=tick + 1) <= tick + 5
    assert max(stored(heir, run)) <= heir.runner(run).host.tick


def test_a_history_that_comes_out_otherwise_begins_its_figures_anew():
    world = World(tank := a_tank(), checkpoint_seconds=2.0)
    run = world.start(tank, watch=False)
    world.run_for(5.5)
    assert world.row(run)["hash"]
    world.row(run)["hash"] = "of another"
    heir, before, tick = lost_lineage(world, run, tank)
    assert "not alike" in heir.row(run)["reason"]
    assert [each for each in stored(heir, run) if each > tick and each in before] == []


def test_newer_code_begins_the_figures_of_what_it_plays_again_anew():
    world = World(tank := a_tank(), checkpoint_seconds=2.0)
    run = world.start(tank, watch=False)
    world.run_for(5.5)
    heir, before, tick = lost_lineage(world, run, type("Tank", (tank,), {"version": 2}))
    assert [each for each in stored(heir, run) if each > tick and each in before] == []


# -- jobs ----------------------------------------------------------------------------------------


def test_a_job_that_is_a_class_has_figures_too():
    class Training(Job):
        def work(self):
            for epoch in range(5):
                self.state["epoch"] = epoch
                self.sleep(1.0)

        def metrics(self):
            return {"epoch": self.state.get("epoch")}

    definition = of_class(Training, {"name": "training"})
    assert definition.has_metrics
    world, run = started(definition, watch=False)
    world.run_for(7.0)
    assert world.row(run)["status"] is Status.FINISHED
    assert [figures["epoch"] for figures in stored(world, run).values()][-1] == 4
    assert len(stored(world, run)) >= 4


# -- what is bad ---------------------------------------------------------------------------------


def test_figures_that_raise_are_told_once_and_harm_nobody(caplog):
    def metrics(self):
        if self.state["level"] < 60:
            raise ValueError("secret")
        return {"level": self.state["level"]}

    world, run = started(a_tank(metrics=metrics))
    caplog.set_level(logging.WARNING)
    world.run_for(2.0)
    (said,) = [record for record in caplog.records if "no figures" in record.message]
    assert said.levelno == logging.ERROR and said.exc_info
    assert f"run={run} epoch=1" in said.message
    outputs = world.out(MetricsOut, run)
    assert {output.problem for output in outputs} == {"metrics() raised ValueError"}
    assert {output.values for output in outputs} == {b"{}"}
    assert stored(world, run) == {}
    world.run_for(4.0)
    assert world.row(run)["status"] is Status.RUNNING
    assert world.out(MetricsOut, run)[-1].problem == ""
    assert stored(world, run)


def test_what_is_no_dict_is_said_to_be_none():
    world, run = started(a_tank(metrics=lambda self: [1]))
    world.run_for(0.5)
    expected = "metrics() gave list. Expected: a dict of names and numbers."
    assert {output.problem for output in world.out(MetricsOut, run)} == {expected}


def test_numbers_that_are_not_finite_are_null_and_counted(caplog):
    asked: list[int] = []

    def metrics(self):
        asked.append(self.tick)
        return {"loss": math.nan, "gain": -math.inf, "n": 1}

    world, run = started(a_tank(metrics=metrics))
    caplog.set_level(logging.WARNING)
    world.run_for(1.0)
    assert shown(world, run)[-1][1] == {"loss": None, "gain": None, "n": 1}
    assert world.runner(run).screen.encoder.found == 2 * len(asked)
    (line,) = [record.message for record in caplog.records if "null" in record.message]
    assert line == (
        "viewers see null for 2 numbers of the figures that JSON has no word for, the first being"
        f' metrics["loss"] (nan); expected finite numbers run={run} epoch=1'
    )


def test_what_is_no_number_is_left_out_with_one_warning(caplog):
    world, run = started(a_tank(metrics=lambda self: {"name": "Ada", 3: 3, "n": 1, "bodies": [1]}))
    caplog.set_level(logging.WARNING)
    world.run_for(2.0)
    assert {tuple(figures) for _, figures in shown(world, run)} == {("n",)}
    (line,) = [record.message for record in caplog.records if "left out" in record.message]
    assert "'name' (str), '3' (int), 'bodies' (list)" in line


class Scalar:
    """As one of numpy's."""

    shape = ()

    def __init__(self, kind, value):
        self.dtype = type("dtype", (), {"kind": kind})
        self.value = value

    def __int__(self):
        return int(self.value)

    def __float__(self):
        return float(self.value)


def test_numbers_of_every_kind_are_read():
    given = {
        "bool": True,
        "int": 3,
        "huge": 10**400,
        "large": 2**60,
        "float": 0.5,
        "decimal": Decimal("0.25"),
        "nan": Decimal("NaN"),
        "none": None,
        "float32": Scalar("f", 1.5),
        "int64": Scalar("i", 7),
        "bool_": Scalar("b", 1),
        "text": Scalar("U", 1),
        "complex": 1j,
    }
    found = read(given)
    assert found.values == {
        "bool": 1, "int": 3, "huge": None, "large": float(2**60), "float": 0.5, "decimal": 0.25, "nan": None,
        "none": None, "float32": 1.5, "int64": 7, "bool_": 1,
    }  # fmt: skip
    assert [type(found.values[name]) for name in ("bool", "float32")] == [int, float]
    assert found.unfit == ('["huge"] (an integer too large)', '["nan"] (NaN)')
    assert found.dropped == ("'text' (Scalar)", "'complex' (complex)")
    orjson.dumps(found.values)


def test_scalars_of_numpy_are_read():
    numpy = pytest.importorskip("numpy")
    given = {"a": numpy.float32(0.5), "b": numpy.int64(3), "c": numpy.bool_(True)}
    found = read(given | {"d": numpy.float64("nan"), "e": numpy.longdouble(2)})
    assert found.values == {"a": 0.5, "b": 3, "c": 1, "d": None, "e": 2.0}
    assert read({"row": numpy.array([1.0])}).values == {}
    orjson.dumps(found.values)


def test_names_are_cut_and_no_more_are_taken_than_are_bearable():
    names = {f"n{each}": each for each in range(99)}
    found = read({"x" * 150: 1, "x" * 120: 2, "a\x00b\ud800": 3, "": 4} | names)
    assert list(found.values)[:3] == ["x" * NAME, "a\\x00b\\ud800", "n0"]
    assert (len(found.values), len(found.dropped)) == (MOST, NAMED)
    with pytest.raises(LivesimError):
        read(None)


# -- which can be spared -------------------------------------------------------------------------


def test_what_is_superfluous_leaves_the_ends_and_is_as_much_as_was_asked_for():
    ticks = list(range(0, 1000, 2))
    gone = superfluous(ticks, 1500, 250)
    assert len(gone) == len(set(gone)) == 250
    assert set(gone) <= set(ticks[1:-1])
    assert superfluous([1], 9, 5) == superfluous([1, 2], 9, 5) == []
    assert superfluous([1, 2, 3], 9, 5) == [2]


def test_of_what_is_older_less_is_left():
    left = sorted(set(range(10_000)) - set(superfluous(range(10_000), 10_500, 9_500)))
    halves = [sum(1 for tick in left if low <= tick < low + 2500) for low in range(0, 10_000, 2500)]
    assert halves[0] + halves[1] < halves[2] + halves[3]
    assert halves[3] > 1.5 * halves[1] > 0 and halves[0] > 50


def test_an_integer_of_ten_thousand_digits_costs_the_others_nothing():
    found = read({"ok": 1, "huge": 10**10_000})
    assert found.values == {"ok": 1, "huge": None}
    assert len(found.unfit[0]) < 200


class Gambler(Simulation):
    """Its figures draw numbers, and say so."""

    tick_rate = 20

    def setup(self):
        self.state = {"drawn": 0.0}

    def step(self, dt):
        self.state["drawn"] = self.random.random()

    def metrics(self):
        self.emit("asked")
        return {"luck": self.random.random()}


def test_a_run_that_is_watched_goes_as_one_that_is_not():
    states = []
    for watch in (False, True):
        world = World(Gambler)
        run = world.start(Gambler, watch=watch)
        world.run_for(2.0)
        assert world.ledger.samples[run]
        assert world.out(EventOut, run) == []
        states.append(world.state(run))
    assert states[0] == states[1]
