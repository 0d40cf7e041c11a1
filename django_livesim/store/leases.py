"""Workers and their right to runs.

A worker's `beat` grows while it lives. Peers time its silence on their own
clock of leases, and declare it gone by compare-and-set on the beat they
saw; gone is final. A claim (`claiming`) raises the run's epoch by
compare-and-set, and every later write of the run names worker and epoch, so
whoever was declared gone wrongly can no longer write.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.db.models import F

from django_livesim.models import Run, Worker
from django_livesim.protocol.records import Position
from django_livesim.store import clocks
from django_livesim.store.identity import Identity, is_gone
from django_livesim.store.moments import Moment

logger = logging.getLogger(__name__)

UNSEEN = 1.0  # seconds between two looks that count; what is beyond says nothing of a peer's silence

TAKEN_OVER = "another worker has died, its runs are taken over"
LEFT_WAITING = "a process that was attached to a run has died, the run waits for the next one"


def register(identity: Identity, queues: Iterable[str], load: Mapping[str, Any] | None = None) -> UUID:
    """A new row for this start of this process; its id."""
    facts = {"queues": list(queues), "load": dict(load or {})}
    worker = Worker.objects.create(id=uuid.uuid4(), **facts, **asdict(identity))
    Worker.objects.filter(id=worker.id).update(started_at=Moment(), beat_at=Moment())
    return worker.id


def beat(worker: UUID, load: Mapping[str, Any]) -> bool:
    """Say that the worker lives. False where its peers have declared it gone."""
    alive = Worker.objects.filter(id=worker).exclude(state=Worker.State.GONE)
    return bool(alive.update(beat=F("beat") + 1, beat_at=Moment(), load=dict(load)))


def beat_for(worker: UUID, stepping: Mapping[str, float] | None = None) -> bool:
    """`beat`, by somebody who sees that the worker lives and cannot say so; its load stays as told.

    But for `stepping`, where given: the runs whose code keeps it from saying so, and for how long.
    """
    alive = Worker.objects.filter(id=worker).exclude(state=Worker.State.GONE)
    told: dict[str, Any] = {}
    if stepping and (load := alive.values_list("load", flat=True).first()) is not None:
        told = {"load": load | {"stepping": dict(stepping)}}
    return bool(alive.update(beat=F("beat") + 1, beat_at=Moment(), **told))


def tell_to_leave(worker: UUID) -> bool:
    """Have the worker store its runs, let them go and end; it sees this within a second.

    False where it is gone.
    """
    alive = Worker.objects.filter(id=worker).exclude(state=Worker.State.GONE)
    return bool(alive.update(state=Worker.State.DRAINING))


def leave(worker: UUID) -> None:
    """The worker ends in good order; what it may still hold is free to claim, and innocent of that."""
    Worker.objects.filter(id=worker).update(state=Worker.State.GONE, explained=True)


class Peers:
    """The silence of the other workers, as this process has timed it.

    Time counts as silence as far as this process has looked meanwhile: what
    passed while it stood still, or had no answer from the database, says
    nothing of the others, which may have had none either.
    """

    def __init__(self, identity: Identity, ttl: float) -> None:
        self.identity = identity
        self.ttl = ttl  # seconds
        self.told_to_leave = False
        """Whether somebody has marked this worker as draining, as of the last look."""
        self.alive: list[Worker] = []
        """The workers that neither are gone nor leave, this one among them, as of the last look."""
        self.claiming: list[UUID] = []
        """The others of them that take what is free."""
        self._seen: dict[UUID, tuple[int, float]] = {}  # beat, and seconds of silence since
        self._looked: float | None = None

    def look(self, me: UUID) -> list[UUID]:
        """Declare gone whoever is: those whose process has ended, and those silent for the ttl."""
        there = list(_there())
        now = clocks.lease_time()
        passed = 0.0 if self._looked is None else min(now - self._looked, UNSEEN)
        self._looked = now
        self.told_to_leave = any(row.id == me and row.state == Worker.State.DRAINING for row in there)
        rows = [row for row in there if row.id != me]
        self.alive = [row for row in there if row.state == Worker.State.ALIVE]
        self.claiming = [row.id for row in self.alive if row.queues and row.id != me]
        self._seen = {row.id: self._timed(row, passed) for row in rows}
        return [row.id for row in rows if self._is_dead(row) and self._declare(row)]

    def _timed(self, row: Worker, passed: float) -> tuple[int, float]:
        beat, silence = self._seen.get(row.id, (None, 0.0))
        return row.beat, silence + passed if beat == row.beat else 0.0

    def _is_dead(self, row: Worker) -> bool:
        return self._seen[row.id][1] >= self.ttl or has_ended(self.identity, row)

    def _declare(self, row: Worker) -> bool:
        gone = Worker.objects.filter(id=row.id, beat=row.beat).exclude(state=Worker.State.GONE)
        declared = bool(gone.update(state=Worker.State.GONE))
        if declared:
            died = TAKEN_OVER if row.queues else LEFT_WAITING
            logger.warning("%s worker=%s pid=%s host=%s", died, row.id, row.pid, row.host)
        return declared


def _there() -> Iterable[Worker]:
    """Those not gone; of their loads, which are large, only for which runs they have code."""
    rows: Any = Worker.objects.exclude(state=Worker.State.GONE).defer("load")
    for row in rows.annotate(code=F("load__simulations")):
        row.load = {} if row.code is None else {"simulations": row.code}
        yield row


def has_ended(mine: Identity, row: Worker) -> bool:
    """Whether the worker's process is known to be no more: only a process beside it can tell."""
    other = Identity(
        host=row.host,
        boot_id=row.boot_id,
        pid_namespace=row.pid_namespace,
        pid=row.pid,
        pid_started=row.pid_started,
    )
    return is_gone(mine, other)


def lost(worker: UUID, held: Mapping[UUID, Position]) -> frozenset[UUID]:
    """Those of the runs held that are no longer the worker's."""
    if not held:
        return frozenset()
    rows = Run.objects.filter(worker=worker, id__in=list(held)).values_list("id", "epoch")
    mine = {run for run, epoch in rows if held[run].epoch == epoch}
    return frozenset(set(held) - mine)
