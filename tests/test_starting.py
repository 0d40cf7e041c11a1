"""Coroutines that are begun without a task, and go on in one where they wait."""

from __future__ import annotations

import asyncio

import pytest

from django_livesim.bus.starting import started


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
