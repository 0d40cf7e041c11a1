"""Who watches a run in one role, and how often they want to be shown it."""

from __future__ import annotations

import math

from django_livesim.runtime.ports import FrameOut

EARLY = 0.25  # of a period: so much before its time a frame is on time
SLOWEST = 0.001  # frames a second: who asks for fewer, but for some, gets so many


class Beat:
    """A rate that is kept on average; what was missed is not made up for in a burst."""

    def __init__(self) -> None:
        self._at = -math.inf  # the last time, as far as the rate is concerned

    def hurry(self) -> None:
        """The next one is due at once."""
        self._at = -math.inf

    def due(self, rate: float, early: float = EARLY) -> float:
        """From when on there may be another, at `rate` a second; 0: never."""
        return self._at + (1.0 - early) / rate if rate else math.inf

    def take(self, now: float, rate: float) -> bool:
        """Whether there may be one now, which is then counted."""
        if now < self.due(rate):
            return False
        period = 1.0 / rate
        self._at = max(self._at + period, now - period / 2)
        return True


class Interest:
    """The hubs that show a run in one role.

    Soft state: each says so again and again, or is forgotten. What was due and
    came too early for all of them is owed, and shown when it is time.
    """

    def __init__(self) -> None:
        self._hubs: dict[str, tuple[float, float]] = {}  # until when, and frames a second
        self._fps = 0.0
        self._beat = Beat()
        self.owes = False
        """Whether something is to be shown as soon as it is time."""
        self.kept: FrameOut | None = None
        """What is to be shown while the state is out of reach; None where nothing is, or that is old."""

    def tell(self, hub: str, fps: float, until: float) -> None:
        """A hub's viewers want at most so many frames a second; infinite: all there are."""
        self._hubs[hub] = (until, max(fps, SLOWEST) if fps > 0 else 0.0)
        self._count()

    def lasts(self, now: float) -> bool:
        """Whether somebody watches; who has not said so again is forgotten."""
        self._hubs = {hub: told for hub, told in self._hubs.items() if told[0] > now}
        self._count()
        return bool(self._hubs)

    def _count(self) -> None:
        before, self._fps = self._fps, max((fps for _, fps in self._hubs.values()), default=0.0)
        if self._fps > before:
            self._beat.hurry()

    def owe(self) -> None:
        """There is something new to be shown when it is time, whatever may become due before."""
        self.owes, self.kept = True, None

    @property
    def owed_at(self) -> float:
        """When what is owed is to be shown, unless something newer is due before."""
        return self._beat.due(self._fps, early=0.0) if self.owes else math.inf

    def takes(self, now: float, *, asked: bool, due: bool) -> bool:
        """Whether there is a frame now: one that was `asked` for always, one that is `due` by their wish."""
        if not (asked or due or self.owes):
            return False
        takes = asked or self._beat.take(now, self._fps)
        if takes or due:
            self.kept = None
        self.owes = not takes
        return takes
