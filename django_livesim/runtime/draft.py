"""What a run has done since its last write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Sampled, Stored, Verdict, Write

BEGUN = (Status.RUNNING, Status.PAUSED)
"""What a run is once it has been set up."""


class Before(NamedTuple):
    """A run as the writes so far have left its row."""

    status: Status
    begun: bool

    def after(self, write: Write) -> Before:
        """The same once `write` has committed."""
        return Before(write.status or self.status, self.begun or write.begins)


@dataclass
class Draft:
    """The next write of a run, gathered until the one before it has committed."""

    verdicts: list[Verdict] = field(default_factory=list)
    status: Status | None = None
    reason: str = ""
    progress: float | None = None
    version: int | None = None
    checkpoint: Stored | None = None
    lost_after: int | None = None
    proven: bool = False
    result: bytes | None = None
    error: str = ""
    ended: bool = False
    release: bool = False
    attempts: int | None = None
    retry_in: float | None = None
    reserve: bool = False
    successor: UUID | None = None
    number: int = 1
    gating: int = 0

    @property
    def gating_number(self) -> int:
        """The write that whatever happens now depends on; 0 for none.

        Verdicts and status must be stored before anybody sees their effect;
        a checkpoint alone holds nobody up.
        """
        if self.verdicts or self.status is not None or self.ended:
            self.gating = self.number
        return self.gating

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it; nobody does for a checkpoint alone."""
        return self.gating_number == self.number or self.release or self.reserve

    @property
    def empty(self) -> bool:
        return not self.urgent and self.checkpoint is None

    def next(self) -> Draft:
        """The draft that follows this one."""
        return Draft(number=self.number + 1, gating=self.gating_number)

    def write(
        self,
        run: UUID,
        epoch: int,
        tick: int,
        horizon: int,
        next_seq: int,
        speed: float,
        before: Before,
        samples: tuple[Sampled, ...] = (),
    ) -> Write:
        """All of it as one write, of a run that was as `before` says; with `samples` of its figures."""
        begins = not before.begun and self.status in BEGUN
        return Write(
            run=run,
            epoch=epoch,
            number=self.number,
            tick=tick,
            horizon=horizon,
            next_seq=next_seq,
            speed=speed,
            status=self.status,
            previous=before.status,
            begins=begins,
            reason=self.reason,
            progress=self.progress,
            version=self.version,
            verdicts=tuple(self.verdicts),
            checkpoint=self.checkpoint,
            samples=samples,
            lost_after=self.lost_after,
            proven=self.proven,
            result=self.result,
            error=self.error,
            ended=self.ended,
            release=self.release,
            attempts=self.attempts,
            retry_in=self.retry_in,
            successor=self.successor,
        )
