"""What those who watch a run in one role are shown: the newest frame, and the whole view where one needs it.

Deltas are passed on as they come. They are put together with the snapshot before them only when somebody
needs the whole: who joins, who has missed one, or a check of the worker's. That is done once for each frame.
Where more of them wait than the whole is worth, they are dropped, and who needs it is sent the worker's next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import orjson

from django_livesim.protocol import frames
from django_livesim.protocol.mirror import Mirror

LOT = 2**16  # characters of deltas that are put together at once, and of a view that is kept up in lots
NONE = (-1, -1)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What is shown of one role's view at a tick; `(epoch, seq)` says which of two is newer."""

    role: str
    epoch: int
    seq: int
    tick: int
    text: str = ""
    """The snapshot; empty where there is the delta alone."""
    prev: int | None = None
    delta: str = ""
    """What leads there from the frame `prev` of the same epoch, where there is such."""
    check: bool = False
    """Whether the delta says what its result is to be."""

    @cached_property
    def number(self) -> tuple[int, int]:
        return self.epoch, self.seq

    @cached_property
    def base(self) -> tuple[int, int] | None:
        """To whom has been shown the frame of this number, the delta is enough; None where there is none."""
        return (self.epoch, self.prev) if self.delta and self.prev is not None else None

    def shows_the_same(self, other: Frame) -> bool:
        """Whether only the number differs, as with one that was asked for to be sure."""
        if (self.epoch, self.tick) != (other.epoch, other.tick) or not (self.text and other.text):
            return False
        return self.text.partition('"state":')[2] == other.text.partition('"state":')[2]


class Feed:
    """Used in its hub's loop. `ask` is called where somebody needs a whole frame, and there is none."""

    def __init__(self, ask: Callable[[], None] = lambda: None) -> None:
        self.newest: Frame | None = None
        self.number = NONE
        """Of the last one that was taken, also where that has been forgotten since."""
        self.shown = 0
        """How often all were to be shown the newest."""
        self.failed = 0
        """Checks that failed, and deltas that did not fit."""
        self._heard = NONE
        self._ask = ask
        self._asked = False
        self._waiting: list[str] = []
        self._forget()

    @property
    def misses(self) -> bool:
        """Whether one was lost, or somebody needs a whole frame."""
        return self._asked or self._heard > (self.newest.number if self.newest else NONE)

    def take(self, frame: Frame) -> bool:
        """Make a newer frame the newest; False where it is not newer, or needs one that is missing."""
        self._heard = max(self._heard, frame.number)
        if frame.number <= self.number:
            return False
        if not frame.text and (self.newest is None or frame.base != self.newest.number):
            return False
        self.newest, self.number = frame, frame.number
        if frame.text:
            self._begin(frame.text)
        elif self._can:
            self._keep(frame.delta, frame.check)
        return self.newest is not None

    def _begin(self, text: str) -> None:
        self._forget()
        self._waiting, self._size, self._asked = [text], len(text), False
        self._whole, self._can = text, True

    def _keep(self, text: str, check: bool) -> None:
        """To be put together, unless that has become more than to ask for the whole."""
        self._waiting.append(text)
        self._length += len(text)
        self._whole = ""
        if check or (self._length > LOT >= self._size):
            self._catch_up()
        elif self._length > max(LOT, 2 * self._size):
            self._forget()

    def whole(self) -> str:
        """The newest frame as a snapshot; empty where there is none, which is then asked for."""
        if not self._whole and self.newest is not None and self._can and self._catch_up():
            newest, picture = self.newest, self._mirror.picture
            if picture is not None:
                body = orjson.dumps(picture.state)
                tables = orjson.dumps(picture.tables) if picture.tables else b""
                self._whole = frames.snapshot(*newest.number, newest.tick, body, tables)
        if not self._whole and self._heard > NONE and not self._asked:
            self._asked = True
            self._ask()
        return self._whole

    def _catch_up(self) -> bool:
        """Put together what waits; where that fails, everything is forgotten but the number."""
        waiting, self._waiting, self._length = self._waiting, [], 0
        try:
            fits = all(self._mirror.take(orjson.loads(text)) for text in waiting)
        except (ValueError, KeyError, TypeError, AttributeError):  # it is no frame
            fits = False
        if not fits:
            self.failed += 1
            self.newest = None
            self._forget()
        return fits

    def _forget(self) -> None:
        """The whole cannot be put together any more."""
        self._mirror = Mirror()
        self._waiting = []
        self._length = 0  # of the deltas that wait,
        self._size = 0  # and of the snapshot that they began with
        self._whole = ""
        self._can = False
