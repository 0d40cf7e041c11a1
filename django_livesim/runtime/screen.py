"""What viewers see of a run, and when."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import orjson

from django_livesim.protocol import tables
from django_livesim.protocol.names import Role
from django_livesim.protocol.records import Held
from django_livesim.runtime.finite import ViewEncoder
from django_livesim.runtime.interest import Beat, Interest
from django_livesim.runtime.ports import Definition, FrameOut, Options, SendOut
from django_livesim.simulation import Send

logger = logging.getLogger(__name__)

ALL = "all"
WHOLE_GAP = 0.5  # seconds between two whole frames that hubs ask for, at least: however many hubs there are


class Viewable(Protocol):
    def view(self, role: str) -> dict[str, Any]: ...


class Screen:
    """Frames of one run: encoded once for each role that somebody watches in, when one is due."""

    def __init__(self, definition: Definition, options: Options, program: Viewable, held: Held) -> None:
        self._definition = definition
        self._options = options
        self._program = program
        self._run = held.info
        self._epoch = held.epoch
        self.encoder = ViewEncoder(held.info.id, held.epoch)
        self._watched: dict[str, Interest] = {}
        self._beat = Beat()
        self._wanted = self._whole = False
        self._whole_at = -math.inf  # when there may be another whole one
        self._by_itself = self._reported = False

    def want(self) -> None:
        """A frame is wanted at the next boundary, due or not."""
        self._wanted = True

    def want_whole(self) -> None:
        """A snapshot is wanted, due or not; it is owed until `WHOLE_GAP` has passed since the last."""
        self._whole = True

    def reported(self) -> None:
        """The loop says that there is something to see, and so no frame comes by the clock."""
        self._by_itself = self._reported = True
        for interest in self._watched.values():
            interest.owe()

    def watch(self, roles: Iterable[str], now: float, hub: str, rates: Mapping[str, float]) -> None:
        """A hub's viewers watch in these roles, at most so many frames a second where there is a rate."""
        wishes: dict[str, float] = {}
        for role in roles:
            name = role if self._definition.views_by_role else ALL
            wishes[name] = max(wishes.get(name, 0.0), rates.get(role, math.inf))
        for name, fps in wishes.items():
            self._watched.setdefault(name, Interest()).tell(hub, fps, now + self._options.interest_ttl)

    def is_watched(self, now: float) -> bool:
        """Whether anybody watches, in whatever role and at whatever rate."""
        self._forget(now)
        return bool(self._watched)

    @property
    def idle(self) -> bool:
        """Whether nobody is to be shown anything, whatever comes."""
        return not (self._watched or self._wanted or self._whole or self._definition.report_to)

    @property
    def owed_at(self) -> float:
        """When a frame is to be shown that came too early for those who watch, or a whole one."""
        return min(self._whole_due, self._due(self._watched.values()))

    @property
    def kept_at(self) -> float:
        """As `owed_at`, of what can be shown while the state is out of reach."""
        kept = [interest for interest in self._watched.values() if interest.kept]
        return min(self._whole_due, self._due(kept)) if kept else math.inf

    @property
    def _whole_due(self) -> float:
        return self._whole_at if self._whole else math.inf

    def _due(self, interests: Iterable[Interest]) -> float:
        """When the first of them is owed something; reports at full speed are due by the clock, too."""
        due = min((interest.owed_at for interest in interests), default=math.inf)
        return max(due, self._beat.due(self._rate, early=0.0)) if self._reported else due

    def frames(
        self, tick: int, now: float, *, at_once: bool = False, owed: bool = False
    ) -> Iterator[FrameOut | SendOut]:
        """The frames of this boundary: none where none is due or nobody watches.

        `at_once`: steps are made as fast as they can be; their number then says nothing of how often to show.
        `owed`: what was due at this boundary has been taken or refused; of that, what it is time for now.
        """
        wanted, self._wanted = self._wanted, False
        due = not wanted and (self._reported or not owed) and self._is_due(tick, now, at_once)
        if not (wanted or due or now >= self.owed_at):
            return
        if wanted:
            self._reported = False
        self._forget(now)
        whole = self._take_whole(now)
        for role, interest in self._watched.items():
            if interest.takes(now, asked=wanted or whole, due=due):
                yield self._frame(role, tick, whole)
        if self._definition.report_to and (wanted or due):
            yield SendOut(send=self._update(self._definition.report_to, tick))

    def keep(self, tick: int, now: float) -> None:
        """The state is about to go out of reach: encode what is owed, for `kept` to show meanwhile.

        What was encoded so once is not again, so each report is at most once.
        """
        self._forget(now)
        for role, interest in self._watched.items():
            if interest.kept is None and (interest.owes or self._whole):
                interest.kept = self._frame(role, tick)

    def kept(self, now: float) -> Iterator[FrameOut]:
        """What it is time for of what was kept; the rest is shown at the next boundary, or later."""
        if now < self.kept_at:
            return
        self._forget(now)
        lacking = any(interest.kept is None for interest in self._watched.values())
        whole = self._take_whole(now)
        self._whole = self._whole or (whole and lacking)
        if self._reported:
            self._beat.take(now, self._rate)
        for interest in self._watched.values():
            if (frame := interest.kept) and interest.takes(now, asked=whole, due=False):
                yield replace(frame, whole=whole)

    def _take_whole(self, now: float) -> bool:
        """Whether what is shown now is to be whole: that is wanted, and it is time."""
        if now < self._whole_due:
            return False
        self._whole, self._whole_at = False, now + WHOLE_GAP
        return True

    def _forget(self, now: float) -> None:
        """Whoever watches no more."""
        self._watched = {role: each for role, each in self._watched.items() if each.lasts(now)}

    def _frame(self, role: str, tick: int, whole: bool = False) -> FrameOut:
        body, packed = self._encode(role)
        return FrameOut(role=role, tick=tick, body=body, tables=packed, whole=whole)

    def all_frames(self, tick: int) -> list[FrameOut]:
        """A frame for every role there is, watched or not: the last word on a run.

        A view that fails for a role is left out, and said: nobody may be watching in it.
        """
        frames = []
        for role in [str(role) for role in Role] if self._definition.views_by_role else [ALL]:
            try:
                frames.append(self._frame(role, tick))
            except Exception:
                logger.exception("no view run=%s epoch=%s role=%s", self._run.id, self._epoch, role)
        return frames

    @property
    def _rate(self) -> float:
        """Frames a second at most where they come by the clock."""
        return self._definition.frame_rate or self._options.frame_rate or self._definition.tick_rate

    def _is_due(self, tick: int, now: float, at_once: bool) -> bool:
        """Whether there is a frame at this tick, as the simulation and the settings say."""
        rate = self._definition.frame_rate or self._options.frame_rate
        every = self._definition.report_every or self._options.report_every
        if self._by_itself:
            due, clocked = self._reported, False
        elif every and (self._definition.report_every or self._definition.frame_rate is None):
            due, clocked = tick % every == 0, False
        else:
            due, clocked = True, rate is not None
        if due and (clocked or at_once):
            due = self._beat.take(now, self._rate)
        if due:
            self._reported = False
        return due

    def _view(self, role: str) -> dict[str, Any]:
        return self._program.view(str(Role.OWNER) if role == ALL else role)

    def seen(self, role: str) -> bytes:
        """What viewers of that role see now, as JSON."""
        return tables.whole(*self._encode(role))

    def _encode(self, role: str) -> tuple[bytes, bytes]:
        """What is in no table, and the tables."""
        view = self._view(role)
        members = view if isinstance(view, Mapping) else {}
        declared = [table for table in self._definition.tables if table.name in members]
        if not declared:
            return self.encoder.encode(view, view)[0], b""
        packed = {table.name: table.pack(view[table.name]) for table in declared}
        rest = {name: value for name, value in view.items() if name not in packed}
        body, columns = self.encoder.encode(view, rest, packed)
        return body, columns

    def _update(self, group: str, tick: int) -> Send:
        """The message for an ordinary Channels consumer of the author's own."""
        state = orjson.loads(self.seen(ALL))
        message = {"type": "simulation.update", "run": str(self._run.id), "tick": tick, "state": state}
        return Send(to_group=True, target=group, message=message)


def views(frames: Iterable[FrameOut]) -> bytes:
    """The views of these frames as one JSON object, role to view as its viewers have it."""
    seen = ((frame.role, tables.whole(frame.body, frame.tables)) for frame in frames)
    return b"{" + b",".join(orjson.dumps(role) + b":" + view for role, view in seen) + b"}"
