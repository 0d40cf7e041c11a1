"""The rate that a hub asks for; its process is a number of frames a second that each viewer can be sent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_livesim.bus.pressure import FLOOR, LONGEST_CALM, STEP, Pressure


class Process:
    """Viewers of whom each can be sent so many frames a second, and a worker that shows so many."""

    def __init__(self, *able: float, shown: float = 20.0) -> None:
        self.able = list(able)
        self.shown = shown
        self.others = 0.0  # frames a second that another process asks for
        self.pressure = Pressure()
        self.now = 0.0
        self.limits: list[float] = []
        self._sent = [0.0] * len(able)
        self._came = 0

    @property
    def fps(self) -> float:
        return min(self.shown, max(self.pressure.limit, self.others))

    def run_for(self, seconds: float) -> float:
        """The limit after that."""
        until = self.now + seconds
        while self.now < until:
            for viewer, able in enumerate(self.able):
                self._sent[viewer] += min(1.0, able / self.fps)
            self._came += 1
            self.now += 1.0 / self.fps
            if self.pressure.came("view", self.now):
                self._judge()
        return self.pressure.limit

    def _judge(self) -> None:
        sent = [int(each + 1e-6) for each in self._sent]
        self.pressure.judge([(each, self._came - each) for each in sent], self.now)
        self._sent, self._came = [have - each for have, each in zip(self._sent, sent, strict=True)], 0
        self.limits.append(self.pressure.limit)


def test_nothing_is_limited_where_all_is_passed_on():
    process = Process(*[100.0] * 10)
    assert process.run_for(60) == math.inf


def test_a_process_that_cannot_pass_on_all_asks_step_by_step_for_what_it_can():
    process = Process(*[6.0] * 10, shown=20.0)
    assert 6.0 * STEP < process.run_for(15) <= 6.0 / STEP
    assert process.limits[:4] == [math.inf, *(pytest.approx(20.0 * STEP**step) for step in (1, 2, 3))]


def test_it_asks_for_all_again_once_it_can():
    process = Process(*[3.0] * 10)
    process.run_for(120)
    process.able = [100.0] * 10
    assert process.run_for(2 * LONGEST_CALM) == math.inf
    assert max(limit for limit in process.limits if limit < math.inf) < 20.0


@pytest.mark.parametrize(
    ("slow", "of", "limited"), [(1, 2, False), (1, 10, False), (5, 10, False), (6, 10, True)]
)
def test_only_where_most_are_passed_over_all_are_slowed(slow, of, limited):
    process = Process(*[5.0] * slow, *[100.0] * (of - slow))
    assert (process.run_for(20) < math.inf) is limited


def test_viewers_that_take_nothing_slow_nobody():
    process = Process(*[0.0] * 9, 100.0)
    assert process.run_for(60) == math.inf


def test_a_frame_missed_now_and_then_is_no_pressure():
    process = Process(*[18.0] * 10, shown=20.0)
    assert process.run_for(60) == math.inf


def test_it_is_not_lowered_again_and_again_where_that_changes_nothing():
    process = Process(*[5.0] * 10, shown=20.0)
    process.others = 20.0
    assert process.run_for(300) == pytest.approx(20.0 * STEP)


def test_a_pause_is_no_slow_rate():
    process = Process(*[5.0] * 10, shown=20.0)
    process.run_for(0.5)
    process.now += 3600
    assert process.run_for(2) >= 20.0 * STEP**2 * 0.99


@settings(max_examples=60, deadline=None)
@given(shown=st.floats(0.5, 60.0), able=st.floats(FLOOR, 80.0), viewers=st.integers(1, 3))
def test_it_settles_within_a_step_of_what_can_be_passed_on(shown, able, viewers):
    process = Process(*[able] * viewers, shown=shown)
    process.run_for(60)
    begun = len(process.limits)
    process.run_for(120)
    settled = {min(limit, shown) for limit in process.limits[begun:]} or {shown}
    if able >= shown:
        assert settled == {shown}
    assert max(settled) * STEP <= min(settled) * 1.001
    assert min(settled) <= max(able, FLOOR) / STEP
    assert max(settled) >= min(able, shown) * STEP * 0.999
