"""Which runs of blocking loops get a child, and when another."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from django_livesim.worker.child import NOT_HAD
from django_livesim.worker.loop_places import AT_ONCE, MOST, LoopPlaces
from django_livesim.worker.notes import Note
from tests.worker.test_places import HARM, death

RUN = uuid.uuid4()


def ended(places: LoopPlaces, asked: bool = False, **facts: Any) -> None:
    """The one child there is has ended."""
    (place,) = places
    place.has_lost(death(**facts), asked=asked)
    places.tidy()


class Stuck:
    """A child whose code was called a second ago."""

    def __init__(self) -> None:
        self.notes = self
        self.sign: Any = None

    def signed(self) -> Any:
        return self.sign

    def noted(self) -> list[Note]:
        return [Note(run=RUN, epoch=1, since=time.monotonic() - 1, limit=0.0, thread=1)]


def test_each_run_gets_one_place_and_no_more_than_there_are():
    places = LoopPlaces(3)
    places.take([RUN, RUN, *(uuid.uuid4() for _ in range(5))])
    assert len(places.runs) == 3 and all(place.is_due for place in places)
    assert LoopPlaces(None).most == MOST


def test_few_children_start_at_once_and_the_next_when_those_have_registered():
    places, runs = LoopPlaces(None), [uuid.uuid4() for _ in range(10)]
    places.take(runs)
    for place in places:
        place.child = Stuck()  # type: ignore[assignment]
    places.take(runs)
    assert len(places.runs) == AT_ONCE
    for place in places:
        place.child.notes.sign = True
    places.take(runs)
    assert len(places.runs) == 2 * AT_ONCE


def test_one_look_is_under_way_and_the_end_of_a_child_asks_for_the_next():
    places = LoopPlaces(3)
    assert places.is_due
    places.look()
    assert not places.is_due
    places.take([RUN])
    assert not places.is_due
    ended(places, status=0)
    assert places.is_due and not places.runs


def test_a_loop_that_has_not_slept_for_the_grace_ignores_its_end_once_that_has_waited_as_long():
    places = LoopPlaces(3)
    places.take([RUN])
    (place,) = places
    assert not place.is_stuck(0.5)
    place.child = Stuck()  # type: ignore[assignment]
    assert place.is_stuck(0.5) and not place.is_stuck(60)
    assert not place.ignores_its_end(-1)
    for _ in range(2):
        places.take([], {RUN})
    assert place.ignores_its_end(-1) and not place.ignores_its_end(60)
    places.take([], set())
    assert not place.ignores_its_end(-1)


@pytest.mark.parametrize(
    ("facts", "again"),
    [
        ({"status": 0}, True),
        ({"harms": (HARM,)}, True),
        ({"asked": True, "status": 1}, True),
        ({"status": 1}, False),
        ({"status": NOT_HAD}, False),
        ({"status": 1, "worker": None}, False),
    ],
)
def test_a_run_whose_children_fare_badly_in_a_row_waits_and_no_other(facts, again):
    places = LoopPlaces(3)
    for _ in range(2):
        places.take([RUN])
        ended(places, **facts)
    places.take([RUN])
    assert (places.runs == [RUN]) == again
    other = uuid.uuid4()
    places.take([other])
    assert other in places.runs
