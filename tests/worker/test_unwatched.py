"""`when_unwatched` the whole way: from a socket that leaves to the run that pauses, and back."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from django_livesim import Simulation, gateway, registry
from django_livesim.bus import hub, interest
from django_livesim.bus.hubs import hubs
from django_livesim.models import Run
from django_livesim.worker import Engine
from django_livesim.worker import doorbell as doorbells
from django_livesim.worker import engine as engines
from tests.test_socket import DEADLINE, Socket, log_in, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]

TTL = 2.0  # seconds in place of Options.interest_ttl
NOBODY = "nobody is watching"


@pytest.fixture(autouse=True)
async def _soon(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    options = engines.options
    monkeypatch.setattr(engines, "options", lambda: replace(options(), interest_ttl=TTL))
    monkeypatch.setattr(interest, "INTERVAL", 0.15)
    monkeypatch.setattr(interest, "KEYFRAME_SPAN", (0.1, 0.15))
    monkeypatch.setattr(hub, "LINGER", 0.05)
    yield
    async with asyncio.timeout(DEADLINE):
        while len(hubs()):
            await asyncio.sleep(0.01)


@pytest.fixture(params=["local", "redis"])
def _layer(request: pytest.FixtureRequest) -> None:
    if request.param == "redis":
        request.getfixturevalue("redis_layer")


@pytest.fixture
def pool() -> Iterator[Callable[[str], type[Simulation]]]:
    """`pool("pause")` is a simulation with that `when_unwatched`."""

    def make(when_unwatched: str) -> type[Simulation]:
        @registry.register(when_unwatched=when_unwatched)
        class Pool(Simulation):
            tick_rate = 50

            def step(self, dt: float) -> None:
                self.state["value"] = self.state.get("value", 0) + 1

        return Pool

    yield make
    registry.unregister("pool")


@pytest.fixture
def engine(transactional_db: None) -> Iterator[Callable[[], Callable[[], None]]]:
    """`engine()` starts a worker in a thread and gives what ends it."""
    leaving: list[Callable[[], None]] = []

    def start() -> Callable[[], None]:
        engine = Engine()

        def run() -> None:
            engine.run()
            connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()

        def leave() -> None:
            engine.drain()
            thread.join(20)
            assert not thread.is_alive()

        leaving.append(leave)
        return leave

    yield start
    for leave in leaving:
        leave()


async def told(run: Run, *expected: str) -> None:
    """Wait until the row has this status, reason."""
    async with asyncio.timeout(DEADLINE):
        while (await Run.objects.values_list("status", "reason").aget(id=run.id)) != expected:
            await asyncio.sleep(0.02)


async def start(definition: Any) -> tuple[Run, str]:
    owner = await sync_to_async(make_user)()
    cookies = await sync_to_async(log_in)(owner)
    return await gateway.astart(definition, owner=owner), cookies


async def steps(socket: Socket, count: int) -> None:
    """Wait until `count` more steps were shown, and nothing but running was said meanwhile."""
    began = len(socket.of("status"))
    last = (await socket.until(lambda: socket.of("snapshot")))[-1]["tick"]
    await socket.until(lambda: socket.of("snapshot")[-1]["tick"] >= last + count)
    assert {each["status"] for each in socket.of("status")[began:]} <= {"running"}


async def is_running(socket: Socket) -> None:
    await socket.until(lambda: socket.of("status") and socket.of("status")[-1]["status"] == "running")


def test_a_persons_pause_makes_it_theirs_where_no_worker_holds_the_run(transactional_db):
    run = Run.objects.create(simulation="counter", status="paused", reason=NOBODY)
    gateway.pause(run)
    run.refresh_from_db()
    assert (run.status, run.reason) == ("paused", "")


@pytest.mark.usefixtures("_layer")
async def test_a_run_pauses_when_the_last_viewer_leaves_and_goes_on_for_the_next(pool, engine):
    run, cookies = await start(pool("pause"))
    leave = engine()
    await told(run, "paused", NOBODY)
    async with Socket(run.id, cookies=cookies) as socket:
        await is_running(socket)
        await steps(socket, int(2 * TTL * 50))
    await told(run, "paused", NOBODY)
    await sync_to_async(leave)()
    engine()
    async with Socket(run.id, cookies=cookies) as socket:
        assert (await socket.until(lambda: socket.of("status")))[0]["reason"] == NOBODY
        await is_running(socket)
        await steps(socket, 10)
        socket.say(type="control", id="p", action="pause")
        await socket.until(lambda: socket.of("status")[-1]["status"] == "paused")
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("snapshot"))
        await gateway.ainspect(run)
        assert {(each["status"], each["reason"]) for each in socket.of("status")} == {("paused", "")}


async def test_redis_that_hangs_does_not_make_viewers_of_a_run_nobody(
    pool, engine, bad_redis, settings, monkeypatch
):
    monkeypatch.setattr(doorbells, "ECHO_EVERY", 0.1)
    monkeypatch.setattr(doorbells, "DEAF_AFTER", 0.4)
    settings.LIVESIM = {"POLL": 0.1}
    run, _ = await start(pool("stop"))
    engine()
    await told(run, "running", "")
    bad_redis.process.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(DEADLINE):
        while (now := await Run.objects.aget(id=run.id)).tick < 3 * TTL * 50:
            await asyncio.sleep(0.05)
            assert now.status == "running"
    bad_redis.process.send_signal(signal.SIGCONT)
    await told(run, "stopped", NOBODY)


async def test_a_run_stops_when_nobody_watches_and_can_be_resumed(pool, engine):
    run, cookies = await start(pool("stop"))
    engine()
    await told(run, "stopped", NOBODY)
    stored = (await gateway.ainspect(run))["tick"]
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("end"))
        assert socket.of("status")[-1]["reason"] == NOBODY
        socket.say(type="control", id="r", action="resume")
        await is_running(socket)
        await steps(socket, int(2 * TTL * 50))
        assert socket.of("snapshot")[-1]["tick"] > stored
    await told(run, "stopped", NOBODY)
