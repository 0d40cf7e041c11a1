"""What a hub must know from the database, and who tells it: the bus reads no rows itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django_livesim import conf
from django_livesim.protocol import frames
from django_livesim.protocol.frames import Verdict
from django_livesim.protocol.names import ENDED


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A run's row, as far as viewers are told of it."""

    status: str
    reason: str = ""
    tick: int = 0
    progress: float | None = None
    speed: float = 1.0  # 0: as fast as possible
    epoch: int = 0
    worker: UUID | None = None
    beat: int | None = None
    """Of the worker: a number that grows while it lives; None where that was not read."""
    result: Any = None
    next: UUID | None = None
    """The run that follows this one after a restart."""
    produced: bool = False
    """No worker has it: programs of the host's own tell of it, each time with another tick, which is in
    the row first and numbers statuses and frames."""
    sharing: tuple[object, ...] = field(default=(), repr=False)
    """On what rights rest in the row; it holds the link's token, and is told to nobody."""

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def status_text(self) -> str:
        return frames.status(self.status, self.tick, self.progress, self.speed, self.reason)

    @property
    def end_text(self) -> str:
        return frames.end(self.status, self.result, self.next, most=conf.settings.MAX_FRAME_BYTES)

    @property
    def following(self) -> str | None:
        """`next` as viewers are told it."""
        return None if self.next is None else str(self.next)

    def told(self) -> tuple[object, ...]:
        """What must differ for viewers to be told anew; ticks they see in frames."""
        progress = self.progress if self.produced else None
        return self.status, self.reason, frames.wire_speed(self.speed), progress

    def after(self, status: Mapping[str, Any]) -> Facts:
        """What is known once viewers were told this status."""
        fields = {name: status[name] for name in ("status", "reason", "tick", "progress")}
        return replace(self, **fields, speed=0.0 if status["speed"] == "max" else status["speed"])

    def is_news_after(self, known: Facts) -> bool:
        """Whether the row is to be read for it; what changes with each tick has it read no more often."""
        return self.status != known.status if self.produced else self.told() != known.told()


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The readings that a hub is given. Each may raise, and is then tried again later."""

    facts: Callable[[UUID], Awaitable[Facts | None]]
    """The run's row, None where it has been deleted."""
    stored_view: Callable[[UUID, str], Awaitable[tuple[int, bytes] | None]]
    """The tick of the last stored view for a role, or for "all", and its JSON."""
    answers: Callable[[UUID, Sequence[tuple[str, str]]], Awaitable[Sequence[Verdict]]]
    """The outcomes there are among these (sender, client id), in one query of at most 200."""
    names: Callable[[Sequence[str]], Awaitable[Mapping[str, str]]] | None = None
    """The names of users, by how they are journaled as senders; those that are no more are left out."""
    know_senders: Collection[str] = ()
    """The roles that are told who sent a command."""
