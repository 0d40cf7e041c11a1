"""A trial: one run under the hand of its test."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from decimal import Decimal
from typing import Annotated, Any

import pytest

from django_livesim import BadArgs, Limits, Refused, Simulation, command
from django_livesim.protocol.errors import BadState, RegistrationError, RunEnded, UnknownCommand
from django_livesim.protocol.names import Status
from django_livesim.simulation import Loop, Send
from django_livesim.testing import ManualClock, RunFailed, Trial


class Tank(Simulation):
    """Counts its ticks, and does as it is told."""

    tick_rate = 10
    frame_rate = 5

    def setup(self, level: Annotated[int, Limits(ge=0)] = 0, price: Decimal = Decimal("1.5")):
        if level == 13:
            raise OSError("no tank 13")
        self.price = price
        self.state = {"level": level, "dice": [], "seen": []}

    def step(self, dt):
        if self.state["level"] >= 1000:
            raise OverflowError("the tank is full")
        self.state["level"] += 1
        self.state["dice"].append(self.random.random())
        if self.state["level"] % 5 == 0:
            self.emit("fifth", {"level": self.state["level"]})

    @command
    def fill(self, litres: Annotated[int, Limits(ge=1)], when: Decimal = Decimal(0)) -> int:
        if litres > 5000:
            raise Refused("there is not so much water")
        self.state["seen"].append([self.tick, litres])
        self.state["level"] += litres
        return self.state["level"]

    @command
    def broken(self):
        raise ValueError("not like this")

    @command
    def spoil(self):
        self.state["bad"] = {"pair": (1, 2)}

    @command
    def end(self):
        self.finish({"level": self.state["level"]})

    @command
    def tell(self):
        self.group_send("neighbours", {"type": "tank.told", "tick": self.tick})
        self.channel_send("plumber", {"type": "tank.called"})

    def metrics(self):
        return {"level": self.state["level"], "mean": 1 / self.state["level"]}


class Cards(Tank):
    def view(self, role):
        return {"role": role, "hand": self.state["level"] if role == "owner" else None}


def serve(sim, benches):
    """What both shops do in a tick; whether they close."""
    log = sim.state.setdefault("log", [])
    for message in sim.messages():
        if message.name == "break":
            raise RuntimeError("the loop broke")
        if message.name == "end":
            return True
        if message.name == "bad":
            message.refuse("not here")
        else:
            log.append([message.args, message.user])
            message.reply({"benches": benches})
    return False


async def async_shop(sim, benches: int = 2):
    sim.state["calls"] = sim.state.get("calls", 0) + 1
    while not serve(sim, benches):
        await sim.sleep(0.1)
    return {"ticks": sim.tick}


def blocking_shop(sim, benches: int = 2):
    sim.state["calls"] = sim.state.get("calls", 0) + 1
    while not serve(sim, benches):
        sim.sleep(0.1)
    return {"ticks": sim.tick}


@pytest.fixture(params=[async_shop, blocking_shop])
def shop(request):
    return Loop(request.param, name="shop")


# -- a class ----------------------------------------------------------------------------------


def test_a_new_run_stands_at_tick_0_and_a_step_is_one_step():
    trial = Trial(Tank, {"level": 3})
    assert (trial.tick, trial.status, trial.state["level"]) == (0, Status.RUNNING, 3)
    trial.step()
    assert (trial.tick, trial.state["level"]) == (1, 4)
    trial.step(9)
    assert (trial.tick, trial.state["level"]) == (10, 13)
    assert isinstance(trial.clock, ManualClock)
    assert trial.clock.now() == pytest.approx(0.9)


def test_a_second_is_as_many_steps_as_the_tick_rate_says():
    trial = Trial(Tank)
    for second in range(1, 21):
        trial.advance(1)
        assert (trial.tick, trial.clock.now()) == (10 * second, pytest.approx(second))
    trial.speed(3)
    trial.advance(1)
    assert trial.tick == 230
    with pytest.raises(ValueError, match="advance.. takes seconds of 0 or more; got -1"):
        trial.advance(-1)


def test_at_full_speed_no_time_passes_and_that_is_said():
    trial = Trial(Tank, {"level": 0})
    trial.speed("max")
    trial.step(5)
    assert (trial.tick, trial.clock.now()) == (5, 0)

    class Idle(Simulation):
        def step(self, dt):
            pass

    idle = Trial(Idle)
    idle.speed("max")
    with pytest.raises(RuntimeError, match="the speed is max, or the loop sleeps for 0 seconds"):
        idle.advance(1)


def test_a_late_worker_skips_steps_as_in_production():
    trial = Trial(Tank)
    trial.step(5)
    trial.clock.advance(3)
    trial.advance(0.05)
    assert trial.tick == 7


def test_the_seed_decides():
    def dice(**options):
        trial = Trial(Tank, **options)
        trial.step(3)
        return trial.state["dice"]

    assert dice() == dice(seed=1) != dice(seed=2)


def test_parameters_go_through_the_form_and_come_bound():
    assert Trial(Tank).simulation.price == Decimal("1.5")
    assert Trial(Tank, {"price": "2.25"}).simulation.price == Decimal("2.25")
    with pytest.raises(BadArgs) as caught:
        Trial(Tank, {"level": -1, "colour": "red"})
    assert set(caught.value.fields) == {"level", "colour"}
    with pytest.raises(BadArgs):
        Trial(Tank, {"level": "3"})


def test_what_is_no_simulation_is_refused():
    with pytest.raises(TypeError, match="A trial got <function async_shop"):
        Trial(async_shop)
    with pytest.raises(RegistrationError, match="has no step"):
        Trial(type("Nothing", (Simulation,), {}))


def test_a_registered_name_will_do_and_the_run_has_its_facts():
    trial = Trial("counter", {"start": 4}, key="k", name="N", owner=7)
    run = trial.simulation.run
    assert (run.simulation, run.key, run.name, run.owner) == ("counter", "k", "N", "7")
    assert (run.params, run.seed) == ({"start": 4}, 1)
    assert run.group_name == f"livesim.run.{run.id.hex}.all"


def test_a_command_acts_at_once_and_is_answered():
    trial = Trial(Tank)
    trial.step(4)
    answer = trial.send("fill", {"litres": 100})
    assert (answer.applied, answer.refused, answer.waiting) == (True, False, False)
    assert (answer.result, answer.tick, answer.code, answer.message) == (104, 4, "", "")
    assert trial.state["seen"] == [[4, 100]]
    assert repr(answer) == "<Answer to 'fill': applied at tick 4: 104>"


def test_a_refused_command_says_why_and_one_that_raises_is_refused_with_its_traceback_in_the_log(caplog):
    trial = Trial(Tank)
    answer = trial.send("fill", {"litres": 9999})
    assert (answer.applied, answer.refused) == (False, True)
    assert (answer.code, answer.message, answer.result) == ("refused", "there is not so much water", None)
    assert repr(answer) == "<Answer to 'fill': refused with 'refused': there is not so much water>"
    with caplog.at_level(logging.ERROR):
        assert trial.send("broken").code == "error"
    assert "ValueError: not like this" in caplog.text
    trial.step()
    assert trial.status == "running"


def test_a_command_that_a_person_could_not_send_raises_as_send_does():
    trial = Trial(Tank)
    with pytest.raises(UnknownCommand, match="has no command 'drain'. Expected one of: broken, end, fill"):
        trial.send("drain")
    with pytest.raises(BadArgs) as caught:
        trial.send("fill", {"litres": 0})
    assert list(caught.value.fields) == ["litres"]
    trial.stop()
    with pytest.raises(RunEnded, match="The run is stopped and takes no commands"):
        trial.send("fill", {"litres": 1})


def test_a_command_for_a_later_tick_waits_for_it():
    trial = Trial(Tank)
    answer = trial.send("fill", {"litres": 100}, at_tick=3)
    trial.step(2)
    assert (answer.waiting, answer.tick, answer.result) == (True, None, None)
    assert not answer.refused
    assert repr(answer) == "<Answer to 'fill': waits>"
    trial.step()
    assert (answer.applied, answer.tick) == (True, 3)


def test_a_delayed_command_acts_at_its_moment_and_a_repeated_one_again_and_again():
    trial = Trial(Tank)
    trial.pause()
    later = trial.send("fill", {"litres": 1}, delay=0.75)
    again = trial.send("fill", {"litres": 2}, every=0.5)
    trial.advance(0.5)
    assert (later.waiting, again.waiting) == (True, True)
    trial.advance(0.4)
    assert (later.applied, again.applied) == (True, True)
    assert [litres for _, litres in trial.state["seen"]] == [2, 1]
    trial.crash()
    trial.resume()
    trial.advance(2.2)
    assert [litres for _, litres in trial.state["seen"]] == [2, 1, 2, 2, 2, 2, 2]


def test_a_command_that_waits_when_its_run_ends_is_refused():
    trial = Trial(Tank)
    answer = trial.send("fill", {"litres": 100}, at_tick=30)
    trial.stop()
    assert (answer.refused, answer.code) == (True, "run_ended")
    trial.resume()
    trial.step(40)
    assert trial.state["seen"] == []


def test_a_paused_run_takes_commands_and_single_steps():
    trial = Trial(Tank)
    trial.step(2)
    trial.pause()
    trial.advance(60)
    assert (trial.tick, trial.status) == (2, Status.PAUSED)
    assert trial.send("fill", {"litres": 10}).applied
    trial.step(3)
    assert (trial.tick, trial.status) == (5, Status.PAUSED)
    trial.step(0)
    assert trial.tick == 5
    trial.resume()
    trial.advance(1)
    assert (trial.tick, trial.status) == (14, Status.RUNNING)  # a tenth was left to wait


def test_stop_stores_the_state_and_resume_goes_on_from_it():
    trial = Trial(Tank)
    trial.step(7)
    before = trial.state
    trial.stop()
    assert (trial.status, trial.reason, trial.tick, trial.state) == ("stopped", "stopped", 7, before)
    for act in (trial.step, trial.pause, lambda: trial.speed(2)):
        with pytest.raises(RunEnded, match="The run is stopped: it cannot "):
            act()
    trial.stop()
    trial.resume()
    assert (trial.status, trial.reason, trial.state) == ("running", "goes on from tick 7", before)
    trial.step()
    whole = Trial(Tank)
    whole.step(8)
    assert trial.state == whole.state


def test_restart_begins_the_next_run_from_setup():
    trial = Trial(Tank, {"level": 3})
    trial.step(4)
    first = trial.simulation.run.id
    trial.restart()
    assert (trial.tick, trial.status, trial.state["level"]) == (0, Status.RUNNING, 3)
    assert trial.simulation.run.id != first
    trial.send("end")
    assert (trial.status, trial.result) == ("finished", {"level": 3})
    trial.restart()
    trial.step()
    assert (trial.tick, trial.status, trial.result) == (1, Status.RUNNING, None)


def test_finish_ends_a_run_in_the_middle_of_steps():
    class Brief(Tank):
        def step(self, dt):
            super().step(dt)
            if self.tick == 4:
                self.finish("done")

    trial = Trial(Brief)
    trial.step(100)
    assert (trial.tick, trial.status, trial.result, trial.state["level"]) == (5, "finished", "done", 5)
    with pytest.raises(RunEnded, match="it cannot step"):
        trial.step()
    with pytest.raises(RunEnded, match="it cannot resume"):
        trial.resume()
    trial.advance(100)
    trial.crash()
    assert trial.tick == 5


# -- what leaves it ---------------------------------------------------------------------------


def test_the_state_that_is_given_is_a_copy():
    trial = Trial(Tank)
    trial.state["level"] = 99
    assert trial.state["level"] == 0


def test_frames_come_at_their_rate_to_those_who_watch():
    trial = Trial(Tank)
    trial.advance(1)
    assert trial.frames == []
    trial.watch()
    assert [(frame.tick, frame.view["level"], frame.role) for frame in trial.frames] == [(10, 10, "all")]
    trial.advance(60)
    assert len(trial.frames) == pytest.approx(301, abs=2)
    trial.unwatch()
    trial.advance(16)
    seen = len(trial.frames)
    trial.advance(10)
    assert len(trial.frames) == seen


def test_each_role_has_its_view():
    trial = Trial(Cards, {"level": 5})
    assert trial.view() == {"role": "view", "hand": None}
    assert trial.view("owner") == {"role": "owner", "hand": 5}
    trial.watch("view")
    trial.watch("owner")
    trial.step()
    assert {frame.role: frame.view["hand"] for frame in trial.frames} == {"view": None, "owner": 6}


def test_events_and_messages_of_its_own_are_kept():
    trial = Trial(Tank)
    trial.step(10)
    assert [tuple(event) for event in trial.events] == [
        ("fifth", {"level": 5}, 5),
        ("fifth", {"level": 10}, 10),
    ]
    trial.send("tell")
    assert trial.sends == [
        Send(to_group=True, target="neighbours", message={"type": "tank.told", "tick": 10}),
        Send(to_group=False, target="plumber", message={"type": "tank.called"}),
    ]


def test_the_figures_are_the_simulations_own_and_raise_what_it_raises():
    trial = Trial(Tank, {"level": 4})
    assert trial.metrics() == {"level": 4, "mean": 0.25}
    with pytest.raises(ZeroDivisionError):
        Trial(Tank).metrics()


# -- failures ---------------------------------------------------------------------------------


def test_a_step_that_raises_fails_the_test_with_its_own_traceback():
    trial = Trial(Tank)
    trial.step(3)
    trial.send("fill", {"litres": 1000})
    with pytest.raises(RunFailed, match="its code raised OverflowError") as caught:
        trial.step(5)
    assert isinstance(caught.value.__cause__, OverflowError)
    assert 'raise OverflowError("the tank is full")' in str(caught.value)
    assert (trial.status, trial.tick) == ("failed", 3)
    with pytest.raises(RunEnded, match="The run is failed: it cannot step"):
        trial.step()


def test_a_setup_that_raises_fails_the_test_too():
    with pytest.raises(RunFailed, match="no tank 13") as caught:
        Trial(Tank, {"level": 13})
    assert isinstance(caught.value.__cause__, OSError)


def test_failures_may_be_looked_at_instead():
    trial = Trial(Tank, {"level": 13}, raises=False)
    assert (trial.status, trial.reason, trial.state) == ("failed", "its code raised OSError", {})
    trial = Trial(Tank, {"level": 998}, raises=False)
    trial.step(10)
    assert (trial.status, trial.tick, trial.result) == ("failed", 2, None)
    assert trial.error.startswith("Traceback")
    assert "OverflowError: the tank is full" in trial.error


def test_a_state_that_cannot_be_stored_is_named_by_its_path():
    trial = Trial(Tank)
    trial.send("spoil")
    words = r'state\["bad"\]\["pair"\] is of type tuple'
    with pytest.raises(BadState, match=words):
        trial.state
    with pytest.raises(RunFailed, match=words) as caught:
        trial.pause()
    assert isinstance(caught.value.__cause__, BadState)


def test_the_settings_hold_for_a_trial(settings):
    settings.LIVESIM = {"MAX_STATE_BYTES": 5000}
    with pytest.raises(RunFailed, match="more than MAX_STATE_BYTES = 5000"):
        Trial(Tank).advance(11)


# -- crashes ----------------------------------------------------------------------------------


def test_after_a_crash_a_class_goes_on_from_checkpoint_and_journal():
    trial = Trial(Tank)
    trial.step(105)  # a checkpoint at 10 s, so at tick 100
    trial.send("fill", {"litres": 7})
    trial.step(3)
    before, instance = trial.state, trial.simulation
    trial.crash()
    assert trial.simulation is not instance
    assert (trial.tick, trial.status, trial.state) == (108, Status.RUNNING, before)
    events = len(trial.events)
    trial.step(10)
    assert trial.state["seen"] == [[105, 7]]
    assert len(trial.events) == events + 2


def test_nobody_sees_an_older_state_after_a_crash():
    trial = Trial(Tank)
    for ticks in (3, 17, 41):
        trial.step(ticks)
        before = trial.tick, trial.state
        trial.crash()
        assert (trial.tick, trial.state) == before


def test_what_is_played_again_and_comes_out_otherwise_is_said():
    class Careless(Tank):
        played = 0

        def step(self, dt):
            super().step(dt)
            type(self).played += 1
            self.state["played"] = self.played

    trial = Trial(Careless)
    trial.advance(4.05)
    trial.crash()
    assert trial.reason.startswith("recovered, but not alike: at tick 40 ")
    assert trial.status is Status.RUNNING


def test_what_is_not_in_the_state_is_lost_in_a_crash():
    class Forgetful(Tank):
        def setup(self):
            super().setup()
            self.memory = 0

        def restore(self):
            self.memory = 0

        def step(self, dt):
            self.memory += 1
            self.state["level"] = self.memory

    trial = Trial(Forgetful)
    trial.step(20)
    trial.pause()
    trial.crash()
    trial.step(5)
    assert trial.state["level"] == 5


def test_a_simulation_that_cannot_be_stored_is_played_from_tick_0():
    class Model(Simulation):
        recovery = "replay"

        def setup(self):
            self.model = {1, 2}

        def step(self, dt):
            self.model.add(self.random.randrange(1000))

        @command
        def add(self, n: int):
            self.model.add(n)

        def view(self, role):
            return sorted(self.model)

    trial = Trial(Model)
    trial.step(12)
    trial.send("add", {"n": 5000})
    trial.step()
    before = trial.view()
    trial.crash()
    assert (trial.tick, trial.view(), trial.state) == (13, before, {})


def test_a_paused_run_is_paused_after_a_crash():
    trial = Trial(Tank)
    trial.step(5)
    trial.pause()
    trial.crash()
    trial.advance(5)
    assert (trial.tick, trial.status) == (5, Status.PAUSED)


def test_a_run_that_nobody_watches_rests_and_wakes():
    class Shy(Tank):
        when_unwatched = "pause"

    trial = Trial(Shy)
    trial.watch()
    trial.advance(60)
    assert trial.status == "running"
    trial.unwatch()
    trial.advance(16)
    assert (trial.status, trial.reason) == ("paused", "nobody is watching")
    trial.watch()
    assert trial.status == "running"
    trial.unwatch()
    trial.step(1000)
    assert trial.status == "paused"


# -- loops ------------------------------------------------------------------------------------


def test_a_loop_is_stepped_by_its_sleeps_and_takes_no_real_time(shop):
    began = time.monotonic()
    with Trial(shop) as trial:
        assert (trial.tick, trial.status, trial.state) == (0, "running", {})
        trial.step()
        assert (trial.tick, trial.state["calls"]) == (1, 1)
        trial.advance(60)
        assert trial.tick == pytest.approx(600, abs=1)
    assert time.monotonic() - began < 30  # and not 60


def test_a_loop_answers_in_its_next_tick(shop):
    with Trial(shop, {"benches": 4}) as trial:
        answer, bad = trial.send("hire", {"name": "Ann"}, user=7), trial.send("bad")
        assert answer.waiting and bad.waiting
        trial.step()
        assert (answer.applied, answer.result) == (True, {"benches": 4})
        assert (bad.refused, bad.message) == (True, "not here")
        assert trial.state["log"] == [[{"name": "Ann"}, "7"]]
        assert trial.simulation.tick == 1


def test_a_loop_that_declares_nothing_takes_any_name_but_none(shop):
    with Trial(shop) as trial, pytest.raises(UnknownCommand, match="A command needs a name"):
        trial.send("")


def test_a_loops_parameters_and_declared_commands_are_checked():
    loop = Loop(async_shop, name="shop")

    @loop.command
    def hire(sim: Any, name: str) -> None: ...

    with pytest.raises(BadArgs):
        Trial(loop, {"benches": "two"})
    with Trial(loop) as trial:
        with pytest.raises(BadArgs):
            trial.send("hire", {"name": 3})
        with pytest.raises(UnknownCommand, match="Expected one of: hire"):
            trial.send("fire")


def test_a_loop_that_raises_fails_the_test_with_its_own_exception(shop):
    with Trial(shop) as trial:
        trial.step(2)
        answer = trial.send("break")
        with pytest.raises(RunFailed, match="RuntimeError: the loop broke") as caught:
            trial.step()
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert (answer.refused, answer.code, trial.status) == (True, "error", "failed")


def test_what_a_loop_returns_is_the_result(shop):
    with Trial(shop) as trial:
        trial.step(3)
        trial.send("end")
        trial.step()
        assert (trial.status, trial.result) == ("finished", {"ticks": 3})


def test_pause_stop_and_resume_of_a_loop(shop):
    with Trial(shop) as trial:
        trial.step(3)
        trial.pause()
        trial.advance(10)
        assert trial.tick == 3
        trial.step(2)
        assert (trial.tick, trial.status) == (5, "paused")
        trial.resume()
        trial.send("hire")
        trial.stop()
        assert (trial.status, trial.tick) == ("stopped", 6)
        assert trial.state["log"] == [[{}, None]]
        trial.resume()
        trial.step()
        assert (trial.state["calls"], trial.simulation.resumed) == (2, True)
        trial.restart()
        trial.step()
        assert (trial.state["calls"], trial.state["log"]) == (1, [])


def test_after_a_crash_a_loop_begins_at_the_top_and_hears_later_messages_again(shop):
    with Trial(shop) as trial:
        trial.step(2)
        trial.send("hire", {"name": "Ann"})
        trial.step(50)
        trial.crash()
        assert "ticks lost" in trial.reason
        assert trial.state["log"] == []
        trial.step()
        assert trial.state["calls"] == 2
        assert trial.state["log"] == [[{"name": "Ann"}, None]]


def test_a_loop_that_waits_for_something_else_is_named():
    async def deaf(sim):
        await asyncio.sleep(3600)

    with Trial(Loop(deaf), patience=0.1) as trial:
        with pytest.raises(TimeoutError, match="deaf has not come back to sim.sleep.. within 0.1 seconds"):
            trial.step()


def test_a_loop_may_wait_for_a_little_real_time():
    async def slow(sim):
        await asyncio.sleep(0.05)
        sim.state["done"] = True
        await sim.sleep(1)

    with Trial(Loop(slow)) as trial:
        trial.step()
        assert trial.state == {"done": True}


def test_a_loop_that_does_not_let_time_pass_is_told():
    async def hasty(sim):
        while True:
            await sim.sleep(0)

    with Trial(Loop(hasty)) as trial:
        trial.step(5)
        assert trial.tick == 5
        with pytest.raises(RuntimeError, match="the loop sleeps for 0 seconds"):
            trial.advance(1)


def test_no_thread_outlives_its_trial(shop):
    before = set(threading.enumerate())
    with Trial(shop) as trial:
        trial.step(3)
        trial.crash()
        trial.step()
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before
    with Trial(shop) as trial:
        trial.step()
        trial.stop()
    assert set(threading.enumerate()) == before


def test_no_thread_outlives_a_test_that_fails(shop):
    before = set(threading.enumerate())

    def fails():
        with Trial(shop) as trial:
            trial.step()
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert set(threading.enumerate()) == before
