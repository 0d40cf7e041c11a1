"""What drives a noted coroutine cannot tell; whoever watches knows when it is being advanced."""

from __future__ import annotations

import asyncio
import threading
import uuid

import pytest

from django_livesim.runtime.loops import LoopThread
from django_livesim.runtime.noted import Noted
from django_livesim.simulation import Loop
from tests.runtime.test_harm import Watching
from tests.runtime.world import World

RUN = uuid.uuid4()


def noted(coroutine, watch):
    return Noted(coroutine, watch, RUN, 7, 2.0)


async def awaits(awaitable):
    return await awaitable


class Waits:
    """Yields itself, and gives what it is sent, as a future does."""

    def __await__(self):
        return (yield self)


async def talks(watch, heard):
    while True:
        heard.append((watch.now, "runs"))
        try:
            said = await Waits()
        except ValueError as exc:
            heard.append((watch.now, str(exc)))
            continue
        finally:
            heard.append((watch.now, "woke"))
        if said == "end":
            return "ended"
        if said == "raise":
            raise LookupError("raised")


def drive(coroutine):
    """What comes of each act, the end included."""
    acts = [("send", None), ("send", "on"), ("throw", ValueError("thrown"))]
    told = []
    for how, what in acts:
        told.append(type(getattr(coroutine, how)(what)).__name__)
    return told


@pytest.mark.parametrize(
    "last", [("send", "end"), ("send", "raise"), ("throw", asyncio.CancelledError("now")), ("close",)]
)
def test_it_takes_and_gives_what_the_coroutine_itself_does(last):
    ends = []
    for wrap in (lambda coroutine, watch: coroutine, noted):
        watch, heard = Watching(), []
        coroutine = awaits(wrap(talks(watch, heard), watch))
        ends.append([drive(coroutine)])
        try:
            ends[-1].append(getattr(coroutine, last[0])(*last[1:]))
        except BaseException as exc:
            ends[-1].append((type(exc), exc.args))
        ends[-1].append([what for _, what in heard])
        assert watch.now is None
        if wrap is noted:
            assert {who for who, _ in heard} == {(RUN, 7, 2.0)}
    assert ends[0] == ends[1]


def test_while_it_waits_nobody_is_noted():
    watch = Watching()
    coroutine = awaits(noted(talks(watch, []), watch))
    coroutine.send(None)
    assert (watch.now, len(watch.seen)) == (None, 1)
    coroutine.close()


async def test_a_timeout_and_a_cancellation_reach_it_as_if_nobody_watched():
    watch = Watching()

    async def sleeps():
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            await asyncio.sleep(60)

    task = asyncio.create_task(awaits(noted(sleeps(), watch)))
    while len(watch.seen) < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert watch.now is None


class InThread(Watching):
    """Remembers in which thread it was told, and whether somebody's code ran."""

    def __init__(self):
        super().__init__()
        self.threads = set()
        self.found = []

    def enter(self, *note):
        self.threads.add(threading.current_thread().name.rpartition("-")[0])
        super().enter(*note)

    def look(self):
        self.found.append(self.now)


def loops(watch):
    async def async_loop(sim):
        while True:
            watch.look()
            await sim.sleep(0.1)

    def blocking_loop(sim):
        while True:
            watch.look()
            sim.sleep(0.1)

    return {"livesim": async_loop, "livesim-loop": blocking_loop}


@pytest.mark.parametrize("thread", ["livesim", "livesim-loop"])
def test_a_loop_is_noted_from_each_of_its_sleeps_to_the_next_with_its_limit(thread):
    watch = InThread()
    loop = Loop(loops(watch)[thread], name="loop", step_timeout=3.0)
    world = World(loop)
    world.supervisor.loops.watch = watch
    run = world.start(loop, watch=False)
    world.run_for(0.35, by=0.05)
    assert set(watch.found) == {(run, world.runner(run).epoch, 3.0)} and len(watch.found) > 2
    assert (watch.now, watch.threads) == (None, {thread})


def test_nobody_is_noted_where_nobody_watches():
    assert LoopThread().watch.enter(RUN, 1) is None
