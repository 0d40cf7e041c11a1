"""The simulations of these tests, registered while one of them runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_livesim import registry
from tests.rights.simulations import Arena, Chess, Garden, Kiosk


@pytest.fixture(autouse=True)
def _simulations() -> Iterator[None]:
    for each in (Arena, Chess, Garden, Kiosk):
        registry.register(each)
    yield
    for each in (Arena, Chess, Garden, Kiosk):
        registry.unregister(each.name)
