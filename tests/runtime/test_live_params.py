"""`set` in the step thread: when it acts, what is stored of it, and that an heir comes to the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import orjson
import pytest

from django_livesim import BadArgs, Job, param
from django_livesim.jobs import of_class
from django_livesim.protocol.names import Kind, Status
from django_livesim.runtime.ports import VerdictOut
from django_livesim.simulation import Loop
from django_livesim.testing import Trial, assert_deterministic
from tests.bath import Bath, PlayedBath
from tests.runtime.world import World

COMMANDS = [
    (0, "set", {"room": 5}),
    (7, "set", {"stirred": True, "soak": "00:01:00"}),
    (7, "pour", {"degrees": 50}),
    (40, "set", {"room": 13}),  # refused
    (70, "set", {"room": 35.5}),
]


class TestClass:
    def test_it_acts_between_two_steps_and_keeps_what_is_not_given(self) -> None:
        trial = Trial(Bath, {"litres": 40, "room": 10})
        assert dict(trial.params) == {
            "litres": 40.0,
            "room": 10.0,
            "stirred": False,
            "scent": None,
            "soak": timedelta(minutes=5),
        }
        trial.step(3)
        answer = trial.send("set", {"room": 25, "soak": "00:00:30"})
        assert (answer.applied, answer.tick, answer.result) == (True, 3, None)
        assert trial.params["room"] == trial.simulation.params["room"] == 25.0
        assert trial.params["soak"] == timedelta(seconds=30)
        assert trial.params["litres"] == 40.0
        assert trial.simulation.run.params["room"] == 10.0

    def test_the_next_step_goes_by_it(self) -> None:
        plain, hot = Trial(Bath, seed=3), Trial(Bath, seed=3)
        hot.send("set", {"room": 40})
        plain.step()
        hot.step()
        assert hot.state["water"] - plain.state["water"] == pytest.approx((40 - 20) / 80 / 20)

    def test_changed_is_told_the_names_and_knows_the_new_values(self) -> None:
        trial = Trial(Bath)
        assert trial.state["told"] == []
        trial.send("set", {"soak": "00:00:30", "room": 3})
        trial.step(2)
        trial.send("set", {"room": 3})
        assert trial.state["told"] == [[0, ["room", "soak"], 30.0], [2, ["room"], 30.0]]

    @pytest.mark.parametrize(
        ("room", "code", "told"),
        [
            (13, "refused", "nobody bathes at 13 degrees"),
            (14, "error", "The command raised OSError; the worker's log says where."),
        ],
    )
    def test_what_changed_raises_refuses_it_and_nothing_is_different(
        self, room: float, code: str, told: str
    ) -> None:
        trial = Trial(Bath)
        trial.send("set", {"room": 30})
        answer = trial.send("set", {"room": room, "stirred": True})
        assert (answer.refused, answer.code, answer.message) == (True, code, told)
        assert (trial.params["room"], trial.params["stirred"]) == (30.0, False)
        assert trial._row["params_set"] == {"room": 30.0}
        trial.step()
        trial.crash()
        assert (trial.params["room"], trial.params["stirred"]) == (30.0, False)

    def test_wrong_ones_are_not_even_sent(self) -> None:
        trial = Trial(Bath)
        with pytest.raises(BadArgs) as caught:
            trial.send("set", {"room": 41, "litres": 3})
        assert caught.value.fields.keys() == {"litres"}
        with pytest.raises(BadArgs):
            trial.send("set", {"room": 41})

    def test_nobody_changes_them_by_the_way(self) -> None:
        trial = Trial(Bath)
        with pytest.raises(TypeError):
            trial.simulation.params["room"] = 3

    def test_while_it_is_paused_it_acts_at_once(self) -> None:
        trial = Trial(Bath)
        trial.step(2)
        trial.pause()
        assert trial.send("set", {"room": 33}).applied
        trial.resume()
        assert trial.params["room"] == 33.0

    def test_for_a_tick_it_waits(self) -> None:
        trial = Trial(Bath)
        later = trial.send("set", {"room": 33}, at_tick=4)
        trial.step(3)
        assert later.waiting
        assert trial.params["room"] == 20.0
        trial.step()
        assert (later.tick, trial.params["room"]) == (4, 33.0)

    @pytest.mark.parametrize("simulation", [Bath, PlayedBath])
    def test_an_heir_goes_on_alike_wherever_the_worker_dies(self, simulation: type[Bath]) -> None:
        assert_deterministic(simulation, {"litres": 20}, commands=COMMANDS)

    def test_so_it_does_in_other_processes(self) -> None:
        assert_deterministic(Bath, {"litres": 20}, commands=COMMANDS, new_process=True)

    @pytest.mark.parametrize("simulation", [Bath, PlayedBath])
    def test_what_was_set_before_and_after_the_checkpoint_is_there_after_a_crash(
        self, simulation: type[Bath]
    ) -> None:
        trial = Trial(simulation, seed=5)
        trial.send("set", {"room": 30, "stirred": True})
        trial.advance(11)  # a checkpoint is made
        trial.send("set", {"room": 10, "scent": "pine"})
        trial.step(5)
        before, state = dict(trial.params), trial.state
        trial.crash()
        assert dict(trial.params) == before
        assert trial.state == state
        assert trial._row["params_set"] == {"room": 10.0, "scent": "pine", "stirred": True}

    def test_stopped_and_resumed_it_has_what_was_set(self) -> None:
        trial = Trial(Bath)
        trial.send("set", {"room": 30})
        trial.stop()
        trial.resume()
        trial.step()
        assert trial.params["room"] == 30.0

    def test_a_restart_begins_with_what_was_set(self) -> None:
        trial = Trial(Bath, {"litres": 33})
        trial.send("set", {"room": 30, "soak": "00:00:07"})
        trial.restart()
        assert (trial.tick, trial.params["room"], trial.params["litres"]) == (0, 30.0, 33.0)
        assert trial.simulation.run.params["room"] == 30.0
        assert trial.state["soak"] == 7.0
        assert trial._row["params_set"] == {}


def begun(world: World) -> Any:
    """A run whose parameters nobody has cleaned."""
    given = {"litres": 80.0, "room": 20.0, "stirred": False, "scent": None, "soak": timedelta(minutes=5)}
    return world.start(Bath, **given)


def hold_writes(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The writes from here on, with who waits for them; the database answers none."""
    held: list[Any] = []
    monkeypatch.setattr(world.ledger, "write", lambda *write: held.append(write))
    return held


