"""The socket of the list of runs: says that it may have changed, soon and not often, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import transaction

from django_livesim import gateway
from django_livesim.bus import doorbells, lists, local
from django_livesim.bus.hubs import hubs
from django_livesim.consumers import inbox, listing
from django_livesim.models import Run
from django_livesim.protocol.names import LISTS_GROUP, Status
from django_livesim.store.transitions import Transition, tell_on_commit
from django_livesim.worker import Engine
from tests.features.conftest import engine
from tests.test_socket import DEADLINE, Socket

__all__ = ["engine"]

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/ws/livesim/runs/"


@pytest.fixture(autouse=True)
async def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(listing, "GAP", 0.02)
    monkeypatch.setattr(doorbells, "LIMIT", 10.0)  # a busy machine is not a layer that is away
    yield
    deadline = asyncio.get_running_loop().time() + DEADLINE
    while [task for task in asyncio.all_tasks() if task.get_name().startswith("livesim-")]:
        assert asyncio.get_running_loop().time() < deadline, asyncio.all_tasks()
        await asyncio.sleep(0.01)
    assert not hubs()._bells and hubs()._receiver is None


@pytest.fixture(params=["local", "redis"])
def layer(request: pytest.FixtureRequest) -> str:
    if request.param == "redis":
        request.getfixturevalue("redis_layer")
    return str(request.param)


async def told_again(socket: Socket, act: Any, *args: Any, **kwargs: Any) -> Any:
    """Do something, and wait until the list is told of it."""
    await asyncio.sleep(0.1)  # what was said before has come
    before = len(socket.heard)
    result = await sync_to_async(act)(*args, **kwargs)
    await socket.until(lambda: len(socket.heard) > before)
    return result


async def test_it_tells_of_runs_that_begin_change_and_go(layer: str) -> None:
    async with Socket(PATH) as socket:
        await socket.until(lambda: socket.heard)
        run = await told_again(socket, gateway.start, "counter")
        await told_again(socket, gateway.pause, run)
        await told_again(socket, gateway.share, run, "public")
        await told_again(socket, gateway.stop, run)
        await told_again(socket, gateway.restart, run)
        await told_again(socket, gateway.delete, run)
        assert {message["type"] for message in socket.heard} == {"changed"}
        assert all(set(message) == {"type"} for message in socket.heard)


async def test_it_tells_of_what_a_worker_does(layer: str, engine: Any) -> None:
    async with Socket(PATH) as socket:
        await socket.until(lambda: socket.heard)
        run = await sync_to_async(gateway.start)("counter")
        await asyncio.sleep(0.6)
        before = len(socket.heard)
        made: Engine = await sync_to_async(engine)()
        assert made
        await socket.until(lambda: len(socket.heard) > before)

        def status() -> str:
            return str(Run.objects.values_list("status", flat=True).get(id=run.id))

        while await sync_to_async(status)() != Status.RUNNING:
            await asyncio.sleep(0.02)
        await told_again(socket, gateway.pause, run)


async def test_all_pages_of_a_process_have_one_place_on_the_bus(layer: str) -> None:
    async with Socket(PATH) as first, Socket(PATH) as second:
        await first.until(lambda: first.heard and second.heard)
        assert len(hubs()._bells) == 2
        if layer == "local":
            assert len(local._listeners[LISTS_GROUP]) == 1
        before = len(second.heard)
        await told_again(first, gateway.start, "counter")
        await second.until(lambda: len(second.heard) > before)


async def test_of_many_changes_it_tells_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "GAP", 1.0)
    async with Socket(PATH) as socket:
        await socket.until(lambda: socket.heard)
        for _ in range(500):
            lists.ring()
            await asyncio.sleep(0)
        await socket.until(lambda: len(socket.heard) >= 2)
        assert len(socket.heard) <= 3


@pytest.mark.usefixtures("redis_layer")
async def test_a_process_rings_for_many_changes_as_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    real = lists.get_layer

    class Counting:
        async def group_send(self, group: str, message: Any) -> None:
            sent.append(group)
            await real().group_send(group, message)

    monkeypatch.setattr(lists, "get_layer", Counting)
    async with Socket(PATH) as socket:
        await socket.until(lambda: socket.heard)
        before, began = len(socket.heard), time.monotonic()
        for _ in range(500):
            lists.ring()
        took = time.monotonic() - began
        await socket.until(lambda: len(socket.heard) > before)
        await asyncio.sleep(2 * lists.GAP)
        assert 1 <= len(sent) <= 2 + took / lists.GAP


async def test_nothing_is_told_of_what_was_rolled_back() -> None:
    def start_and_give_up() -> None:
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            gateway.start("counter")
            raise ZeroDivisionError

    async with Socket(PATH) as socket:
        await socket.until(lambda: socket.heard)
        await asyncio.sleep(0.1)
        before = len(socket.heard)
        await sync_to_async(start_and_give_up)()
        await asyncio.sleep(0.2)
        assert len(socket.heard) == before


async def test_a_status_that_stays_rings_no_list() -> None:
    run = await sync_to_async(gateway.start)("counter")
    same = Transition(run=run.id, epoch=1, previous=Status.RUNNING, status=Status.RUNNING, reason="frame 7")
    async with Socket(PATH) as socket:
        await socket.until(lambda: socket.heard)
        await asyncio.sleep(0.1)
        before = len(socket.heard)
        await sync_to_async(tell_on_commit)(same)
        await asyncio.sleep(0.2)
        assert len(socket.heard) == before


async def test_what_a_page_says_is_passed_over_and_too_much_of_it_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox, "MESSAGE_BURST", 5.0)
    monkeypatch.setattr(inbox, "MESSAGE_RATE", 0.0)
    async with Socket(PATH) as socket:
        for text in ("{", '{"type": "command"}', '{"type": "livesim.changed"}'):
            socket.text(text)
        await socket.until(lambda: socket.heard)
        assert socket.code is None
        for _ in range(5):
            socket.text("{}")
        assert await socket.closed() == 4429
    async with Socket(PATH) as socket:
        socket.text("x" * 1_000_000)
        assert await socket.closed() == 1009


async def test_one_that_does_not_read_is_closed(settings: Any) -> None:
    settings.LIVESIM = {"SLOW_VIEWER": 0.1}
    async with Socket(PATH) as socket:
        await socket.until(lambda: socket.heard)
        socket.hold.clear()
        lists.ring()
        assert await socket.closed() == 4408


async def test_a_page_of_another_site_is_refused() -> None:
    async with Socket(PATH, origin="https://example.com") as socket:
        assert not socket.accepted and socket.code == 4403


async def test_a_visitor_may_listen_and_is_told_of_runs_of_others_only_that_there_was_something() -> None:
    async with Socket(PATH) as socket:
        await socket.until(lambda: socket.heard)
        ada = await sync_to_async(get_user_model().objects.create_user)("ada")
        await told_again(socket, gateway.start, "counter", owner=ada)
        assert all(message == {"type": "changed"} for message in socket.heard)


async def test_it_is_no_run() -> None:
    async with Socket(f"{PATH}{uuid4()}/") as socket:
        assert await socket.closed() == 4401
