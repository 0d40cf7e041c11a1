"""The rules of the documents' examples; in the sandbox by `manage.py test`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from django_livesim import registry
from sandbox.entities.shared import KEY, SIMULATION, policy
from sandbox.entities.simulations import Entities
from sandbox.entities.tests import EntitiesTests
from sandbox.prog.backend import Backend

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
