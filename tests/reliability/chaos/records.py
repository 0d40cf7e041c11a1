"""What senders and viewers have noted; moments by the monotonic clock, which all processes share."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID


@dataclass
class Sent:
    """A command, from its sender's side."""

    run: UUID
    sender: str
    n: int
    ref: str
    at: float
    delayed: bool = False
    """Asked for later than at once, so that others overtake it rightly."""
    accepted_at: float | None = None
    told_at: float | None = None
    outcome: str = ""
    tick: int | None = None
    result: object = None
    again: bool = False
    """Whether the server has asked for it once more: it then counts as sent later."""
    error: str = ""
    """The code with which it was not accepted, for good."""

    @property
    def open(self) -> bool:
        return not (self.outcome or self.error)

    def in_flight(self, moment: float) -> bool:
        """Whether it was sent and not answered at that moment; what waits for its time counts for nothing."""
        return not self.delayed and self.at <= moment and (self.told_at is None or self.told_at > moment)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame, as a viewer got it."""

    at: float
    connection: int
    epoch: int
    seq: int
    tick: int
    count: int
    last: str
    mix: int


@dataclass
class Seen:
    """Everything one person has seen of one run, in order."""

    run: UUID
    viewer: str
    frames: list[Frame] = field(default_factory=list)


@dataclass
class Death:
    """A worker's end, or its being stopped, and the runs it held: by epoch."""

    nemesis: str
    point: str
    at: float
    runs: dict[UUID, int]
    limit: float
    """Seconds within which an heir must show itself."""
    killed: bool = True
