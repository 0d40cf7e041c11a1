"""How fast a run has moved while it was watched, and a line of small bars that shows it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
KEPT = 60  # rates that are remembered
SPAN = 1.0  # seconds over which one rate is taken; workers tell ticks about once a second
IDLE = 5.0  # seconds without a new tick after which a run stands still


class Pace:
    """Rates of a run, in ticks per second of the watcher's clock."""

    def __init__(self) -> None:
        self.rates: deque[float] = deque(maxlen=KEPT)
        self._from: tuple[float, int] | None = None

    @property
    def rate(self) -> float | None:
        """The newest; None where nothing was measured yet."""
        return self.rates[-1] if self.rates else None

    def add(self, now: float, tick: int) -> None:
        """The run was at `tick` at `now`, in seconds. A tick before the last begins anew: it was rewound."""
        if self._from is None or tick < self._from[1]:
            self._from = (now, tick)
            return
        since, before = self._from
        if now - since < SPAN or (tick == before and now - since < IDLE):
            return
        self.rates.append((tick - before) / (now - since))
        self._from = (now, tick)

    def pause(self) -> None:
        """It does not move: what comes is measured anew."""
        self._from = None


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """The newest `width` values as bars from 0 to the greatest of them."""
    shown = list(values)[-width:]
    most = max(shown, default=0.0)
    if most <= 0:
        return BARS[0] * len(shown)
    return "".join(BARS[round(max(value, 0.0) / most * (len(BARS) - 1))] for value in shown)
