"""FEATURES S0, a worker simulation: what no other test shows from end to end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth import get_user_model
from django.test import override_settings

from django_livesim import Simulation, gateway, registry
from django_livesim.models import Run, Worker
from django_livesim.worker import Engine
from django_livesim.worker import engine as engine_module
from tests.test_socket import DEADLINE

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "docs/how-the-worker-works.md"


async def received(socket: WebsocketCommunicator, fits: Callable[[Any], bool]) -> Any:
    """The next message that fits, within a minute; others are passed by."""
    async with asyncio.timeout(DEADLINE):
        while True:
            message = json.loads(await socket.receive_from(timeout=DEADLINE))
            if fits(message):
                return message


async def watch(worker: Engine, run: UUID) -> None:
    """Show interest, as the hub of a page does; it is for nobody before the run is held."""
    while True:
        worker.supervisor.interest(run, ["view"], True)
        await asyncio.sleep(0.2)


@pytest.fixture
def workshop(of_document: Any) -> Any:
    """The loop of the page that explains the worker, as it stands there."""
    return of_document(PAGE, "async def workshop").workshop


async def test_an_ordinary_consumer_finds_the_run_in_the_database_and_gets_reports(
    redis_layer: Any, engine: Any, workshop: Any, of_document: Any
) -> None:
    user = await get_user_model().objects.acreate(username="ann")
    await gateway.astart("workshop", {"benches": 1}, key="main", owner=user)
    await sync_to_async(engine)()
    consumer = of_document(PAGE, "class FloorConsumer").FloorConsumer
    socket = WebsocketCommunicator(consumer.as_asgi(), "/ws/floor/")
    socket.scope["user"] = user
    assert (await socket.connect(timeout=DEADLINE))[0]
    await socket.send_to(json.dumps({"name": "chair"}))
    message = await received(socket, lambda message: "chair" in message["state"].get("tasks", {}))
    assert message["tick"] > 0
    assert 0 < message["state"]["tasks"]["chair"]["left"] <= 50
    await socket.disconnect(timeout=DEADLINE)


async def test_a_consumer_in_the_runs_own_group_gets_frames_and_what_is_told(
    redis_layer: Any, engine: Any, workshop: Any, of_document: Any
) -> None:
    run = await gateway.astart("workshop")
    worker = await sync_to_async(engine)()
    consumer = of_document(PAGE, "class MirrorConsumer").MirrorConsumer
    socket = WebsocketCommunicator(consumer.as_asgi(), f"/ws/mirror/{run.id}/")
    socket.scope["url_route"] = {"args": (), "kwargs": {"run": run.id}}
    assert (await socket.connect(timeout=DEADLINE))[0]
    await gateway.asend(run, "add", {"name": "shelf", "work": 1000})
    watching = asyncio.create_task(watch(worker, run.id))
    frame = await received(
        socket, lambda message: message["type"] == "snapshot" and message["state"].get("tasks")
    )
    watching.cancel()
    assert frame["state"]["tasks"]["shelf"]["left"] <= 1000
    await gateway.apause(run)
    assert await received(socket, lambda message: message["type"] == "status")
    await socket.disconnect(timeout=DEADLINE)


async def test_a_loop_sends_to_a_group_of_the_authors_own(
    redis_layer: Any, engine: Any, workshop: Any
) -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add("shop-bell", channel)
    await gateway.astart("workshop")
    await sync_to_async(engine)()
    assert await layer.receive(channel) == {"type": "workshop.busy", "tasks": 0}
    await layer.group_discard("shop-bell", channel)


async def test_a_loop_sends_to_a_channel_of_the_authors_own(redis_layer: Any, engine: Any) -> None:
    @registry.register
    def bell(sim: Any) -> None:
        while True:
            sim.channel_send("thumbnails", {"type": "make", "image_id": 7})
            sim.sleep(0.05)

    try:
        layer = get_channel_layer()
        reading = asyncio.create_task(layer.receive("thumbnails"))
        await gateway.astart("bell")
        await sync_to_async(engine)()
        assert await asyncio.wait_for(reading, DEADLINE) == {"type": "make", "image_id": 7}
    finally:
        registry.unregister("bell")


def test_autostart_makes_one_run_however_many_workers_come(engine: Any, wait: Any) -> None:
    @registry.register(autostart=True, visibility="public")
    class Lighthouse(Simulation):
        def step(self, dt: float) -> None:
            self.state["turns"] = self.state.get("turns", 0) + 1

    try:
        engine()
        engine()
        wait(lambda: Worker.objects.count() == 2)
        run = wait(lambda: Run.objects.filter(simulation="lighthouse", status="running").first())
        assert (run.visibility, run.owner) == ("public", None)
        wait(lambda: gateway.inspect(run)["state"].get("turns", 0) > 2)
        assert Run.objects.filter(simulation="lighthouse").count() == 1
    finally:
        registry.unregister("lighthouse")


def test_how_often_is_reported_is_a_setting() -> None:
    with override_settings(LIVESIM={"REPORT_EVERY": 25, "FRAME_RATE": 2}):
        options = engine_module.options()
    assert (options.report_every, options.frame_rate) == (25, 2)


def test_a_worker_tells_its_runs_cpu_and_memory(engine: Any, wait: Any) -> None:
    engine()
    gateway.start("counter")
    load = wait(lambda: Worker.objects.filter(load__runs=1).values_list("load", flat=True).first())
    assert load["memory"] > 1_000_000
    assert load["cpu"] >= 0
