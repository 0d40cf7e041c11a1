"""Runs that harm their worker: strikes, pauses between them, and quarantine.

A strike is one time that a run's code has hung or has ended its process. It
is written under the fence of the holding in which that happened, and once
for each holding: so two who see the same harm write one, and whoever does
not know whether it has committed may write it again. A run that has come
further than where it was struck last is forgiven what was before.

A struck run stays with its holder's row, by which nobody but a worker
touches it; a worker takes it again once it is held back no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet

from django_livesim import conf
from django_livesim.models import Run
from django_livesim.protocol import plain
from django_livesim.protocol.names import CLAIMABLE, Status
from django_livesim.store import locks
from django_livesim.store.moments import Moment
from django_livesim.store.transitions import Transition

PAUSES = (1.0, 5.0, 25.0, 60.0)
"""Seconds for which a run is held back after its first strike, its second, and so on."""

STACK = 20_000  # characters kept of a stack

RELEASED: dict[str, Any] = {
    "strikes": 0,
    "unproven": 0,
    "struck_tick": None,
    "struck_at": None,
    "struck_epoch": F("epoch"),
    "held_back_until": None,
}
"""What is changed of a run that a person has released. A strike for a holding before that comes too late."""


@dataclass(frozen=True, kw_only=True)
class Harm:
    """What a run has done to the worker that held it."""

    run: UUID
    epoch: int
    """Of the holding in which it happened."""
    why: str
    """Goes on from "its code ...", as in "took longer than 2 s in one step"."""
    stack: str = ""
    """Where it was, as far as that is known."""


def strike(worker: UUID, harm: Harm) -> Transition | None:
    """Note a strike of a run that `worker` holds, and quarantine it where it is the last that it may have.

    What is to be told of it once that has committed; None where it is true no more: the run is in other
    hands, or has been struck for it. Raises `Locked` where somebody else has its row locked: nothing has
    changed then, and it is to be tried again.
    """
    return _strike(harm, Run.objects.filter(id=harm.run, worker=worker, epoch=harm.epoch))


def strike_whoever_holds(harm: Harm) -> Transition | None:
    """`strike`, though another worker may have claimed the run since; that one loses it to quarantine."""
    return _strike(harm, Run.objects.filter(id=harm.run, epoch__gte=harm.epoch))


def _strike(harm: Harm, run: QuerySet[Run]) -> Transition | None:
    """Nothing is logged here: broken-off code may have kept a lock of the log's handlers."""
    unstruck = Q(struck_epoch=None) | Q(struck_epoch__lt=harm.epoch)
    with locks.brief():
        if locks.taken([harm.run]):
            raise locks.Locked(f"the run {harm.run} is locked")
        held = run.filter(unstruck, status__in=[str(status) for status in CLAIMABLE])
        row = held.only("strikes", "struck_tick", "status", "horizon", "tick", "epoch", "worker").first()
        if row is None:
            return None
        strikes = 1 if _is_forgiven(row) else row.strikes + 1
        reason = f"its code {harm.why}; it is tried again"[:500]
        pause = timedelta(seconds=PAUSES[min(strikes, len(PAUSES)) - 1])
        held.update(
            strikes=strikes,
            struck_tick=max(row.tick, row.horizon),
            struck_at=Moment(),
            struck_epoch=harm.epoch,
            error=plain.storable(harm.stack)[-STACK:],
            held_back_until=Moment() + pause,
            reason=reason,
        )
        if strikes >= conf.settings.STRIKES:
            why = f"{strikes} strikes: its code {harm.why}"
            return quarantine(row, row.worker_id, row.epoch, why)
    status = Status(row.status)
    return Transition(run=harm.run, epoch=row.epoch, previous=status, status=status, reason=reason)


def quarantine(row: Run, worker: UUID | None, epoch: int, reason: str) -> Transition | None:
    """Keep a run from every worker until a person releases it; None where it is in other hands by now.

    Its waiting commands go on waiting. It stands at its horizon, for that may have been shown.
    """
    held = Run.objects.filter(id=row.pk, worker=worker, epoch=epoch)
    changed = held.update(
        status=str(Status.QUARANTINED),
        reason=reason[:500],
        worker=None,
        epoch=F("epoch") + 1,
        tick=max(row.tick, row.horizon),
        hash="",
        progress=None,
    )
    if not changed:
        return None
    previous = Status(row.status)
    return Transition(
        run=row.pk, epoch=epoch + 1, previous=previous, status=Status.QUARANTINED, reason=reason[:500]
    )


def _is_forgiven(row: Run) -> bool:
    """Whether the run has come further than where it was struck last, or never was."""
    return row.struck_tick is None or row.tick > row.struck_tick
