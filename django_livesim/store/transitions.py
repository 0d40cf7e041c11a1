"""Changes of status, told once they have committed: a line in the log, and `django_livesim.signals`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.dispatch import Signal

from django_livesim import conf, signals
from django_livesim.models import Run
from django_livesim.protocol.logs import cut
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Write

logger = logging.getLogger(__name__)

ENTERED = {
    Status.PAUSED: signals.run_paused,
    Status.STOPPED: signals.run_stopped,
    Status.FINISHED: signals.run_finished,
    Status.FAILED: signals.run_failed,
    Status.QUARANTINED: signals.run_quarantined,
}
"""What is sent when a run comes to that status."""

GOING = (Status.RUNNING, Status.STOPPING)
"""What a run is no longer once its worker has let it go."""

RESUMABLE = (Status.PAUSED, Status.STOPPED, Status.QUARANTINED)

changed = Signal()
"""A status has changed, or a run has a successor; sent, without a word of which, for lists to look again."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """What a committed write has changed of a run."""

    run: UUID
    epoch: int
    previous: Status
    status: Status | None = None
    """None where it stays."""
    reason: str = ""
    begins: bool = False
    """The run has been set up for the first time."""
    successor: UUID | None = None
    """The run that a restart began."""

    @classmethod
    def of(cls, write: Write) -> Transition | None:
        """What a worker's write changes; None for a checkpoint alone and the like."""
        status, reason = write.status, write.reason
        if write.release and (status or write.previous) in GOING:
            status, reason = Status.WAITING, ""
        if status is None:
            return None
        return cls(
            run=write.run,
            epoch=write.epoch,
            previous=write.previous,
            status=status,
            reason=reason,
            begins=write.begins,
            successor=write.successor,
        )

    def signals(self) -> Iterator[Signal]:
        """What is sent of it, in order."""
        if self.begins:
            yield signals.run_started
        if self.status is not None and self.status is not self.previous:
            if self.status in ENTERED:
                yield ENTERED[self.status]
            elif self.previous in RESUMABLE:
                yield signals.run_resumed
        if self.successor is not None:
            yield signals.run_restarted


Tell = Callable[[Transition], None]


def tell_on_commit(transition: Transition) -> None:
    """Log and send in this thread, when the transaction of the caller has committed."""

    def told() -> None:  # a function: Django names it where it has raised
        _tell(transition)

    transaction.on_commit(told, using=conf.settings.DATABASE, robust=True)


def _tell(transition: Transition) -> None:
    log(transition)
    if is_heard(transition):
        send(transition)


def log(transition: Transition) -> None:
    """One line for each change that a person would call one; and lists look again."""
    run, epoch = transition.run, transition.epoch
    status, reason = transition.status, cut(transition.reason)
    if status is not None and (status is not transition.previous or reason):
        logger.info("run=%s epoch=%s status=%s reason=%r", run, epoch, status, reason)
    if transition.successor is not None:
        logger.info("restarted run=%s epoch=%s next=%s", run, epoch, transition.successor)
    if transition.successor is not None or status not in (None, transition.previous):
        changed.send_robust(sender=Run)


def is_heard(transition: Transition) -> bool:
    """Whether any receiver is connected to what would be sent."""
    return any(signal.has_listeners(Run) for signal in transition.signals())


def send(transition: Transition) -> None:
    """Call the receivers, here and now, with rows as they are now; a run that was deleted is passed over."""
    for signal in transition.signals():
        if not signal.has_listeners(Run):
            continue
        row = Run.objects.filter(id=transition.run).first()
        if row is None:
            return
        told: dict[str, Any] = {"run": row, "previous": transition.previous, "reason": transition.reason}
        if signal is signals.run_restarted:
            told["successor"] = Run.objects.filter(id=transition.successor).first()
        for receiver, answer in signal.send_robust(sender=Run, **told):
            if isinstance(answer, Exception):  # its traceback is in Django's own line
                name = getattr(receiver, "__qualname__", repr(receiver))
                run, epoch = transition.run, transition.epoch
                logger.error("receiver %s failed run=%s epoch=%s: %r", name, run, epoch, answer)
