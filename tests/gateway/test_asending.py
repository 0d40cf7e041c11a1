"""What senders are told of commands that share commits, where something else is slow."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.cache import cache

from django_livesim import Simulation, command, gateway, registry
from django_livesim.bus import volatile as bus
from django_livesim.gateway import asending, batching
from django_livesim.gateway.checking import checkers
from django_livesim.gateway.requests import Request
from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.errors import LivesimError
from django_livesim.testing import wait_until
from tests.hosts import host_view

pytestmark = pytest.mark.django_db(transaction=True)

DEADLINE = 60.0


@pytest.fixture
def bob() -> Any:
    return get_user_model().objects.create_user("bob")


@pytest.fixture
def run(bob: Any) -> Run:
    return gateway.start("counter", owner=bob)


@pytest.fixture
def steered() -> Iterator[Run]:
    """A run that a worker holds, and that takes volatile commands."""

    class Steered(Simulation):
        def step(self, dt: float) -> None: ...

        @command(durable=False)
        def turn(self) -> None: ...

    registry.register(Steered)
    run = gateway.start("steered", visibility="public")
    Run.objects.update(worker=Worker.objects.create(), status="running")
    yield run
    registry.unregister(Steered.name)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of volatile commands that have gone to a worker."""
    sent: list[str] = []
    monkeypatch.setattr(bus, "send", lambda worker, run, wanted: not sent.append(wanted["client_id"]))
    return sent


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_a_retry_does_not_wait_for_the_thread_that_all_coroutines_share(
    run: Run, bob: Any, settings: Any
) -> None:
    await sync_to_async(cache.clear)()
    settings.LIVESIM = {"RATE_LIMITS": {"COMMANDS": "2/h"}}
    first = await gateway.asend(run, "add", id="a", user=bob)
    busy, done = threading.Event(), threading.Event()

    def slow_view() -> None:
        busy.set()
        done.wait(DEADLINE)

    view = asyncio.ensure_future(sync_to_async(slow_view)())
    try:
        await until(busy.is_set)
        for _ in range(3):
            async with asyncio.timeout(DEADLINE / 2):
                assert (await gateway.asend(run, "add", id="a", user=bob)).pk == first.pk
        assert (await gateway.asend(run, "add", id="b", user=bob)).pk  # the retries were counted for nothing
    finally:
        done.set()
        await view


async def test_a_volatile_command_of_which_it_was_said_that_it_is_not_sent_never_acts(
    steered: Run, bob: Any, settings: Any, handed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go = threading.Event(), threading.Event()

    def policy(*args: Any) -> bool:
        asked.set()
        return go.wait(DEADLINE)

    settings.LIVESIM = {"POLICY": policy}
    monkeypatch.setattr(asending, "ANSWER_LIMIT", 2.0)
    try:
        with pytest.raises(LivesimError, match="has not stored the command") as caught:
            await gateway.asend(steered, "turn", user=bob, id="late")
        assert caught.value.code == "busy" and asked.is_set()
    finally:
        go.set()
    await until(lambda: not checkers()._busy)
    monkeypatch.setattr(asending, "ANSWER_LIMIT", DEADLINE)
    assert (await gateway.asend(steered, "turn", user=bob, id="next")).pk is None
    assert handed == ["next"]


async def test_while_a_volatile_command_is_on_its_way_nobody_is_told_that_it_is_not_sent(
    steered: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(bus, "send", lambda *args: go.wait(DEADLINE))
    monkeypatch.setattr(asending, "ANSWER_LIMIT", 2.0)
    try:
        with pytest.raises(LivesimError, match="not known whether"):
            await gateway.asend(steered, "turn")
    finally:
        go.set()


async def test_a_volatile_command_that_no_worker_takes_has_a_row_like_any_other(
    steered: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "send", lambda *args: False)
    row = await gateway.asend(steered, "turn")
    assert row.pk and row.durable


@pytest.mark.usefixtures("row_locks")
async def test_a_command_for_a_locked_run_is_given_up_once_its_sender_has_been_told_that_nobody_knows(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, go = threading.Event(), threading.Event()
    insert = batching.batch.insert_commands

    def wait(wanted: Any) -> Any:
        taken.set()
        go.wait(DEADLINE)
        return insert(wanted)

    monkeypatch.setattr(batching.batch, "insert_commands", wait)
    monkeypatch.setattr(asending, "ANSWER_LIMIT", 2.0)
    held = host_view(lambda: gateway.share(run, "public"))
    await sync_to_async(held.__enter__)()
    try:
        with pytest.raises(LivesimError, match="not known whether"):
            await gateway.asend(run, "add")
        assert taken.is_set()
        go.set()
        await until(lambda: not batching.batcher("default")._at_work)  # it waits for nothing more
    finally:
        go.set()
        await sync_to_async(held.__exit__)(None, None, None)
    assert not await Command.objects.aexists()


async def test_who_came_first_is_told_first_that_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """One timer for all of a loop, and each has its own time."""
    expiry, told = asending.Expiry(), []
    loop, begun = asyncio.get_running_loop(), time.monotonic()
    requests = []
    for number, limit in enumerate([0.05, 0.15, 0.15]):
        monkeypatch.setattr(asending, "ANSWER_LIMIT", limit)
        request = Request(None, object(), lambda _request: Command())
        request.future.add_done_callback(lambda _, number=number: told.append((number, loop.time())))
        expiry.add(request)
        requests.append(request)
    expiry.discard(requests[2])
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(each.future for each in requests[:2]))
    assert [number for number, _ in told] == [0, 1]
    assert told[1][1] - begun >= 0.15
    assert not requests[2].future.done()
    requests[2].future.cancel()


async def test_a_command_that_was_answered_leaves_nothing_to_the_garbage_collector() -> None:
    run = await sync_to_async(gateway.start)("counter")
    gc.collect()
    gc.disable()
    try:
        assert (await gateway.asend(run, "add", {"n": 1})).pk
        await sync_to_async(wait_until)(
            lambda: not [each for each in gc.get_objects() if type(each) is Request]
        )
    finally:
        gc.enable()
