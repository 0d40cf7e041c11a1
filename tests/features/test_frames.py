"""What viewers are sent of a view that is large: deltas, tables, and the whole where one needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_livesim import Simulation, command, gateway, registry
from django_livesim.models import Run
from django_livesim.protocol import tables
from django_livesim.protocol.mirror import Mirror
from tests.test_socket import Socket, cookies, nothing_is_left, owner

__all__ = ["cookies", "nothing_is_left", "owner"]


@pytest.fixture
def drift() -> Iterator[type[Simulation]]:
    """Of a hundred things five move in each step; now and then one is nothing, or gone."""

    class Drift(Simulation):
        """Things that drift."""

        tick_rate = 20
        frame_rate = 20

        def setup(self) -> None:
            things = {f"t{number}": {"x": 0.0, "kind": "thing", "of": None} for number in range(100)}
            self.state = {"things": things, "made": 0}

        def step(self, dt: float) -> None:
            for number in range(5):
                self.state["things"][f"t{number}"]["x"] += self.random.random()
            if self.tick % 7 == 0:
                self.state["made"] += 1
                self.state["things"].pop(f"new{self.state['made'] - 1}", None)
                self.state["things"][f"new{self.state['made']}"] = {"x": None, "parts": {"of": None}}

        @command
        def call(self, thing: str) -> None:
            """Call a thing something."""
            self.state["things"]["t50"]["kind"] = thing

    registry.register(Drift)
    yield Drift
    registry.unregister(Drift.name)


def mirror(socket: Socket) -> Mirror:
    """What a client makes of what it has heard, having missed nothing."""
    made = Mirror()
    for message in socket.heard:
        if message["type"] in ("snapshot", "delta"):
            assert made.take(message), message
    return made


async def paused(socket: Socket, run: Run) -> Any:
    """The state once the run is paused, and its last frame is there."""
    socket.say(type="control", id="p", action="pause")
    await socket.until(lambda: [each for each in socket.of("applied") if each["id"] == "p"])
    tick = socket.of("applied")[-1]["tick"]
    await socket.until(lambda: mirror(socket).tick == tick)
    stored = await sync_to_async(lambda: gateway.inspect(run, timeout=10))()
    assert stored["tick"] == tick
    return stored["state"]


@pytest.mark.parametrize("layer", ["local", "redis"])
async def test_viewers_are_sent_what_has_changed_and_end_with_the_state(
    request: pytest.FixtureRequest, layer: str, drift: Any, engine: Any, cookies: str, owner: Any
) -> None:
    if layer == "redis":
        request.getfixturevalue("redis_layer")
    run = await sync_to_async(gateway.start)("drift", owner=owner)
    engine()
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: len(socket.of("delta")) >= 20)
        await socket.until(lambda: any("crc" in each for each in socket.of("delta")))
        async with Socket(run.id, cookies=cookies) as late:
            await late.until(lambda: len(late.of("delta")) >= 5)
            assert len(late.of("snapshot")) < len(late.of("delta"))
            socket.command("c", "call", thing="moon")
            await socket.until(lambda: socket.of("applied"))
            state = await paused(socket, run)
            assert mirror(socket).picture.state == state
            assert state["things"]["t50"]["kind"] == "moon"
            await late.until(lambda: mirror(late).number == mirror(socket).number)
            assert mirror(late).picture == mirror(socket).picture
        snapshots, deltas = len(socket.of("snapshot")), len(socket.of("delta"))
        assert snapshots < deltas / 4, (snapshots, deltas)


async def test_who_asks_for_the_whole_gets_it_and_others_go_on(
    drift: Any, engine: Any, cookies: str, owner: Any
):
    run = await sync_to_async(gateway.start)("drift", owner=owner)
    engine()
    async with Socket(run.id, cookies=cookies) as asks, Socket(run.id, cookies=cookies) as other:
        await other.until(lambda: asks.of("delta") and other.of("delta"))

        async def others_had() -> int:
            """How many snapshots the other one got while this one asked and went on."""
            before = len(asks.of("snapshot")), len(other.of("snapshot"))
            asks.say(type="resync")
            await asks.until(lambda: len(asks.of("snapshot")) > before[0])
            count = len(asks.of("delta"))
            await asks.until(lambda: len(asks.of("delta")) > count + 5)
            return len(other.of("snapshot")) - before[1]

        # On a busy machine frames are passed over, after which the next is whole: it is not so each time.
        for _ in range(10):
            if not await others_had():
                break
        else:
            pytest.fail("others get a snapshot each time that one asks")
        assert mirror(asks).number >= mirror(other).number or mirror(other).picture


async def test_a_table_comes_in_columns_and_is_the_objects_again(
    of_document: Any, engine: Any, cookies: str, owner: Any
) -> None:
    of_document("docs/authoring.md", "class Fleet")
    run = await sync_to_async(gateway.start)("fleet", owner=owner)
    engine()
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: len(socket.of("delta")) >= 5)
        told = socket.of("hello")[0]["tables"]
        assert told[0]["name"] == "ships"
        assert all(not each["patch"] for each in socket.of("delta"))
        state = await paused(socket, run)
        ships = tables.unpack(mirror(socket).picture.tables["ships"])
        assert ships.keys() == state["ships"].keys()
        for key, ship in state["ships"].items():
            assert ships[key] == {"x": pytest.approx(ship["x"], abs=0.051), "y": ship["y"], "kind": "tug"}
