"""When the next step is due."""

from __future__ import annotations


class Pace:
    """A steady beat that forgives lateness but does not make up for it in a burst.

    A step that comes up to one period late keeps the beat, so the mean rate
    holds; one that comes later moves the beat, and the periods passed over
    are counted in `late`. What is left of a wait when the beat is held is
    waited for when it goes on, at the speed of then.
    """

    def __init__(self, tick_rate: float) -> None:
        self.period = 1.0 / tick_rate
        self.due = 0.0
        self.late = 0
        self._left: float | None = None  # simulated seconds, while held

    def hold(self, now: float, speed: float) -> None:
        """No step is due until `go`."""
        if self._left is None:
            self._left = max(0.0, self.due - now) * speed

    def go(self, now: float, speed: float) -> None:
        """Go on at `speed`; 0 is as fast as possible."""
        left, self._left = self._left or 0.0, None
        self.due = now if speed <= 0 else now + left / speed

    def stepped(self, now: float, speed: float) -> None:
        """A step has been made."""
        if speed <= 0 or self._left is not None:
            self.due = now
            return
        period = self.period / speed
        self.due += period
        if now > self.due + period:
            self.late += int((now - self.due) / period)
            self.due = now

    def slept(self, now: float, seconds: float, speed: float) -> None:
        """An own loop sleeps for `seconds` of simulated time from now."""
        if self._left is not None:
            self._left = seconds
        else:
            self.due = now if speed <= 0 else now + seconds / speed
