"""The simulations of these tests, registered while one of them runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from django_livesim import registry
from tests.rights.simulations import Arena, Chess, Garden, Kiosk


@pytest.fixture(autouse=True)
def _simulations() -> Iterator[None]:
    for each in (Arena, Chess, Garden, Kiosk):
        registry.register(each)
    yield
    for each in (Arena, Chess, Garden, Kiosk):
        registry.unregister(each.name)


@pytest.fixture
def browser(owner: Any) -> Client:
    """The owner's, logged in."""
    client = Client()
    client.force_login(owner)
    return client
