"""When the next step is due."""

from __future__ import annotations


class Pace:
    """A steady beat that forgives lateness but does not make up for it in a burst.

    A step that comes up to one period late keeps the beat, so the mean rate
    holds; one that comes later moves the beat, and the periods passed over
    are counted in `late`.
    """

    def __init__(self, tick_rate: float) -> None:
        self.period = 1.0 / tick_rate
        self.due = 0.0
        self.late = 0

    def start(self, now: float) -> None:
        """The next step is due now."""
        self.due = now

    def stepped(self, now: float, speed: float) -> None:
        """A step has been made; `speed` 0 is as fast as possible."""
        if speed <= 0:
            self.due = now
            return
        period = self.period / speed
        self.due += period
        if now > self.due + period:
            self.late += int((now - self.due) / period)
            self.due = now

    def slept(self, now: float, seconds: float, speed: float) -> None:
        """An own loop sleeps for `seconds` of simulated time from now."""
        self.due = now if speed <= 0 else now + seconds / speed
