"""Code that does not come back: when it is interrupted, and when its process is ended for it.

At its limit the alarm rings (`alarm`): code in Python is broken off there, and notes it. Where nothing is
noted a moment later, that did no good, as with code in C; so the parent ends the process.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from django_livesim.worker.notes import Note

SHARE = 0.25  # of the limit,
LEAST = 0.1  # and seconds, for the alarm to have its effect
SOON = 0.001  # seconds between two looks, at least
UNSEEN = 0.05  # seconds between two looks that count; what is beyond says nothing of the child


def beyond(limit: float) -> float:
    """Seconds beyond its limit after which code that is still called has its process ended."""
    return max(LEAST, SHARE * limit)


@dataclass
class _Seen:
    """One note, as it was seen so far; moments by `time.monotonic`."""

    start: float
    """Since when it is called, or was seen to be stopped last: then it has all of its time again."""
    late: float
    """Seconds beyond its limit in which this process has looked."""
    last: float


class Hanging:
    """The code of one child that has a limit, as its parent has seen it; the parent's main thread has it."""

    def __init__(self) -> None:
        self.due = math.inf
        """When to look again, by `time.monotonic`; infinite: when it suits."""
        self._seen: dict[Note, _Seen] = {}

    def look(self, noted: Iterable[Note], now: float, *, stopped: bool) -> Note | None:
        """What is noted `now`: that which is past its time, where there is any.

        Time beyond the limit counts as far as this process has looked, and the child was not `stopped`: where
        all of them stood still, nobody hung.
        """
        before, self._seen, self.due = self._seen, {}, math.inf
        for note in noted:
            if note.limit > 0:
                seen = before.get(note) or _Seen(note.since, 0.0, now)
                self._seen[note] = seen
                self._count(note, seen, now, stopped)
        return next((note for note, seen in self._seen.items() if seen.late >= beyond(note.limit)), None)

    def _count(self, note: Note, seen: _Seen, now: float, stopped: bool) -> None:
        if stopped:
            seen.start, seen.late = now, 0.0
        else:
            end = seen.start + note.limit
            seen.late += max(0.0, min(now - seen.last, now - end, UNSEEN))
            left = min(UNSEEN, beyond(note.limit) - seen.late) if now >= end else end - now
            self.due = min(self.due, now + max(left, SOON))
        seen.last = now
