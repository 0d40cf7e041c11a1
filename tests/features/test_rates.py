"""Who wants fewer frames has the worker make fewer, and has all of them again at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_livesim import Simulation, gateway, registry
from tests.test_socket import Socket, cookies, nothing_is_left, owner

__all__ = ["cookies", "nothing_is_left", "owner"]

TICKS = 40


@pytest.fixture
def ticker() -> Iterator[type[Simulation]]:
    class Ticker(Simulation):
        """Shows each of its ticks."""

        tick_rate = 20
        report_every = 1

        def step(self, dt: float) -> None:
            self.state["ticks"] = self.tick

    registry.register(Ticker)
    yield Ticker
    registry.unregister(Ticker.name)


def newest(socket: Socket) -> tuple[int, int]:
    """Tick and number of the newest frame."""
    last = socket.of("snapshot")[-1]
    return last["tick"], last["seq"]


async def later(socket: Socket, ticks: int) -> int:
    """How many frames the worker has made in so many ticks."""
    tick, seq = newest(socket)
    await socket.until(lambda: newest(socket)[0] >= tick + ticks)
    return newest(socket)[1] - seq


async def most_come(socket: Socket) -> None:
    """Wait until the worker makes a frame of most ticks: soon, on a machine that has time for it."""
    await socket.until(lambda: socket.of("snapshot"))
    while await later(socket, TICKS) < TICKS / 2:
        pass


@pytest.mark.parametrize("layer", ["local", "redis"])
async def test_a_worker_makes_as_many_frames_as_somebody_wants(
    request: pytest.FixtureRequest, layer: str, ticker: Any, engine: Any, cookies: str, owner: Any
) -> None:
    if layer == "redis":
        request.getfixturevalue("redis_layer")
    run = await sync_to_async(gateway.start)("ticker", owner=owner)
    engine()
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: len(socket.of("snapshot")) >= 5)
        socket.say(type="rate", fps=1)
        await later(socket, TICKS // 2)  # until the worker knows
        assert await later(socket, TICKS) < TICKS / 2
        async with Socket(run.id, cookies=cookies) as other:
            await most_come(other)
            assert len(socket.of("snapshot")) < len(other.of("snapshot"))
        await later(socket, TICKS // 2)
        assert await later(socket, TICKS) < TICKS / 2
        socket.say(type="rate", fps=1000)
        await most_come(socket)
