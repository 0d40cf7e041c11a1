from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runtime.world import World


@pytest.fixture(autouse=True)
def _worlds_end() -> Iterator[None]:
    """No loop of a test outlives it."""
    yield
    for world in World.made:
        world.close()
    World.made.clear()
