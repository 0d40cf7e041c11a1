"""When the next child comes to a place whose child has ended."""

from __future__ import annotations

import math
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from django_livesim.store.striking import Harm
from django_livesim.worker import places
from django_livesim.worker.children import Death, crashed_thread, describe
from django_livesim.worker.places import Place

HARM = Harm(run=uuid.uuid4(), epoch=1, why="ended its process")


def death(**facts: Any) -> Death:
    given: dict[str, Any] = {"pid": 1, "status": 1, "worker": uuid.uuid4(), "harms": (), "explained": False}
    return Death(**given | {"seconds": 1.0} | facts)


NOW = 100.0


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "time", SimpleNamespace(monotonic=lambda: NOW))


def pause(place: Place) -> float:
    return max(0.0, place.due - NOW)


def test_children_that_fare_badly_in_a_row_come_after_growing_pauses():
    place = Place(reloads=False)
    pauses = []
    for _ in range(10):
        place.has_lost(death(), asked=False)
        pauses.append(pause(place))
    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    place.has_lost(death(seconds=61.0), asked=False)
    assert pause(place) == 0


@pytest.mark.parametrize("facts", [{"harms": (HARM,)}, {"harms": (HARM,), "status": 0}])
def test_where_a_run_is_to_blame_the_next_one_comes_at_once(facts):
    place = Place(reloads=False)
    for _ in range(5):
        assert place.has_lost(death(**facts), asked=False) == "the next one comes at once"
        assert place.is_due


def test_one_that_left_unasked_is_not_replaced_not_even_for_new_code():
    place = Place(reloads=True)
    place.has_lost(death(status=0), asked=False)
    place.renew()
    assert place.is_over


def test_one_that_was_asked_to_leave_for_new_code_is_replaced_at_once():
    place = Place(reloads=True)
    place.has_lost(death(status=0), asked=True)
    assert place.is_due and not place.is_over


def test_one_that_could_not_begin_waits_for_other_code_under_reload():
    place = Place(reloads=True)
    place.has_lost(death(worker=None), asked=False)
    assert (place.is_due, place.is_over, place.due) == (False, False, math.inf)
    place.renew()
    assert place.is_due


def test_a_status_is_told_in_words():
    assert [describe(status) for status in (3, -6, -63)] == ["with status 3", "by SIGABRT", "by signal 63"]


def test_the_thread_of_a_crash_is_found_in_what_it_left():
    dumped = (
        "Fatal Python error: Segmentation fault\n\nThread 0x0000000000000b00 (most recent call first):\n\n"
    )
    assert crashed_thread(dumped) is None
    assert crashed_thread(dumped + "Current thread 0x0000000000000a00 (most recent call first):\n") == 0xA00
