"""When the next step is due, and how many are in a while."""

from __future__ import annotations

WINDOW = 0.5  # seconds of stepping after which a rate is known anew
ENOUGH = 10  # ticks from which a rate is told before that
UNKNOWN = 25  # ticks that are thought to come at full speed before any have been made


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
        self.rate = Rate()
        self._left: float | None = None  # simulated seconds, while held

    def hold(self, now: float, speed: float) -> None:
        """No step is due until `go`."""
        if self._left is None:
            self._left = max(0.0, self.due - now) * speed

    def go(self, now: float, speed: float) -> None:
        """Go on at `speed`; 0 is as fast as possible."""
        left, self._left = self._left or 0.0, None
        self.due = now if speed <= 0 else now + left / speed
        self.rate = Rate()

    def stepped(self, now: float, speed: float) -> None:
        """A step has been made."""
        self.rate.ticked(now)
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
        self.rate.ticked(now)
        self.period = seconds
        if self._left is not None:
            self._left = seconds
        else:
            self.due = now if speed <= 0 else now + seconds / speed

    # -- looking ahead ------------------------------------------------------------------------

    def ticks_within(self, seconds: float, now: float, speed: float) -> int:
        """How many steps it will make in so long a time, by its beat and by the rate it really makes."""
        wait, period = self._wait(now, speed), self._real_period(speed)
        if wait >= seconds:
            return 0
        return int((seconds - wait) / period) + 1 if period else UNKNOWN

    def time_for(self, ticks: int, now: float, speed: float) -> float:
        """Seconds until the step after these comes due; 0 where that is not known."""
        return self._wait(now, speed) + ticks * self._real_period(speed)

    def _wait(self, now: float, speed: float) -> float:
        return max(0.0, self.due - now) if speed > 0 else 0.0

    def _real_period(self, speed: float) -> float:
        """Seconds from step to step, 0 where nothing is known of them."""
        beat = self.period / speed if speed > 0 else 0.0
        return max(beat, 1.0 / self.rate.known if self.rate.known else 0.0)


class Rate:
    """Ticks a second of real time, as they were made lately; waits that `rests` tells of do not count."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._ticks = 0
        self._seconds = 0.0
        self._known = 0.0

    def ticked(self, now: float) -> None:
        if self._last is not None:
            self._ticks += 1
            self._seconds += now - self._last
            if self._seconds >= WINDOW:
                self._known = self._ticks / self._seconds
                self._ticks, self._seconds = 0, 0.0
        self._last = now

    def rests(self) -> None:
        """It waits for something else than its own steps; the time until the next tick does not count."""
        self._last = None

    @property
    def known(self) -> float:
        """0 where there is nothing to tell it from yet."""
        if self._known or self._ticks < ENOUGH or not self._seconds:
            return self._known
        return self._ticks / self._seconds
