"""What those who watch a run in one role are shown: the newest frame, and the whole view where one needs it.

Deltas are passed on as they come. They are put together with the snapshot before them only when somebody
needs the whole: who joins, who has missed one, or a check of the worker's. That is done once for each frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from django_livesim.protocol import frames
from django_livesim.protocol.mirror import Mirror

MOST = 256  # deltas that wait to be put together


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

    @property
    def number(self) -> tuple[int, int]:
        return self.epoch, self.seq

    def follows(self, number: tuple[int, int]) -> bool:
        """Whether the delta is all that somebody needs who has been shown that one."""
        return bool(self.delta) and number == (self.epoch, self.prev)

    def shows_the_same(self, other: Frame) -> bool:
        """Whether only the number differs, as with one that was asked for to be sure."""
        if (self.epoch, self.tick) != (other.epoch, other.tick) or not (self.text and other.text):
            return False
        return self.text.partition('"state":')[2] == other.text.partition('"state":')[2]


class Feed:
    """Used in its hub's loop."""

    def __init__(self) -> None:
        self.newest: Frame | None = None
        self._mirror = Mirror()
        self._waiting: list[str] = []
        self._whole = ""

    def take(self, frame: Frame) -> bool:
        """Make a newer frame the newest; False where it needs one that is missing, and is not shown."""
        if frame.text:
            self._waiting, self._mirror = [frame.text], Mirror()
            self._whole = frame.text
        elif self.newest is None or not frame.follows(self.newest.number):
            return False
        else:
            self._waiting.append(frame.delta)
            self._whole = ""
        self.newest = frame
        if frame.check or len(self._waiting) > MOST:
            return self._catch_up()
        return True

    def whole(self) -> str:
        """The newest frame as a snapshot; empty where there is none."""
        if not self._whole and self.newest is not None and self._catch_up():
            picture = self._mirror.picture
            assert picture is not None
            body = orjson.dumps(picture.state)
            tables = orjson.dumps(picture.tables) if picture.tables else b""
            self._whole = frames.snapshot(*self.newest.number, self.newest.tick, body, tables)
        return self._whole

    def _catch_up(self) -> bool:
        """Put together what waits; where that fails, everything is forgotten."""
        waiting, self._waiting = self._waiting, []
        if all(self._mirror.take(orjson.loads(text)) for text in waiting):
            return True
        self.newest, self._mirror, self._whole = None, Mirror(), ""
        return False
