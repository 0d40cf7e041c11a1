"""Who wants fewer frames has the worker make fewer, and has all of them again at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_livesim import Simulation, gateway, registry
from django_livesim.bus import pressure
from tests.test_socket import DEADLINE, Socket, cookies, nothing_is_left, owner

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


async def come(socket: Socket, enough: Callable[[int], bool], what: str) -> None:
    """Wait until the worker, which may learn of a wish late, makes that many frames in so many ticks."""
    deadline = time.monotonic() + DEADLINE
    made: list[int] = []
    await socket.until(lambda: socket.of("snapshot"))
    while not enough(count := await later(socket, TICKS)):
        made.append(count)
        assert time.monotonic() < deadline, f"not {what} in {TICKS} ticks each: {made}"


async def most_come(socket: Socket) -> None:
    await come(socket, lambda made: made >= TICKS / 2, "most")


async def few_come(socket: Socket) -> None:
    await come(socket, lambda made: made < TICKS / 2, "few")


@pytest.fixture(autouse=True)
def nobody_is_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that cannot send all frames has the hub ask for fewer: no matter of these wishes."""
    monkeypatch.setattr(pressure, "MISSED", 1.0)


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
        await few_come(socket)
        async with Socket(run.id, cookies=cookies) as other:
            await most_come(other)
            few, most = len(socket.of("snapshot")), len(other.of("snapshot"))
            await other.until(lambda: len(other.of("snapshot")) >= most + TICKS)
            assert len(socket.of("snapshot")) - few < TICKS / 2
        await few_come(socket)
        socket.say(type="rate", fps=1000)
        await most_come(socket)
