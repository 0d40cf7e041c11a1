"""A process that steps runs looks for garbage in cycles less often than Python does by itself."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from django_livesim.worker.garbage import MORE, look_seldom


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


def test_it_looks_less_often_and_not_through_what_was_there() -> None:
    gc.set_threshold(700, 10, 10)
    before = looks(MORE // 2)
    look_seldom()
    assert gc.get_freeze_count() > 0
    assert looks(MORE // 2) < before


def test_what_is_in_a_cycle_still_goes() -> None:
    look_seldom()
    knot = weakref.ref(Knot())
    looks(3 * MORE)
    assert knot() is None


def test_what_the_host_has_set_stays() -> None:
    gc.set_threshold(2 * MORE, 7, 8)
    look_seldom()
    assert gc.get_threshold() == (2 * MORE, 7, 8)
    gc.set_threshold(0, 10, 10)
    look_seldom()
    assert gc.get_threshold()[0] == 0
