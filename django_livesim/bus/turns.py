"""Whose turn it is to send: all who have something, one after the other, in few calls of the loop.

With a thousand viewers of a frame, a call of the loop for each costs as much as what is done in it, and so
does to look at each viewer twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from contextvars import Context
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from django_livesim.bus.feed import Feed
    from django_livesim.bus.viewer import Viewer

AT_ONCE = 256  # viewers after whom the loop may do something else

Turn = Callable[[], int | None]
"""What is done in one; it gives how many viewers had theirs, None for one."""


class Turns:
    """Those of the loop that runs here. What asks for one only notes, and returns."""

    def __init__(self) -> None:
        self._waiting: deque[Turn] = deque()
        self._planned = False
        self._context = Context()  # not that of whoever happens to ask
        self._rounds: dict[Feed, _Round] = {}

    def ask(self, turn: Turn) -> None:
        """Have it called soon, outside of all tasks."""
        self._waiting.append(turn)
        if not self._planned:
            self._plan()

    def show(self, viewers: Collection[Viewer], feed: Feed) -> None:
        """Have all of them shown the feed's newest frame: that which is the newest then.

        Whoever still waits for the one before it is shown this one, and then all others are.
        """
        feed.shown += 1
        if under_way := self._rounds.get(feed):
            under_way.again = True
        else:
            self._rounds[feed] = _Round(self, viewers, feed)
            self.ask(self._rounds[feed].go_on)

    def ended(self, feed: Feed) -> None:
        """All have been shown its newest frame."""
        del self._rounds[feed]

    def _plan(self) -> None:
        self._planned = True
        asyncio.get_running_loop().call_soon(self._take, context=self._context)

    def _take(self) -> None:
        waiting, taken = self._waiting, 0
        try:
            while waiting and taken < AT_ONCE:
                taken += waiting.popleft()() or 1
        finally:
            self._planned = False
            if waiting:
                self._plan()


class _Round:
    """A feed's newest frame on its way to many, some of whom have had it."""

    def __init__(self, turns: Turns, viewers: Collection[Viewer], feed: Feed) -> None:
        self._turns, self._viewers, self._feed = turns, viewers, feed
        self._left = deque(viewers)
        self.again = False
        """Whether there is a newer one than some have been shown."""

    def go_on(self) -> int:
        """Show it to the next of them; how many these were."""
        left, count = self._left, 0
        try:
            while left and count < AT_ONCE:
                count += 1
                left.popleft().show_now(self._feed)
        finally:
            if not left and self.again:
                self.again = False
                left.extend(self._viewers)
            if left:
                self._turns.ask(self.go_on)
            else:
                self._turns.ended(self._feed)
        return count


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def turns() -> Turns:
    """Those of the loop that runs here."""
    loop = asyncio.get_running_loop()
    found = _turns.get(loop)
    return found or _turns.setdefault(loop, Turns())
