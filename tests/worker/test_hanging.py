"""From when on a parent ends a process for code that does not come back."""

from __future__ import annotations

import uuid

import pytest

from django_livesim.worker.hanging import Hanging, beyond
from django_livesim.worker.notes import Note


def note(since: float, limit: float = 0.5) -> Note:
    return Note(run=uuid.uuid4(), epoch=1, since=since, limit=limit, thread=1)


def ended(hanging: Hanging, called: Note, now: float, *, most: float = 100.0) -> float:
    """When it has been ended, where the parent looks when it is due."""
    while hanging.look([called], now, stopped=False) is None:
        assert now < most
        now = hanging.due
    return now


@pytest.mark.parametrize(("limit", "end"), [(0.1, 0.2), (0.5, 0.625), (4.0, 5.0), (60.0, 75.0)])
def test_code_is_given_its_limit_and_a_moment_for_the_alarm(limit, end):
    assert ended(Hanging(), note(0.0, limit), 0.0) == pytest.approx(end, abs=0.01)


def test_a_step_begun_between_two_looks_is_ended_no_later():
    assert ended(Hanging(), note(0.0), 0.2) == pytest.approx(0.625, abs=0.01)


def test_what_has_no_limit_and_what_comes_back_is_never_ended():
    hanging = Hanging()
    for now in range(100):
        assert hanging.look([note(0.0, 0.0), note(now - 0.4)], float(now), stopped=False) is None
    assert hanging.look([note(0.0, 0.0)], 1000.0, stopped=False) is None
    assert hanging.due == float("inf")


def test_time_in_which_the_parent_has_not_looked_ends_nothing():
    hanging, called = Hanging(), note(0.0)
    for now in (100.0, 200.0):
        assert hanging.look([called], now, stopped=False) is None
    assert ended(hanging, called, 200.0, most=201.0) == pytest.approx(200.075, abs=0.01)


def test_code_that_was_stopped_has_all_of_its_time_again():
    hanging, called = Hanging(), note(0.0, 4.0)
    assert hanging.look([called], 3.0, stopped=False) is None
    assert hanging.look([called], 50.0, stopped=True) is None
    assert ended(hanging, called, 50.2) == pytest.approx(50.0 + 4.0 + beyond(4.0), abs=0.01)
