"""This process as the worker of one run: what the block sees, and what is left of it."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from django.db import connections

from django_livesim import LivesimError, RunHeld, RunLost, attach, gateway, param, registry
from django_livesim.models import Command, Run, Source, Worker
from django_livesim.protocol.errors import BadArgs, RunEnded, UnknownSimulation
from django_livesim.runtime.loops import LoopExit
from django_livesim.store import leases, loading
from django_livesim.testing import wait_until, worker_in_process
from django_livesim.worker.loading import LOADS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("patient")]


@pytest.fixture(autouse=True)
def bench() -> Iterator[Any]:
    """A loop that pages know, with one declared command; its body must never be called."""

    @registry.register(name="bench")
    def bench(sim: Any, speed: int = 1) -> None:
        raise AssertionError("the body of an attached loop is not called")

    @bench.command
    def hire(sim: Any, name: str) -> int:
        sim.state.setdefault("people", []).append(name)
        return len(sim.state["people"])

    yield bench
    registry.unregister("bench")


def row(key: str = "one") -> Run:
    run: Run = Run.objects.get(key=key)
    return run


class Beside:
    """A block in a thread of its own, which sleeps until it is told otherwise; `raised` is what came out."""

    def __init__(self, **given: Any) -> None:
        self.raised: BaseException | None = None
        self.sim: Any = None
        self.going_on = True
        self.attachment = attach("bench", key="one", **given)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        wait_until(lambda: self.sim or self.raised)

    def _run(self) -> None:
        try:
            with self.attachment as sim:
                self.sim = sim
                while self.going_on:
                    sim.state["n"] = sim.state.get("n", 0) + 1
                    sim.sleep(0.01)
        except BaseException as exc:
            self.raised = exc
        finally:
            connections.close_all()

    def end(self) -> BaseException | None:
        self.going_on = False
        self.thread.join(60)
        assert not self.thread.is_alive()
        return self.raised


@pytest.fixture
def beside() -> Iterator[Callable[..., Beside]]:
    started: list[Beside] = []

    def start(**given: Any) -> Beside:
        started.append(Beside(**given))
        return started[-1]

    yield start
    for each in started:
        each.end()


def test_the_end_of_the_block_stores_the_run_and_the_next_one_goes_on():
    with attach("bench", key="one", params={"speed": 3}, name="Bench 1") as sim:
        assert (sim.state, sim.resumed, sim.run.params, sim.tick) == ({}, False, {"speed": 3}, 0)
        sim.state["n"] = 1
        sim.sleep(0.01)
        assert sim.tick == 1
        sim.state["n"] = 2
    left = row()
    assert (left.status, left.worker_id, left.tick, left.name) == ("waiting", None, 2, "Bench 1")
    assert gateway.inspect(left)["state"] == {"n": 2}
    with attach("bench", key="one") as sim:
        assert (sim.state, sim.resumed, sim.tick) == ({"n": 2}, True, 2)
    assert Worker.objects.exclude(state="gone").count() == 0


def test_no_ordinary_worker_takes_what_waits_for_its_process():
    with attach("bench", key="one"):
        pass
    with worker_in_process() as engine:
        other = gateway.start("counter")
        wait_until(lambda: Run.objects.get(id=other.id).status == "running")
        assert (row().status, row().source) == ("waiting", Source.EXTERNAL)
        assert engine.ledger.worker != row().worker_id


def test_a_restart_waits_for_its_process_too():
    with attach("bench", key="one"):
        first = row()
    gateway.restart(first)
    following = row()
    assert (following.id != first.id, following.source, following.status) == (True, "external", "waiting")
    with attach("bench", key="one") as sim:
        assert (sim.run.id, sim.resumed) == (following.id, False)


def test_what_finish_was_given_is_the_result():
    with attach("bench", key="one") as sim:
        sim.finish({"made": 7})
        sim.sleep(1)
        raise AssertionError("the sleep after finish() ends the block")
    assert (row().status, row().result) == ("finished", {"made": 7})
    first = row().id
    with attach("bench", key="one") as sim:
        assert sim.run.id != first


def test_finish_at_the_end_of_the_block_ends_the_run():
    with attach("bench", key="one") as sim:
        sim.finish(1)
    assert (row().status, row().result) == ("finished", 1)


def test_what_the_block_raises_fails_the_run_and_is_raised_on():
    def block() -> float:
        with attach("bench", key="one") as sim:
            sim.state["n"] = 1
            sim.sleep(0.01)
            return 1 / 0

    with pytest.raises(ZeroDivisionError):
        block()
    failed = row()
    assert (failed.status, failed.reason) == ("failed", "its code raised ZeroDivisionError")
    assert "return 1 / 0" in failed.error
    assert gateway.inspect(failed)["state"] == {"n": 1}


def test_messages_are_answered_and_declared_commands_run(beside):
    block = beside()
    sent = gateway.send(row(), "hire", {"name": "Ann"}, wait=True)
    assert (sent.outcome, sent.result) == ("applied", 1)
    assert block.end() is None
    assert gateway.inspect(row())["state"]["people"] == ["Ann"]


def test_a_message_that_the_block_has_not_taken_waits_for_the_next():
    with attach("bench", key="one") as sim:
        sim.sleep(0.01)
        sent = gateway.send(row(), "hire", {"name": "Ann"})
    with attach("bench", key="one") as sim:
        for _ in range(100):
            sim.sleep(0.02)
            if sim.state.get("people"):
                break
    assert sim.state["people"] == ["Ann"]
    assert Command.objects.get(pk=sent.pk).outcome == "applied"


def test_live_parameters_are_set_at_a_sleep_and_are_there_for_the_next_block():
    @registry.register(name="kiln")
    def kiln(sim: Any, heat: Annotated[int, param(live=True)] = 1) -> None: ...

    try:
        with attach("kiln", key="two") as sim:
            assert dict(sim.params) == {"heat": 1}
            sent = gateway.send(row("two"), "set", {"heat": 7})
            for _ in range(500):
                sim.sleep(0.02)
                if sim.params["heat"] == 7:
                    break
            assert dict(sim.params) == {"heat": 7}
            sim.sleep(0.01)
        assert Command.objects.get(pk=sent.pk).outcome == "applied"
        assert row("two").params_set == {"heat": 7}
        with attach("kiln", key="two") as sim:
            assert (sim.run.params, dict(sim.params)) == ({"heat": 1}, {"heat": 7})
    finally:
        registry.unregister("kiln")


def test_stop_ends_the_block_and_goes_no_further(beside):
    block = beside()
    gateway.stop(row(), wait=True)
    block.thread.join(60)
    assert (block.thread.is_alive(), block.raised) == (False, None)
    assert row().status == "stopped"
    assert gateway.inspect(row())["state"]["n"] >= 1


def test_who_sleeps_on_after_the_block_is_told_that_it_has_ended():
    with attach("bench", key="one") as sim:
        sim.sleep(0)
    with pytest.raises(LoopExit, match=r"the block of attach\(\) has ended\. Attach again to go on"):
        sim.sleep(0)


def test_stop_can_be_seen_as_LoopExit():
    seen = []
    with attach("bench", key="one") as sim:
        gateway.stop(row())
        try:
            while True:
                sim.sleep(0.02)
        except LoopExit as exc:
            seen.append(exc)
            raise
    assert len(seen) == 1


def test_a_pause_holds_the_sleep_and_resume_lets_it_go_on(beside):
    block = beside()
    gateway.pause(row(), wait=True)
    held = block.sim.state["n"]
    gateway.step(row(), 2, wait=True)
    wait_until(lambda: block.sim.state["n"] == held + 2)
    assert row().status == "paused"
    gateway.resume(row(), wait=True)
    wait_until(lambda: block.sim.state["n"] > held + 4)


def test_a_paused_run_holds_whoever_attaches_until_it_goes_on():
    with attach("bench", key="one") as sim:
        sim.sleep(0.01)
    gateway.pause(row())
    entered = []

    def enter() -> None:
        with attach("bench", key="one") as sim:
            entered.append(sim.resumed)
        connections.close_all()

    thread = threading.Thread(target=enter)
    thread.start()
    wait_until(lambda: row().worker_id)
    assert (entered, row().status) == ([], "paused")
    gateway.resume(row(), wait=True)
    thread.join(60)
    assert entered == [True]


def test_a_run_that_is_stopped_before_its_block_begins_says_so():
    with attach("bench", key="one"):
        pass
    gateway.pause(row())
    raised: list[LivesimError] = []

    def enter() -> None:
        try:
            with attach("bench", key="one"):
                raise AssertionError("it never went")
        except LivesimError as exc:
            raised.append(exc)
        finally:
            connections.close_all()

    thread = threading.Thread(target=enter)
    thread.start()
    wait_until(lambda: row().worker_id)
    gateway.stop(row(), wait=True)
    thread.join(60)
    assert isinstance(raised[0], RunEnded)
    assert raised[0].message == "The run is stopped, and its loop did not begin: stopped."


def test_who_attaches_to_a_run_that_is_held_is_told_by_whom_at_once(beside):
    beside()
    holder = Worker.objects.get(id=row().worker_id)
    with pytest.raises(RunHeld) as caught, attach("bench", key="one"):
        raise AssertionError("it is held")
    assert caught.value.code == "busy"
    assert caught.value.message == (
        f"The run {row().id} is held by process {holder.pid} on {holder.host}, which is alive."
        " Expected one that nobody has: end that process, or wait until it has let go."
    )
    assert row().worker_id == holder.id


def test_who_has_lost_the_run_is_told_at_the_next_sleep_and_writes_nothing_more(beside):
    block = beside()
    gateway.wait(gateway.send(row(), "hire", {"name": "Ann"}), 60)
    Worker.objects.filter(id=row().worker_id).update(state="gone")
    wait_until(lambda: block.raised)
    assert isinstance(block.raised, RunLost)
    assert "Attach again to go on from there" in block.raised.message
    taken = row()
    with attach("bench", key="one") as sim:
        assert sim.resumed
    assert (row().epoch > taken.epoch, row().adoptions) == (True, 1)


def test_an_interrupt_in_a_sleep_stores_the_state():
    def interrupt() -> None:
        in_thread(lambda: Run.objects.filter(tick=1).exists())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def block() -> None:
        with attach("bench", key="one") as sim:
            sim.state["n"] = 5
            thread.start()
            sim.sleep(1000)

    thread = threading.Thread(target=interrupt)
    with pytest.raises(KeyboardInterrupt):
        block()
    assert (row().status, gateway.inspect(row())["state"]) == ("waiting", {"n": 5})


def test_an_interrupt_in_the_blocks_own_code_keeps_what_was_stored_last():
    def block() -> None:
        with attach("bench", key="one") as sim:
            sim.state["n"] = 5
            sim.sleep(0.01)
            sim.state["n"] = "half"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block()
    assert (row().status, gateway.inspect(row())["state"]) == ("waiting", {"n": 5})


def test_a_class_cannot_be_attached_to():
    with pytest.raises(BadArgs, match="^counter is a class or a job, which workers call. Expected a loop"):
        attach("counter", key="one")
    with pytest.raises(UnknownSimulation):
        attach("nothing", key="one")


def test_wrong_parameters_are_refused_as_by_start():
    with pytest.raises(BadArgs) as caught, attach("bench", key="one", params={"speed": "fast"}):
        raise AssertionError("it cannot begin")
    assert "speed" in caught.value.fields
    assert Run.objects.count() == 0


def test_a_worker_that_is_told_to_leave_ends_the_block(beside):
    block = beside()
    Worker.objects.filter(id=row().worker_id).update(state="draining")
    block.thread.join(60)
    assert (block.thread.is_alive(), block.raised) == (False, None)
    assert (row().status, row().worker_id) == ("waiting", None)


def test_a_block_that_is_away_for_longer_than_grace_is_told_that_its_tick_is_lost(settings):
    settings.LIVESIM = {"GRACE": 0.2}

    def block() -> None:
        with attach("bench", key="one") as sim:
            sim.state["n"] = 1
            sim.sleep(0.01)
            sim.state["n"] = 2
            leases.tell_to_leave(row().worker_id)
            wait_until(lambda: row().worker_id is None)
            sim.sleep(0.01)

    with pytest.raises(RunLost) as told:
        block()
    assert "longer than 0.2 s (GRACE) after it was told to leave" in told.value.message
    assert gateway.inspect(row())["state"] == {"n": 1}


def test_the_end_of_a_block_that_was_let_go_meanwhile_says_so_too(settings):
    settings.LIVESIM = {"GRACE": 0.2}

    def block() -> None:
        with attach("bench", key="one"):
            leases.tell_to_leave(row().worker_id)
            wait_until(lambda: row().worker_id is None)

    with pytest.raises(RunLost):
        block()


def test_a_run_that_is_lost_as_its_block_goes_to_sleep_ends_the_block(beside):
    block = beside()
    program, supervisor = block.sim._program, block.attachment._engine.supervisor

    class Turn:
        """Has the step thread drop the run between two lines of the block: its look at that, and the next."""

        def __init__(self, turn: Any) -> None:
            self.turn, self.release = turn, turn.release

        def acquire(self, blocking: bool = True) -> bool:
            if not blocking:
                supervisor.post(supervisor._forget, supervisor.runners[block.sim.run.id])
                wait_until(lambda: program._closing and not self.turn.locked())
            return bool(self.turn.acquire(blocking))

    program._turn = Turn(program._turn)
    block.thread.join(60)
    hangs = block.thread.is_alive()
    if hangs:
        program._give_turn()
    assert (hangs, type(block.raised)) == (False, RunLost)


def test_a_handler_that_the_host_sets_in_the_block_stays():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def handler(number: int, frame: Any) -> None:
        raise AssertionError("nobody sends it")

    try:
        with attach("bench", key="one"):
            signal.signal(signal.SIGTERM, handler)
        assert signal.getsignal(signal.SIGTERM) is handler
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with attach("bench", key="one"):
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_end_of_an_outer_block_goes_through_an_inner_one():
    def forever(sim: Any) -> None:
        while True:
            sim.sleep(0.01)

    went_on = []
    with attach("bench", key="one") as outer:
        with attach("bench", key="two") as inner:
            inner.state["n"] = 7
            inner.sleep(0.01)
            gateway.stop(row("one"))
            began = time.monotonic()
            forever(outer)
        went_on.append("behind the inner one")
    assert (went_on, row("one").status) == ([], "stopped")
    assert time.monotonic() - began < 18  # and not the GRACE of the inner one, which is away
    assert (row("two").status, gateway.inspect(row("two"))["state"]) == ("waiting", {"n": 7})


def test_a_run_that_cannot_be_loaded_is_refused(monkeypatch):
    run = gateway.start("bench", key="one")
    tried: list[Any] = []

    def broken(*given: Any) -> None:
        tried.append(given)
        raise ValueError("a row that nobody can read")

    monkeypatch.setattr(loading, "load", broken)
    with pytest.raises(LivesimError) as told, attach("bench", key="one"):
        raise AssertionError("it cannot begin")
    assert told.value.message == (
        f"The run {run.id} cannot be loaded; the log says why. What is stored of it is unchanged."
    )
    assert (len(tried), row().source) == (LOADS, Source.WORKER)


def test_a_quarantined_run_is_told_as_such():
    run = gateway.start("bench", key="one")
    Run.objects.filter(id=run.id).update(status="quarantined")
    with pytest.raises(RunEnded) as told, attach("bench", key="one"):
        raise AssertionError("it cannot begin")
    assert told.value.code == "quarantined"
    assert told.value.message == (
        f"The run {run.id} is quarantined. An administrator must release it; then attach again."
    )
    assert row().source == Source.WORKER


@pytest.mark.parametrize("status", ["waiting", "stopped"])
def test_what_newer_code_has_stepped_is_refused_and_left_as_it_is(status):
    run = gateway.start("bench", key="one")
    Run.objects.filter(id=run.id).update(status=status, version=3)
    with pytest.raises(LivesimError) as told, attach("bench", key="one"):
        raise AssertionError("it cannot begin")
    assert told.value.message == (
        f"The run {run.id} was stepped by version 3 of bench, and this process has version 1."
        " Expected that version or a newer one: update its code."
    )
    left = row()
    assert (left.status, left.source, left.worker_id, left.epoch) == (status, Source.WORKER, None, 0)


def test_an_attach_that_does_not_begin_leaves_the_run_to_its_workers():
    run = gateway.start("bench", key="one", queue="lab")
    Run.objects.filter(id=run.id).update(status="paused")
    attachment = attach("bench", key="one")
    raised: list[BaseException] = []

    def enter() -> None:
        try:
            with attachment:
                raise AssertionError("it never went")
        except LivesimError as exc:
            raised.append(exc)
        finally:
            connections.close_all()

    thread = threading.Thread(target=enter)
    thread.start()
    wait_until(lambda: row().worker_id)
    assert row().source == Source.EXTERNAL
    leases.tell_to_leave(row().worker_id)
    thread.join(60)
    left = row()
    assert isinstance(raised[0], RunEnded)
    assert (left.worker_id, left.source, left.queue, left.status) == (None, Source.WORKER, "lab", "paused")


def test_a_stop_reaches_a_run_whose_attached_process_was_killed():
    run = gateway.start("bench", key="one")
    dead = Worker.objects.create(queues=[], state=Worker.State.GONE)
    Run.objects.filter(id=run.id).update(source=Source.EXTERNAL, status="running", worker=dead, epoch=1)
    assert gateway.stop(row()).outcome == "applied"
    assert (row().status, row().worker_id) == ("stopped", None)


def test_a_coroutine_attaches_and_holds_up_nobody():
    async def block() -> int:
        others = 0

        async def other() -> None:
            nonlocal others
            while True:
                others += 1
                await asyncio.sleep(0.005)

        task = asyncio.create_task(other())
        async with attach("bench", key="one") as sim:
            for _ in range(5):
                sim.state["n"] = sim.state.get("n", 0) + 1
                await sim.sleep(0.02)
        task.cancel()
        return others

    assert asyncio.run(block()) > 5
    assert (row().status, gateway.inspect(row())["state"]) == ("waiting", {"n": 5})


def test_a_cancelled_coroutine_stores_what_its_sleep_left():
    async def block() -> None:
        async with attach("bench", key="one") as sim:
            sim.state["n"] = 1
            await sim.sleep(0.01)
            sim.state["n"] = 2
            await sim.sleep(1000)

    async def cancelled() -> None:
        task = asyncio.create_task(block())
        await asyncio.to_thread(in_thread, lambda: Run.objects.filter(tick__gte=1).exists())
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert (row().status, gateway.inspect(row())["state"]["n"]) == ("waiting", 2)


def test_a_coroutine_cancelled_just_as_its_turn_comes_stores_what_its_sleep_left():
    async def block() -> None:
        async with attach("bench", key="one") as sim:
            sim.state["n"] = 1
            await sim.sleep(0.01)
            sim.state["n"] = 2
            program, task = sim._program, asyncio.current_task()
            give = program._give_turn

            def both() -> None:
                program._give_turn = give
                program._loop.call_soon_threadsafe(lambda: (program._came.set(), task.cancel()))

            program._give_turn = both
            await sim.sleep(0.1)

    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(block())
    assert time.monotonic() - began < 18  # and not GRACE
    assert (row().status, gateway.inspect(row())["state"]) == ("waiting", {"n": 2})


def test_a_timeout_around_a_sleep_leaves_the_state_to_the_block_alone():
    async def block() -> None:
        async with attach("bench", key="one") as sim:
            await sim.sleep(0.01)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await sim.sleep(0.4)
            assert not sim._program.asleep
            tick = sim.tick
            sim.state["n"] = 1
            await sim.sleep(0.01)
            assert sim.tick == tick + 1

    asyncio.run(block())
    assert (row().status, gateway.inspect(row())["state"]) == ("waiting", {"n": 1})


def test_a_timeout_long_before_the_turn_lets_the_run_go_and_says_so():
    async def block() -> None:
        async with attach("bench", key="one") as sim:
            sim.state["n"] = 1
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await sim.sleep(1000)
            sim.state["n"] = "half"
            await sim.sleep(0.01)

    with pytest.raises(RunLost, match="after a sleep was cancelled"):
        asyncio.run(block())
    assert (row().status, gateway.inspect(row())["state"]) == ("waiting", {"n": 1})


def test_two_sleeps_at_once_are_refused():
    async def block() -> None:
        async with attach("bench", key="one") as sim:
            await asyncio.gather(sim.sleep(0.05), sim.sleep(0.05))

    with pytest.raises(RuntimeError, match="awaited twice at once"):
        asyncio.run(block())
    assert row().status == "failed"


def in_thread(condition: Callable[[], bool]) -> None:
    try:
        wait_until(condition)
    finally:
        connections.close_all()
