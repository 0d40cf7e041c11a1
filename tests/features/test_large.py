"""Views, events and results that are larger than a frame may be: said, counted, and over by themselves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_livesim import Simulation, command, gateway, registry
from django_livesim.models import Command
from tests.test_socket import Socket, cookies, nothing_is_left, owner

__all__ = ["cookies", "nothing_is_left", "owner"]

MIB = 2**20


@pytest.fixture
def swelling() -> Iterator[type[Simulation]]:
    """Its view is as large as it is told to be; its state is small."""

    class Swelling(Simulation):
        """Something that swells."""

        tick_rate = 20
        frame_rate = 20

        def setup(self) -> None:
            self.state = {"n": 0, "size": 0}

        def step(self, dt: float) -> None:
            self.state["n"] += 1

        def view(self, role: str) -> dict[str, Any]:
            return {"n": self.state["n"], "filling": "x" * self.state["size"]}

        @command
        def swell(self, size: int) -> None:
            """Have a view of so many bytes."""
            self.state["size"] = size

        @command
        def shout(self, size: int) -> str:
            """Tell everybody, and give back, so many bytes."""
            self.emit("shouted", "y" * size)
            return "z" * size

    registry.register(Swelling)
    yield Swelling
    registry.unregister(Swelling.name)


@pytest.fixture(params=["local", "core", "pubsub"])
def layer(request: pytest.FixtureRequest, settings: Any) -> str:
    if request.param != "local":
        request.getfixturevalue("redis_layer")
    if request.param == "core":
        layer = settings.CHANNEL_LAYERS["default"]
        settings.CHANNEL_LAYERS = {
            "default": {**layer, "BACKEND": "channels_redis.core.RedisChannelLayer"},
        }
    return str(request.param)


def reason(socket: Socket) -> str:
    """What it was told last."""
    return str(["", *(each["reason"] for each in socket.of("status"))][-1])


async def test_a_view_that_is_too_large_is_told_with_its_size_and_shown_again_once_it_is_small(
    layer: str, swelling: Any, engine: Any, cookies: str, owner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = await sync_to_async(gateway.start)("swelling", owner=owner)
    worker = engine()
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("snapshot"))
        socket.command("a", "swell", size=20 * MIB)
        told = "not shown, since its view takes 20.0 MiB, and 4.0 MiB are sent at most"
        await socket.until(lambda: reason(socket) == told)
        async with Socket(run.id, cookies=cookies) as late:
            await late.until(lambda: reason(late) == told)
            refused = worker.publisher.refused
            await late.until(lambda: worker.publisher.refused > refused)
        assert all(len(each.get("text", "")) < MIB for each in socket.raw)
        socket.command("b", "swell", size=10)
        await socket.until(lambda: reason(socket) == "")
        await socket.until(lambda: socket.of("snapshot")[-1]["state"]["filling"] == "x" * 10)
    said = [each for each in caplog.records if "MAX_FRAME_BYTES" in each.getMessage()]
    assert [each.levelno for each in said] == [logging.WARNING]
    assert str(run.id) in said[0].getMessage() and " of 209715" in said[0].getMessage()


async def test_an_event_and_a_result_that_are_too_large_are_told_without_what_they_hold(
    layer: str, swelling: Any, engine: Any, cookies: str, owner: Any
) -> None:
    run = await sync_to_async(gateway.start)("swelling", owner=owner)
    engine()
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("snapshot"))
        socket.command("a", "shout", size=10 * MIB)
        await socket.until(lambda: socket.of("applied") and socket.of("event"))
        applied, event = socket.of("applied")[0], socket.of("event")[0]
        assert (applied["id"], applied["result"], applied["too_large"]) == ("a", None, 10 * MIB + 2)
        assert (event["name"], event["data"], event["too_large"]) == ("shouted", None, 10 * MIB + 9)
        socket.command("b", "shout", size=1000)
        await socket.until(lambda: len(socket.of("applied")) == 2 and len(socket.of("event")) == 2)
        assert socket.of("applied")[1]["result"] == "z" * 1000
        assert socket.of("event")[1]["data"] == "y" * 1000
    stored = await sync_to_async(lambda: Command.objects.get(run=run, client_id="a").result)()
    assert stored == "z" * 10 * MIB
