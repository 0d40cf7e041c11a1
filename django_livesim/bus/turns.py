"""Whose turn it is to send: all who have something, one after the other, in few calls of the loop.

With a thousand viewers of a frame, a call of the loop for each costs as much as what is done in it, and so
does to look at each viewer twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from django_livesim.bus.feed import Feed
    from django_livesim.bus.viewer import Viewer

AT_ONCE = 256  # viewers after whom the loop may do something else

Turn = Callable[[], int | None]
"""What is done in one; it gives how many viewers had theirs, None for one. It must not raise."""


class Turns:
    """Those of one loop. What asks for one only notes, and returns."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # In a context of its own: not in that of whoever happens to ask.
        self._call_soon = partial(loop.call_soon, self._take, context=Context())
        self._waiting: deque[Turn] = deque()
        self._planned = False

    def ask(self, turn: Turn) -> None:
        """Have it called soon, outside of all tasks."""
        self._waiting.append(turn)
        if not self._planned:
            self._planned = True
            self._call_soon()

    def show(self, viewers: Iterable[Viewer], feed: Feed) -> None:
        """Have all of them shown the feed's newest frame: that which is the newest then."""
        self.ask(_Round(self, list(viewers), feed))

    def _take(self) -> None:
        waiting, taken = self._waiting, 0
        try:
            while waiting and taken < AT_ONCE:
                taken += waiting.popleft()() or 1
        finally:
            self._planned = bool(waiting)
            if waiting:
                self._call_soon()


class _Round:
    """One frame on its way to many, some of whom have had it."""

    def __init__(self, turns: Turns, viewers: Iterable[Viewer], feed: Feed) -> None:
        self._turns = turns
        self._left = iter(viewers)
        self._feed, self._taken = feed, feed.taken

    def __call__(self) -> int:
        missed, count = self._feed.taken - self._taken, 0
        for count, viewer in enumerate(islice(self._left, AT_ONCE), 1):  # noqa: B007 - of the last of them
            viewer.show_now(self._feed, missed)
        if count == AT_ONCE:
            self._turns.ask(self)
        return count


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def turns() -> Turns:
    """Those of the loop that runs here."""
    loop = asyncio.get_running_loop()
    found = _turns.get(loop)
    return found or _turns.setdefault(loop, Turns(loop))
