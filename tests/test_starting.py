"""Coroutines that are begun without a task, and go on in one where they wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from django_livesim.bus.starting import started
from django_livesim.bus.viewer import Viewer
from tests.test_bus import until


async def test_what_waits_for_nothing_is_over_at_once():
    done = []

    async def work() -> None:
        done.append(1)

    assert started(work()) is None
    assert done == [1]


async def test_what_waits_goes_on_in_a_task():
    gate, done = asyncio.Event(), []

    async def work() -> None:
        for number in range(3):
            await gate.wait()
            done.append(number)
            gate.clear()
            await asyncio.sleep(0)

    rest = started(work())
    assert rest is not None
    task = asyncio.create_task(rest)
    for number in range(3):
        await asyncio.sleep(0.01)
        assert done == list(range(number))
        gate.set()
    await task
    assert done == [0, 1, 2]


async def test_what_it_raises_is_raised_before_it_waits_and_after():
    async def at_once() -> None:
        raise ValueError("at once")

    async def later() -> None:
        await asyncio.sleep(0.01)
        raise ValueError("later")

    with pytest.raises(ValueError, match="at once"):
        started(at_once())
    rest = started(later())
    assert rest is not None
    with pytest.raises(ValueError, match="later"):
        await rest


async def test_it_is_cancelled_where_it_waits():
    seen = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("over")

    rest = started(work())
    assert rest is not None
    task = asyncio.create_task(rest)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["over"]


async def test_a_future_may_be_begun_too():
    future = asyncio.get_running_loop().create_future()
    rest = started(future)
    assert rest is not None
    asyncio.get_running_loop().call_soon(future.set_result, None)
    await rest
    assert started(future) is None


async def test_a_wait_may_be_outlived():
    async def work() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)

    rest = started(work())
    assert rest is not None
    task = asyncio.create_task(rest)
    await asyncio.sleep(0)
    task.cancel()
    await task


async def test_several_may_wait_for_the_same_future():
    gate, sent = asyncio.get_running_loop().create_future(), []

    async def work(number: int) -> None:
        await asyncio.shield(gate)
        await gate
        sent.append(number)

    async def on_it_alone(number: int) -> None:
        await gate
        sent.append(number)

    rests = [started(each(number)) for number in range(3) for each in (work, on_it_alone)]
    tasks = [asyncio.create_task(rest) for rest in rests if rest is not None]
    await asyncio.sleep(0)
    gate.set_result(None)
    await asyncio.gather(*tasks)
    assert sorted(sent) == [0, 0, 1, 1, 2, 2]


who: ContextVar[str] = ContextVar("who", default="nobody")


def of_timeout(put: Callable[[str], None]) -> Any:
    async def send(text: str) -> None:
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        put(text)

    return send


def of_a_group(put: Callable[[str], None]) -> Any:
    async def later(text: str) -> None:
        put(text)

    async def send(text: str) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(later(text))

    return send


def of_a_span(put: Callable[[str], None]) -> Any:
    async def send(text: str) -> None:
        token = who.set("span")
        try:
            await asyncio.sleep(0.001)
            put(text)
        finally:
            who.reset(token)

    return send


@contextlib.asynccontextmanager
async def pumped(send: Any, **options: Any) -> AsyncIterator[tuple[Viewer, asyncio.Task[None]]]:
    viewer = Viewer(send, sender="u:1", role="view", **options)
    pump = asyncio.create_task(viewer.pump())
    await asyncio.sleep(0)
    yield viewer, pump
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)


@pytest.mark.parametrize("around", [of_timeout, of_a_group, of_a_span])
async def test_what_a_host_puts_around_a_send_may_need_a_task(around):
    sent: list[str] = []
    async with pumped(around(sent.append)) as (viewer, pump):
        for text in "abc":
            viewer.say(text)
        await until(lambda: sent == ["a", "b", "c"] or pump.done())
        assert sent == ["a", "b", "c"]


def in_no_task(send: Callable[[str], Any]) -> Callable[[str], Any]:
    """As the sends of servers that we know are begun."""
    return lambda text: started(send(text))


@pytest.mark.parametrize("begun_by", [in_no_task, lambda send: send])
async def test_a_send_runs_as_the_viewer_it_is_for_whoever_has_something_to_say(begun_by):
    seen = []

    async def serve(name: str) -> tuple[Viewer, asyncio.Task[None]]:
        who.set(name)

        async def send(text: str) -> None:
            seen.append((name, who.get()))
            await asyncio.sleep(0)
            seen.append((name, who.get()))

        viewer = Viewer(begun_by(send), sender=name, role="view")
        return viewer, asyncio.create_task(viewer.pump())

    alice, pump = await asyncio.create_task(serve("alice"))

    async def another() -> None:
        who.set("mallory")
        alice.say("first")
        alice.say("second")

    await asyncio.create_task(another())
    await until(lambda: len(seen) == 4)
    assert set(seen) == {("alice", "alice")}
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)


@pytest.mark.parametrize("begun_by", [in_no_task, lambda send: send])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_send_that_is_broken_off_by_the_server_ends_the_viewer(begun_by, waits):
    async def send(text: str) -> None:
        if waits:
            await asyncio.sleep(0)
        raise asyncio.CancelledError

    async with pumped(begun_by(send)) as (viewer, pump):
        viewer.say("a")
        with pytest.raises(ConnectionAbortedError):
            await asyncio.wait_for(asyncio.shield(pump), 10)
