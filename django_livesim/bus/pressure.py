"""How many frames a second a hub asks for, where its process cannot pass on all that come."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

WINDOW = 1.0  # seconds over which it is counted who is passed over, at least,
PAUSE = 2.0  # seconds without a frame after which it is counted anew
LEAST = 8  # and frames that come in them
MISSED = 1 / 8  # of its frames: a viewer that is passed over for more is pressed
STEP = 0.75  # what a rate is lowered by, and raised by again
FLOOR = 4.0  # frames a second below which nothing is lowered: so few are no burden
CALM = 2.0  # seconds without pressure before a rate is raised,
LONGEST_CALM = 16.0  # and twice as many each time that was too much, up to so many


class Pressure:
    """Lowers the rate step by step while its process has no time for most viewers, and raises it again.

    Who reads or acknowledges slowly is passed over, as always, which is no
    sign of it: the others get all there is. A viewer that takes nothing at all
    counts for nothing. Nothing is asked twice that had no effect,
    as where another process shows the same run and wants more.

    One window in which most are passed over may be a moment's; two are pressure.
    The caller says when a frame has come (`came`), and has it judged (`judge`)
    where that says so. It knows no clock of its own.
    """

    def __init__(self) -> None:
        self.limit = math.inf
        """Frames a second."""
        self._full = 0.0  # frames a second that came before there was a limit
        self._began = self._last = -math.inf
        self._frames: Counter[str] = Counter()  # that have come since it began to count, by role
        self._pressed = False  # whether most were passed over in the last window
        self._changed_at = 0.0  # or was pressed, though nothing could be changed
        self._calm = CALM
        self._tries = False
        """Whether it was raised, and not pressed since."""

    def came(self, role: str, now: float) -> bool:
        """A frame has come. Whether enough have, for long enough."""
        if now - self._last > PAUSE:
            self._began = now
            self._frames.clear()
        else:
            self._frames[role] += 1
        self._last = now
        return now - self._began >= WINDOW and max(self._frames.values()) >= LEAST

    def judge(self, viewers: Iterable[tuple[int, int]], now: float) -> float:
        """The limit from now on.

        Of each viewer: how many frames it was sent since the last time, and for how many it was passed over.
        """
        fps = max(self._frames.values()) / (now - self._began)
        self._began = now
        self._frames.clear()
        viewers = [(sent, missed) for sent, missed in viewers if sent]
        was_pressed, self._pressed = self._pressed, _most_miss(viewers, MISSED)
        if self._pressed:
            if was_pressed or self.limit < math.inf:
                self._press(fps, now)
        elif self.limit < math.inf and self._is_calm(now) and not _most_miss(viewers, 0.0):
            self._raise(now)
        return self.limit

    def _is_calm(self, now: float) -> bool:
        return now - self._changed_at >= (CALM if self._tries else self._calm)

    def _press(self, fps: float, now: float) -> None:
        if self._tries:
            self._calm = min(LONGEST_CALM, 2 * self._calm)
        self._tries, self._changed_at = False, now
        if self.limit == math.inf:
            self._full = self.limit = fps
        had_effect = fps * (1 + STEP) / 2 <= self.limit
        if had_effect and fps > FLOOR:
            self.limit = max(FLOOR, STEP * (self.limit if fps >= STEP * self.limit else fps))

    def _raise(self, now: float) -> None:
        if self._tries:
            self._calm = CALM
        self._tries, self._changed_at = True, now
        self.limit /= STEP
        if self.limit >= self._full:
            self.limit = math.inf


def _most_miss(viewers: list[tuple[int, int]], share: float) -> bool:
    """Whether most of them miss more than such a share of their frames."""
    return 2 * sum(missed > share * (sent + missed) for sent, missed in viewers) > len(viewers)
