"""The rules of the documents' examples; in the sandbox by `manage.py test`."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from channels.layers import InMemoryChannelLayer

from django_livesim import registry
from sandbox.documents.sockets import named
from sandbox.entities.shared import KEY, SIMULATION, policy
from sandbox.entities.simulations import Entities
from sandbox.entities.tests import EntitiesTests
from sandbox.prog.backend import Backend
from sandbox.prog.consumers import ProgSocket

__all__ = ["EntitiesTests"]

registry.unregister(Entities.name)  # for the other tests there is none


@pytest.mark.parametrize(
    ("simulation", "key", "action", "granted"),
    [
        (SIMULATION, KEY, "view", True),
        (SIMULATION, KEY, "control", True),
        (SIMULATION, KEY, "delete", None),
        (SIMULATION, None, "view", None),
        (SIMULATION, "other", "command", None),
        ("orbit", KEY, "control", None),
    ],
)
def test_whoever_comes_steers_the_shared_simulation_and_no_other(
    simulation: str, key: str | None, action: str, granted: Any
) -> None:
    run = SimpleNamespace(id=uuid4(), simulation=simulation, key=key)
    assert policy(None, action, run, None) is granted


async def test_the_pretended_service_comes_to_its_end() -> None:
    backend = Backend(pace=40)
    assert [await backend.poll() for _look in range(4)] == [40, 80, 100, 100]


class OnceAway(InMemoryChannelLayer):  # type: ignore[misc]
    """A channel layer that is away at first."""

    away = True

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        if self.away:
            self.away = False
            raise ConnectionError("the server has gone")
        await super().send(channel, message)


async def test_a_socket_is_reminded_of_its_job_after_the_channel_layer_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sandbox.prog.consumers.AGAIN", 0.01)
    socket = ProgSocket()
    socket.run, socket.channel_layer = SimpleNamespace(ended=False), OnceAway()
    socket.channel_name = await socket.channel_layer.new_channel()
    reminding = asyncio.create_task(socket._remind())
    try:
        async with asyncio.timeout(60):
            assert await socket.channel_layer.receive(socket.channel_name) == {"type": "job.look"}
    finally:
        reminding.cancel()


@pytest.mark.parametrize(
    ("value", "said"),
    [("dance", "'dance'"), ("x" * 99, f"'{'x' * 79}"), (None, "None"), (2, "2"), ({"a": 1}, "{...}")],
)
def test_a_value_is_named_in_few_characters(value: Any, said: str) -> None:
    assert named(value) == said


def test_a_value_that_is_nested_deeper_than_python_goes_is_named() -> None:
    deep: list[Any] = []
    for _level in range(100_000):
        deep = [deep]
    assert named(deep) == "[...]"
