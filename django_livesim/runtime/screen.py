"""What viewers see of a run, and when."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import orjson

from django_livesim.protocol.names import Role
from django_livesim.protocol.records import Held
from django_livesim.runtime.finite import ViewEncoder
from django_livesim.runtime.ports import Definition, FrameOut, Options, SendOut
from django_livesim.simulation import Send

logger = logging.getLogger(__name__)

ALL = "all"


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
        self._watched: dict[str, float] = {}
        self._due = 0.0
        self._wanted = self._whole = False
        self.by_itself = False
        """Whether the loop reports by itself, and so no frame comes by the clock."""

    def want(self, *, whole: bool = False) -> None:
        """A frame is wanted at the next boundary, due or not; `whole` where it is to be a snapshot."""
        self._wanted = True
        self._whole = self._whole or whole

    def watch(self, roles: Iterable[str], until: float) -> None:
        """Somebody watches in these roles until then."""
        for role in roles:
            self._watched[role if self._definition.views_by_role else ALL] = until

    def frames(self, tick: int, now: float) -> Iterator[FrameOut | SendOut]:
        """The frames of this boundary: none where none is due or nobody watches."""
        if not (self._wanted or self._is_due(tick, now)):
            return
        self._wanted = False
        self._watched = {role: until for role, until in self._watched.items() if until > now}
        whole, self._whole = self._whole, False
        for role in self._watched:
            body, tables = self._encode_apart(role)
            yield FrameOut(role=role, tick=tick, body=body, tables=tables, whole=whole)
        if self._definition.report_to:
            yield SendOut(send=self._update(self._definition.report_to, tick))

    def all_frames(self, tick: int) -> list[FrameOut]:
        """A frame for every role there is, watched or not: the last word on a run.

        A view that fails for a role is left out, and said: nobody may be watching in it.
        """
        frames = []
        for role in [str(role) for role in Role] if self._definition.views_by_role else [ALL]:
            try:
                frames.append(FrameOut(role=role, tick=tick, body=self._encode(role)))
            except Exception:
                logger.exception("no view run=%s epoch=%s role=%s", self._run.id, self._epoch, role)
        return frames

    def _is_due(self, tick: int, now: float) -> bool:
        if self.by_itself:
            return False
        every = self._definition.report_every or self._options.report_every
        if every and (self._definition.report_every or self._definition.frame_rate is None):
            return tick % every == 0
        rate = self._definition.frame_rate or self._options.frame_rate
        if rate is None:
            return True
        period = 1.0 / rate
        if now < self._due - period / 4:
            return False
        self._due = max(self._due + period, now + period / 2)
        return True

    def _view(self, role: str) -> dict[str, Any]:
        return self._program.view(str(Role.OWNER) if role == ALL else role)

    def _encode(self, role: str) -> bytes:
        view = self._view(role)
        return self.encoder.encode(view, view)[0]

    def _encode_apart(self, role: str) -> tuple[bytes, bytes]:
        """What is in no table, and the tables."""
        view = self._view(role)
        declared = [table for table in self._definition.tables if table.name in view]
        if not declared:
            return self.encoder.encode(view, view)[0], b""
        packed = {table.name: table.pack(view[table.name]) for table in declared}
        rest = {name: value for name, value in view.items() if name not in packed}
        body, tables = self.encoder.encode(view, rest, packed)
        return body, tables

    def _update(self, group: str, tick: int) -> Send:
        """The message for an ordinary Channels consumer of the author's own."""
        state = orjson.loads(self._encode(ALL))
        message = {"type": "simulation.update", "run": str(self._run.id), "tick": tick, "state": state}
        return Send(to_group=True, target=group, message=message)


def views(frames: Iterable[FrameOut]) -> bytes:
    """The views of these frames as one JSON object, role to view."""
    return b"{" + b",".join(orjson.dumps(frame.role) + b":" + frame.body for frame in frames) + b"}"
