"""Own loops: messages, reports, pause, stop, ends, recovery; blocking and async alike."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from django_livesim.protocol.names import Kind, Outcome, Status
from django_livesim.runtime.ports import FrameOut, VerdictOut
from django_livesim.simulation import Loop
from django_livesim.testing import wait_until
from tests.runtime.world import World


async def async_shop(sim, benches=2):
    log = sim.state.setdefault("log", [])
    sim.state["benches"] = benches
    while True:
        for message in sim.messages():
            if message.name == "bad":
                message.refuse("not here")
            elif message.name == "raise":
                raise RuntimeError("the loop broke")
            elif message.name == "end":
                return {"ticks": sim.tick}
            else:
                log.append(message.args)
                message.reply({"seen": len(log), "user": message.user})
        sim.state["tick"] = sim.tick
        if sim.tick % 5 == 0:
            sim.report()
        await sim.sleep(0.1)


def blocking_shop(sim, benches=2):
    loop = async_shop(sim, benches)
    try:
        loop.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the blocking sleep does not suspend")


class _Blocking:
    """Lets the async body run where `sleep` blocks: its awaitable is done at once."""

    def __init__(self, sim):
        self.__dict__["sim"] = sim

    def __getattr__(self, name):
        return getattr(self.sim, name)

    async def sleep(self, seconds):
        self.sim.sleep(seconds)


def blocking(sim, benches=2):
    return blocking_shop(_Blocking(sim), benches)


@pytest.fixture(params=["async", "blocking"])
def shop(request):
    return Loop(async_shop if request.param == "async" else blocking, name="shop")


def test_a_loop_ticks_by_its_sleeps(shop):
    world = World(shop)
    run = world.start(shop, benches=4)
    world.run_for(1.05, by=0.05)
    assert world.state(run)["benches"] == 4
    assert world.runner(run).host.tick == pytest.approx(11, abs=1)


def test_messages_change_the_state_and_are_answered(shop):
    world = World(shop)
    run = world.start(shop)
    world.send(run, "hire", name="Ann")
    world.run_for(0.3, by=0.05)
    assert world.state(run)["log"] == [{"name": "Ann"}]
    verdict = world.ledger.verdicts[run][-1]
    assert verdict.outcome is Outcome.APPLIED
    assert orjson.loads(verdict.result) == {"seen": 1, "user": "1"}
    assert world.out(VerdictOut, run)[-1].verdict == verdict


def test_a_message_may_be_refused(shop):
    world = World(shop)
    run = world.start(shop)
    world.send(run, "bad")
    world.run_for(0.3, by=0.05)
    assert world.ledger.verdicts[run][-1].message == "not here"


def test_reports_come_when_the_loop_says_so(shop):
    world = World(shop)
    run = world.start(shop)
    world.run_for(0.3, by=0.05)
    world.outlet.outputs.clear()
    world.run_for(2.0, by=0.05)
    assert {tick % 5 for tick, _ in world.frames(run)} == {1}
    assert len(world.frames(run)) == pytest.approx(4, abs=1)


def test_pause_holds_the_loop_in_its_sleep_and_step_lets_it_go_once(shop):
    world = World(shop)
    run = world.start(shop)
    world.run_for(0.3, by=0.05)
    world.control(run, "pause")
    tick = world.runner(run).host.tick
    world.run_for(1.0, by=0.1)
    assert world.runner(run).host.tick == tick
    world.control(run, "step", n=2)
    world.run_for(0.5, by=0.1)
    assert world.runner(run).host.tick == tick + 2
    world.control(run, "resume")
    world.run_for(0.5, by=0.1)
    assert world.runner(run).host.tick > tick + 2


def test_stop_stores_the_state_and_a_start_resumes_it(shop):
    world = World(shop)
    run = world.start(shop)
    world.send(run, "hire", name="Ann")
    world.run_for(0.5, by=0.05)
    tick = world.runner(run).host.tick
    world.control(run, "stop")
    assert world.row(run)["status"] is Status.STOPPED
    world.row(run)["status"] = Status.WAITING
    world.supervisor.ring()
    world.settle()
    assert world.runner(run).host.tick >= tick
    assert world.runner(run).program.sim.resumed
    world.run_for(0.3, by=0.05)
    assert world.state(run)["log"] == [{"name": "Ann"}]


def test_a_returned_value_is_the_result(shop):
    world = World(shop)
    run = world.start(shop)
    world.send(run, "end")
    world.run_for(0.5, by=0.05)
    assert world.row(run)["status"] is Status.FINISHED
    assert set(world.row(run)["result"]) == {"ticks"}
    assert world.ledger.verdicts[run][-1].outcome is Outcome.APPLIED


def test_an_exception_fails_the_run_with_its_traceback(shop):
    world = World(shop)
    run = world.start(shop)
    world.send(run, "raise")
    world.run_for(0.5, by=0.05)
    assert world.row(run)["status"] is Status.FAILED
    assert "RuntimeError: the loop broke" in world.row(run)["error"]


def test_after_a_crash_later_messages_come_again_in_order(shop):
    first = World(shop, checkpoint_seconds=1000)
    run = first.start(shop)
    first.run_for(0.2, by=0.05)
    for number in range(3):
        first.send(run, "hire", number=number)
        first.run_for(0.2, by=0.05)
    first.row(run)["worker"] = False
    heir = World(shop, ledger=first.ledger)
    heir.supervisor.ring()
    heir.settle()
    assert "ticks lost" in heir.row(run)["reason"]
    heir.run_for(0.5, by=0.05)
    assert heir.state(run)["log"] == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert heir.out(VerdictOut) == []
    assert len(heir.ledger.verdicts[run]) == 3


def test_after_a_crash_nobody_is_shown_a_state_without_the_messages_that_come_again(shop):
    first = World(shop, checkpoint_seconds=1000)
    run = first.start(shop)
    first.run_for(0.2, by=0.05)
    first.control(run, "pause")
    first.control(run, "resume")
    first.send(run, "hire", number=1)
    first.run_for(0.3, by=0.05)
    first.row(run)["worker"] = False
    heir = World(shop, ledger=first.ledger)
    heir.supervisor.ring()
    heir.supervisor.turn()
    heir.supervisor.interest(run, ["view"], True)  # comes in with what the look has found
    heir.run_for(0.5, by=0.05)
    shown = [orjson.loads(frame.body)["log"] for frame in heir.out(FrameOut)]
    assert shown
    assert [{"number": 1}] in shown
    assert [] not in shown


def test_after_a_crash_controls_of_the_past_are_not_done_again(shop):
    first = World(shop, checkpoint_seconds=1000)
    run = first.start(shop)
    for verb in ("pause", "step", "step", "resume"):
        first.control(run, verb, **({"n": 2} if verb == "step" else {}))
        first.run_for(0.2, by=0.05)
    first.row(run)["worker"] = False
    heir = World(shop, ledger=first.ledger)
    heir.supervisor.ring()
    heir.settle()
    assert heir.runner(run).status is Status.RUNNING
    assert heir.runner(run).steps_asked == 0


def test_declared_commands_run_by_themselves_and_are_yielded_too():
    async def counter(sim):
        sim.state.update(total=0, seen=[])
        while True:
            for message in sim.messages():
                sim.state["seen"].append(message.name)
            await sim.sleep(0.1)

    loop = Loop(counter)

    @loop.command
    def add(sim, n):
        sim.state["total"] += n
        return sim.state["total"]

    world = World(loop)
    run = world.start(loop)
    world.send(run, "add", n=4)
    world.run_for(0.3, by=0.05)
    assert world.state(run) == {"total": 4, "seen": ["add"]}
    assert orjson.loads(world.ledger.verdicts[run][-1].result) == 4


def test_a_loop_that_ignores_its_stop_is_let_go_after_the_grace():
    async def deaf(sim):
        await sim.sleep(0.1)
        await asyncio.sleep(3600)

    loop = Loop(deaf)
    world = World(loop, grace=2.0)
    run = world.start(loop, watch=False)
    world.clock.advance(0.2)
    world.supervisor.turn()
    world.control_now(run, "stop")
    assert world.row(run)["status"] is Status.STOPPING
    world.clock.advance(2.5)
    for _ in range(5):
        world.supervisor.turn()
    assert world.row(run)["status"] is Status.STOPPED


def test_a_loop_shows_frames_by_rate_until_it_reports_by_itself():
    async def silent(sim):
        while True:
            sim.state["tick"] = sim.tick
            await sim.sleep(0.1)

    loop = Loop(silent, frame_rate=5)
    world = World(loop)
    run = world.start(loop)
    world.run_for(1.0, by=0.05)
    assert len(world.out(FrameOut, run)) >= 4


def crash(world, run):
    """The worker dies; another, on the same ledger, takes the run."""
    world.row(run)["worker"] = False
    heir = World(*world.definitions.values(), ledger=world.ledger, checkpoint_seconds=1000)
    heir.supervisor.ring()
    heir.settle()
    return heir


def test_a_checkpoint_before_the_loop_has_read_what_came_again_loses_nothing(shop):
    first = World(shop, checkpoint_seconds=1000)
    run = first.start(shop)
    first.run_for(0.2, by=0.05)
    for number in range(3):
        first.send(run, "hire", number=number)
        first.run_for(0.2, by=0.05)
    first.control(run, "pause")
    first.ledger.checkpoints[run] = first.ledger.checkpoints[run][:1]  # as if it had died before the pause
    heir = crash(first, run)
    heir.control(run, "inspect")
    heir.supervisor.drain()
    heir.supervisor.run()
    last = crash(heir, run)
    last.control(run, "resume")
    last.run_for(0.5, by=0.05)
    assert last.state(run)["log"] == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_a_loop_killed_before_its_first_sleep_is_not_resumed_from_nothing():
    async def slow(sim):
        if not sim.resumed:
            await asyncio.sleep(0.2)
            sim.state["ready"] = True
        while True:
            sim.state["ticks"] = sim.state["ready"] + sim.tick
            await sim.sleep(0.1)

    loop = Loop(slow)
    first = World(loop)
    run = first.ledger.add(loop.name, {}, 1)
    first.supervisor.ring()
    for _ in range(3):
        first.supervisor.turn()
    heir = crash(first, run)
    heir.run_for(0.3, by=0.05)
    assert heir.row(run)["status"] is Status.RUNNING
    assert heir.state(run)["ready"]


def test_messages_sent_before_a_stop_are_taken_before_it(shop):
    world = World(shop)
    run = world.start(shop)
    world.run_for(0.3, by=0.05)
    world.ledger.send(run, "hire", Kind.COMMAND, {"name": "Ann"})
    world.ledger.send(run, "stop", Kind.CONTROL, {})
    world.supervisor.ring()
    world.settle()
    assert world.row(run)["status"] is Status.STOPPED
    outcomes = [verdict.outcome for verdict in world.ledger.verdicts[run]]
    assert outcomes == [Outcome.APPLIED, Outcome.APPLIED]
    assert orjson.loads(world.ledger.checkpoints[run][-1].data)["state"]["log"] == [{"name": "Ann"}]


def test_the_message_in_which_a_loop_raises_is_refused(shop):
    world = World(shop)
    run = world.start(shop)
    world.send(run, "raise")
    world.run_for(0.3, by=0.05)
    verdict = world.ledger.verdicts[run][-1]
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "error")


def test_system_exit_ends_its_own_loop_alone():
    async def leaver(sim):
        raise SystemExit

    async def stayer(sim):
        while True:
            await sim.sleep(0.1)

    bad, good = Loop(leaver), Loop(stayer)
    world = World(bad, good)
    staying, leaving = world.start(good), world.start(bad)
    world.run_for(0.5, by=0.05)
    assert world.row(leaving)["status"] is Status.FAILED
    before = world.runner(staying).host.tick
    world.run_for(0.5, by=0.05)
    assert world.runner(staying).host.tick > before


def test_arguments_that_the_function_does_not_take_fail_the_run(shop):
    world = World(shop)
    run = world.start(shop, watch=False, nobody_asked=1)
    assert world.row(run)["status"] is Status.FAILED
    assert "nobody_asked" in world.row(run)["error"]


def test_a_sleep_has_one_waiter_and_a_cancelled_one_waits_for_its_turn():
    async def twice(sim):
        await asyncio.gather(sim.sleep(0.1), sim.sleep(0.1))

    async def hasty(sim):
        tasks.append(asyncio.current_task())
        sim.state["timeouts"] = 0
        while True:
            try:
                async with asyncio.timeout(0.001):
                    await sim.sleep(0.1)
            except TimeoutError:
                sim.state["timeouts"] += 1

    tasks: list[Any] = []
    bad, good = Loop(twice), Loop(hasty)
    world = World(bad, good)
    first, second = world.start(bad), world.start(good)
    for _ in range(5):
        wait_until(lambda: tasks and tasks[0].cancelling())  # in real time: by the author's own time-out
        world.run_for(0.1, by=0.1)
    assert "twice at once" in world.row(first)["error"]
    assert world.state(second)["timeouts"] == pytest.approx(world.runner(second).host.tick, abs=1)


def test_finish_before_the_return_keeps_its_result():
    async def brief(sim):
        await sim.sleep(0.1)
        sim.finish({"done": 1})

    loop = Loop(brief)
    world = World(loop)
    run = world.start(loop)
    world.run_for(0.3, by=0.05)
    assert world.row(run)["result"] == {"done": 1}


def test_the_cleanup_of_a_stopped_loop_is_not_cancelled_again():
    cleaned = []

    async def tidy(sim):
        try:
            while True:
                await sim.sleep(0.1)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(sim.tick)

    loop = Loop(tidy)
    world = World(loop)
    run = world.start(loop)
    world.control(run, "stop")
    world.close()
    assert len(cleaned) == 1


def test_neither_speed_nor_pause_cuts_a_long_sleep_short(shop):
    async def sleeper(sim):
        while True:
            await sim.sleep(100)

    loop = Loop(sleeper)
    world = World(loop)
    run = world.start(loop)
    tick = world.runner(run).host.tick
    world.control(run, "speed", x=2.0)
    world.control(run, "pause")
    world.run_for(30, by=10)
    world.control(run, "resume")
    world.run_for(40, by=10)
    assert world.runner(run).host.tick == tick
    world.run_for(20, by=10)
    assert world.runner(run).host.tick == tick + 1


@pytest.mark.parametrize("blocking", [True, False])
def test_a_message_refused_with_an_exception_is_refused_with_its_text(blocking):
    def answer(sim):
        for message in sim.messages():
            message.refuse(ValueError("too heavy"))

    async def picky_async(sim):
        while True:
            answer(sim)
            await sim.sleep(0.1)

    def picky(sim):
        while True:
            answer(sim)
            sim.sleep(0.1)

    loop = Loop(picky if blocking else picky_async)
    world = World(loop)
    run = world.start(loop)
    world.run_for(0.3)
    world.send(run, "load")
    world.run_for(0.3)
    assert world.row(run)["status"] is Status.RUNNING
    assert [(each.outcome, each.message) for each in world.ledger.verdicts[run]] == [
        (Outcome.REFUSED, "too heavy")
    ]


@pytest.mark.parametrize("returns", [True, False])
def test_what_escapes_between_two_ticks_of_a_loop_fails_its_run_alone(monkeypatch, returns):
    @Loop
    def bad(sim):
        while not sim.tick or not returns:
            sim.sleep(0.1)

    @Loop
    def good(sim):
        while True:
            sim.sleep(0.1)

    world = World(bad, good)
    other, run = world.start(good), world.start(bad)

    def broken():
        raise AttributeError("settled")

    monkeypatch.setattr(world.runner(run).program, "take_settled", broken)
    world.run_for(0.3)
    assert world.row(run)["status"] is Status.FAILED
    assert world.row(run)["reason"] == "its code raised AttributeError"
    assert world.row(other)["status"] is Status.RUNNING
