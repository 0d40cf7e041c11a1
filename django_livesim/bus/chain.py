"""From views to frames: a snapshot, or what has changed since the last one that was sent.

A chain is made at the very end of a worker's way, where nothing is passed over any more: each delta is from
what was last given to the channel layer. What the layer loses, hubs notice by the numbers, and ask.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import orjson

from django_livesim.protocol import delta, frames, tables
from django_livesim.protocol.mirror import Picture

SMALL = 1024  # bytes of a view up to which it is sent whole: a delta would not be cheaper
WORTH = 0.6  # of the view's bytes: a larger delta is not sent,
PATIENCE = 32  # and so many frames at most are sent whole before it is tried again
WHOLE_EVERY = 10.0  # seconds between two snapshots
CHECK_EVERY = 5.0  # seconds between two checks,
CHECKED = 2**16  # and as often that as the view has so many bytes: a check takes all of it apart


@dataclass(frozen=True, kw_only=True)
class View:
    """What one role sees at one moment, encoded; on its way to the channel layer."""

    role: str
    epoch: int
    seq: int
    tick: int
    body: bytes
    """What is in no table, as JSON."""
    tables: bytes = b""
    """The tables by name, as JSON; empty where there are none."""
    whole: bool = False
    """Whether somebody has asked for a snapshot."""

    def picture(self) -> Picture:
        return Picture(state=orjson.loads(self.body), tables=orjson.loads(self.tables or b"{}"))

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.body) + len(self.tables)

    @property
    def truths(self) -> bool:
        """Whether it may hold true or false."""
        return b"true" in self.body or b"false" in self.body


class Chain:
    """The frames of one group, one after the other, in one thread."""

    def __init__(self) -> None:
        self.used = 0.0
        """When it was last asked for a frame, by `time.monotonic`."""
        self._last: View | None = None
        self._picture: Picture | None = None
        """Of the last one, where that has been taken apart."""
        self._whole_due = 0.0
        self._check_due = 0.0
        self._pause = 0  # frames that are sent whole before a delta is tried again,
        self._pauses = 1  # and half of them after the next one that is too large

    def message(self, view: View) -> dict[str, Any]:
        """The frame of a view, as hubs get it: `text` is a snapshot, and `delta` leads there from `prev`.

        One of the two is there at least: with both, those who have `prev` need the delta alone. `check` says
        that the delta holds the check of what it leads to.
        """
        now = self.used = time.monotonic()
        last, self._last = self._last, view
        message: dict[str, Any] = {
            "type": "livesim.frame",
            "role": view.role,
            "epoch": view.epoch,
            "seq": view.seq,
            "tick": view.tick,
        }
        checks = now >= self._check_due
        text = self._delta(last, view, checks) if last is not None and self._may_follow(last, view) else ""
        if last is not None and text:
            message |= {"prev": last.seq, "delta": text, "check": checks}
            if checks:
                self._check_due = now + CHECK_EVERY * max(1.0, view.size / CHECKED)
        else:
            self._picture = None
        if not text or view.whole or now >= self._whole_due:
            self._whole_due = now + WHOLE_EVERY
            message["text"] = self._snapshot(view)
        return message

    def _snapshot(self, view: View) -> str:
        """With the rows of its tables in the order in which those have them who follow the deltas."""
        tables = view.tables
        if self._picture is not None and self._picture.tables:
            tables = orjson.dumps(self._picture.tables)
        return frames.snapshot(view.epoch, view.seq, view.tick, view.body, tables)

    def _may_follow(self, last: View, view: View) -> bool:
        """Whether a delta is to be tried."""
        if last.epoch != view.epoch or view.size <= SMALL:
            return False
        self._pause = max(0, self._pause - 1)
        return self._pause == 0

    def _delta(self, last: View, view: View, checks: bool) -> str:
        """Empty where it would not be worth it."""
        old, new = self._picture or last.picture(), view.picture()
        if not _fit(old, new):
            return ""
        patch, nulls = delta.diff(old.state, new.state, truths=last.truths or view.truths)
        changed, kept = {}, {}
        for name, table in new.tables.items():
            found, kept[name] = tables.diff(old.tables[name], table)
            if found:
                changed[name] = found
        self._picture = Picture(state=new.state, tables=kept)
        check = self._picture.check() if checks else None
        text = frames.delta(view.epoch, last.seq, view.seq, view.tick, patch, nulls, changed, check)
        if len(text) > WORTH * view.size:
            self._pauses = min(PATIENCE, 2 * self._pauses)
            self._pause = self._pauses
            return ""
        self._pauses = 1
        return text


def _fit(old: Picture, new: Picture) -> bool:
    """Whether a delta can lead from one to the other."""
    if not (isinstance(old.state, dict) and isinstance(new.state, dict)):
        return False
    return old.tables.keys() == new.tables.keys() and all(
        tables.may_follow(table, new.tables[name]) for name, table in old.tables.items()
    )
