"""When the database is looked at: by the poll, by rings, and for what an earlier look has left."""

from __future__ import annotations

from collections.abc import Callable

from django_livesim.protocol.records import Poll, Write
from django_livesim.runtime.clock import Clock

PLACES = 100  # answers after which a look that was full is made again: so many others can be read

Looked = Callable[[Poll | None], None]


class Looking:
    """One look at a time; the step thread's."""

    def __init__(
        self, clock: Clock, period: float, look: Callable[[Looked], None], take: Callable[[Poll], None]
    ) -> None:
        """`look` begins one, and has its answer told, soon; `take` gets what it found."""
        self.due = clock.now()
        self.full = False
        """Whether the last one read as many commands as it may."""
        self._clock = clock
        self._period = period
        self._look = look
        self._take = take
        self._under_way = False
        self._again = False
        self._answered = 0  # how many have been answered since

    def ring(self) -> None:
        """A ring during a look asks for one more: it may have looked before what it rang for."""
        self._again = self._under_way
        self.look()

    def look(self) -> None:
        """Look into the database, unless a look is under way."""
        if self._under_way:
            return
        self._under_way, self._again = True, False
        self._answered = 0
        self.postpone()
        self._look(self._looked)

    def _looked(self, poll: Poll | None) -> None:
        self._under_way = False
        if poll is not None:
            self._take(poll)
            self._again = self._again or poll.more
        if self._again:
            self.look()

    def postpone(self) -> None:
        """None is due before a period has gone by."""
        self.due = self._clock.now() + self._period

    def written(self, write: Write, *, used_up: bool) -> None:
        """A write has committed; `used_up` where all that its run was given is answered, and more waits."""
        self._expect_next(write)
        self._expect_more(write, used_up)

    def _expect_next(self, write: Write) -> None:
        """Look in time for the next of what is repeated, which the store has made with this write."""
        if periods := [each.entry.every for each in write.verdicts if each.entry.every]:
            self.due = min(self.due, self._clock.now() + min(periods) / 2)

    def _expect_more(self, write: Write, used_up: bool) -> None:
        """Look again once there is room for what a full look has left. What nobody answers asks for none."""
        self._answered += len(write.verdicts)
        if self.full and ((write.verdicts and used_up) or self._answered >= PLACES):
            self.ring()