class TestStored:
    def test_a_checkpoint_holds_what_was_set_and_only_then(self) -> None:
        world = World(Bath)
        run = begun(world)
        assert "params_set" not in newest(world, run)
        world.send(run, "set", room=30.0)
        world.send(run, "set", stirred=True)
        world.control(run, "pause")
        assert newest(world, run)["params_set"] == {"room": 30.0, "stirred": True}

    def test_the_row_gets_it_with_the_very_verdict(self) -> None:
        world = World(Bath)
        run = begun(world)
        world.ledger.answering = False
        world.send(run, "set", room=30.0)
        world.send(run, "set", room=31.0)
        world.ledger.answer()
        world.settle()
        written = [(len(write.verdicts), write.params_set) for write in world.ledger.writes if write.verdicts]
        assert written in ([(2, {"room": 31.0})], [(1, {"room": 30.0}), (1, {"room": 31.0})])
        assert world.row(run)["params_set"] == {"room": 31.0}

    @pytest.mark.parametrize("committed", [False, True])
    def test_a_worker_that_dies_while_it_is_written_leaves_it_to_act_once(
        self, committed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = World(Bath)
        run = begun(world)
        world.send(run, "set", room=30.0)
        written = hold_writes(world, monkeypatch)
        world.send(run, "set", room=31.0, stirred=True)
        assert world.runner(run).host.params["room"] == 31.0
        if committed:
            world.ledger._commit(written[0][0])  # but it does not hear of it
        monkeypatch.undo()
        assert world.row(run)["params_set"]["room"] == (31.0 if committed else 30.0)
        world.row(run)["worker"] = False
        heir = World(Bath, ledger=world.ledger)
        heir.supervisor.ring()
        heir.run_for(1.0)
        told = heir.state(run)["told"]
        assert [names for _tick, names, _soak in told] == [["room"], ["room", "stirred"]]
        assert heir.row(run)["params_set"] == {"room": 31.0, "stirred": True}
        assert heir.runner(run).host.params["room"] == 31.0

    def test_nobody_is_told_before_it_is_stored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World(Bath)
        run = begun(world)
        written = hold_writes(world, monkeypatch)
        world.send(run, "set", room=31.0)
        assert world.out(VerdictOut, run) == []
        monkeypatch.undo()
        for each in written:
            world.ledger.write(*each)
        world.settle()
        assert [out.verdict.entry.name for out in world.out(VerdictOut, run)] == ["set"]

    def test_history_that_is_played_again_writes_nothing_of_it(self) -> None:
        trial = Trial(PlayedBath)
        trial.send("set", {"room": 30})
        trial.step(3)
        trial.send("set", {"room": 31})
        writes = trial._ledger.writes
        before = len(writes)
        trial.crash()
        trial.step()
        assert [write.params_set for write in writes[before:] if write.params_set is not None] == []
        assert trial.params["room"] == 31.0

    def test_it_is_in_the_hash_that_an_heir_compares(self) -> None:
        def fingerprint(**params: Any) -> str:
            world = World(Bath)
            run = begun(world)
            if params:
                world.send(run, "set", **params)
            runner = world.runner(run)
            runner.program.simulation.state["told"] = []
            return str(runner.fingerprint())

        assert fingerprint(room=30.0) == fingerprint(room=30.0) != fingerprint(room=31.0)
        assert fingerprint() != fingerprint(room=20.0)

    def test_an_older_version_without_that_parameter_refuses_it(self) -> None:
        world = World(Bath)
        run = begun(world)
        world.send(run, "set", depth=3)
        verdict = world.ledger.verdicts[run][-1]
        assert (verdict.outcome, verdict.code, verdict.params_set) == ("refused", "bad_args", None)
        assert "depth: This version of the code has no live parameter of that name." in verdict.message


def newest(world: World, run: Any) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(world.ledger.checkpoints[run][-1].data)
    return document


# -- own loops --------------------------------------------------------------------------------


async def async_mill(
    sim: Any, grain: str = "oats", pace: Annotated[timedelta, param(live=True)] = timedelta(seconds=1)
) -> None:
    log = sim.state.setdefault("log", [])
    log.append(["called", grain, pace.total_seconds()])
    while True:
        for message in sim.messages():
            log.append([message.name, sim.params["pace"].total_seconds()])
        sim.state["pace"] = sim.params["pace"].total_seconds()
        await sim.sleep(0.1)


def blocking_mill(
    sim: Any, grain: str = "oats", pace: Annotated[timedelta, param(live=True)] = timedelta(seconds=1)
) -> None:
    log = sim.state.setdefault("log", [])
    log.append(["called", grain, pace.total_seconds()])
    while True:
        for message in sim.messages():
            log.append([message.name, sim.params["pace"].total_seconds()])
        sim.state["pace"] = sim.params["pace"].total_seconds()
        sim.sleep(0.1)


def deaf_mill(sim: Any, pace: Annotated[int, param(live=True)] = 1) -> None:
    while True:
        sim.state["pace"] = sim.params["pace"]
        sim.sleep(0.1)


@pytest.fixture(params=[async_mill, blocking_mill])
def mill(request: pytest.FixtureRequest) -> Loop:
    return Loop(request.param, name="mill")


class TestLoop:
    def test_it_is_new_in_order_with_the_messages_around_it_and_is_none_itself(self, mill: Loop) -> None:
        with Trial(mill, {"grain": "rye"}) as trial:
            trial.step()
            trial.send("before")
            answer = trial.send("set", {"pace": "00:00:09"})
            trial.send("after")
            trial.step()
            assert trial.state["log"] == [["called", "rye", 1.0], ["before", 1.0], ["after", 9.0]]
            assert trial.state["pace"] == 9.0
            assert (answer.applied, answer.result) == (True, None)
            assert dict(trial.params) == {"grain": "rye", "pace": timedelta(seconds=9)}

    def test_called_again_it_gets_what_was_set(self, mill: Loop) -> None:
        with Trial(mill) as trial:
            trial.step()
            trial.send("set", {"pace": "00:00:09"})
            trial.step()
            trial.stop()
            trial.resume()
            trial.step()
            assert trial.state["log"] == [["called", "oats", 1.0], ["called", "oats", 9.0]]

    def test_after_a_crash_it_comes_again_with_the_messages(self, mill: Loop) -> None:
        with Trial(mill) as trial:
            trial.step(2)
            trial.send("set", {"pace": "00:00:05"})
            trial.step(2)
            trial.pause()  # which stores the state
            trial.resume()
            trial.send("first")
            trial.send("set", {"pace": "00:00:09"})
            trial.send("second")
            trial.step(2)
            trial.crash()
            trial.step(2)
            assert trial.state["log"][-3:] == [["called", "oats", 5.0], ["first", 5.0], ["second", 9.0]]
            assert trial.params["pace"] == timedelta(seconds=9)
            assert trial._row["params_set"] == {"pace": "P0DT00H00M09S"}

    def test_a_loop_that_asks_for_no_messages_has_it_after_its_next_sleep(self) -> None:
        with Trial(Loop(deaf_mill)) as trial:
            trial.step()
            answer = trial.send("set", {"pace": 7})
            trial.step(2)
            assert answer.applied
            assert trial.state["pace"] == 7

    def test_beside_declared_commands(self) -> None:
        loop = Loop(deaf_mill)

        @loop.command
        def grind(sim: Any, sacks: int) -> float:
            return sacks * float(sim.params["pace"])

        with Trial(loop) as trial:
            trial.step()
            answers = [trial.send("grind", {"sacks": 2}), trial.send("set", {"pace": 7})]
            answers.append(trial.send("grind", {"sacks": 2}))
            trial.step(2)
            assert [answer.result for answer in answers] == [2.0, None, 14.0]

    def test_a_form_that_refuses_it_there_leaves_all_as_it_was(self) -> None:
        with Trial(Loop(deaf_mill)) as trial:
            trial.step()
            entry = trial._ledger.send(trial._run, "set", Kind.COMMAND, {"pace": "x"})
            trial._look()
            trial.step(2)
            verdict = trial._ledger.verdict(trial._run, entry)
            assert verdict is not None
            assert (verdict.outcome, verdict.code) == ("refused", "bad_args")
            assert trial.params["pace"] == 1
            assert trial.status is Status.RUNNING


class Sawing(Job):
    """Saws until it has what is wanted."""

    def work(self, wanted: Annotated[int, param(live=True)] = 10_000) -> list[Any]:
        self.state["told"] = []
        sawn = 0
        while sawn < self.params["wanted"]:
            sawn += 1
            self.sleep(0.1)
        return [sawn, self.state["told"]]

    def changed(self, names: set[str]) -> None:
        self.state["told"].append([sorted(names), self.params["wanted"]])


def test_a_job_has_it_where_it_tells_how_far_it_is() -> None:
    with Trial(of_class(Sawing, {})) as trial:
        trial.step(3)
        trial.send("set", {"wanted": 5})
        trial.step(5)
        assert trial.status is Status.FINISHED
        assert trial.result == [5, [[["wanted"], 5]]]
