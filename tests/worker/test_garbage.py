"""A process that steps runs looks for garbage in cycles as often as GC_THRESHOLD says."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from django_livesim.worker.garbage import look_as_set

MANY = 50_000


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


class Knot:
    def __init__(self) -> None:
        self.itself = self


def looks(made: int) -> int:
    """How often there was a look while so many more objects came to be."""
    counted = 0

    def count(phase: str, info: dict[str, int]) -> None:
        nonlocal counted
        counted += phase == "start"

    gc.callbacks.append(count)
    try:
        kept = [[] for _ in range(made)]
    finally:
        gc.callbacks.remove(count)
    assert len(kept) == made
    return counted


def test_it_looks_less_often_and_not_through_what_was_there(settings: Any) -> None:
    settings.LIVESIM = {"GC_THRESHOLD": MANY}
    gc.set_threshold(700, 10, 10)
    before = looks(MANY // 2)
    look_as_set()
    assert gc.get_freeze_count() > 0
    assert looks(MANY // 2) < before


def test_what_is_in_a_cycle_still_goes(settings: Any) -> None:
    settings.LIVESIM = {"GC_THRESHOLD": MANY}
    look_as_set()
    knot = weakref.ref(Knot())
    looks(3 * MANY)
    assert knot() is None


def test_without_it_python_looks_as_it_did(settings: Any) -> None:
    settings.LIVESIM = {}
    before = gc.get_threshold(), gc.get_freeze_count()
    look_as_set()
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
