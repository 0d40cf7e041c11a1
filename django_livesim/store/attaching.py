"""A run whose worker is one process of its author's own, and no other.

Its `source` is `external`, by which no ordinary worker claims it. The fence
is that of every run: claimed by compare-and-set on epoch and holder.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Q

from django_livesim import conf
from django_livesim.models import Run, Source, Worker
from django_livesim.protocol.names import CLAIMABLE
from django_livesim.store import locks

WANTING = [str(status) for status in CLAIMABLE]
NOBODY = "no process is attached"


@dataclass(frozen=True, kw_only=True)
class Before:
    """Who could claim a run before it was claimed here."""

    epoch: int
    """Of the claim."""
    source: str
    queue: str


def reserve(run: Run) -> None:
    """Keep ordinary workers from a run that nobody holds; one that is held stays as it is."""
    Run.objects.filter(id=run.id, worker=None).update(source=str(Source.EXTERNAL))


def claim(worker: UUID, run: UUID, queue: str, version: int) -> Before | None:
    """Take that one run, where nobody alive holds it and nobody has it locked; None where that cannot be.

    It is in `queue` from then on, and external: it waits for this process's
    kind alone. What `worker` itself holds and could not load is taken anew.
    What newer code than `version` has stepped is left.
    """
    free = Q(worker=None) | Q(worker=worker) | Q(worker__state=Worker.State.GONE)
    with locks.brief():
        if locks.taken([run]):
            return None
        wanted = Run.objects.filter(id=run, status__in=WANTING, version__lte=version)
        row = wanted.filter(free).only("epoch", "worker", "source", "queue").first()
        if row is None:
            return None
        claimed = wanted.filter(epoch=row.epoch, worker=row.worker_id).update(
            worker=worker,
            epoch=F("epoch") + 1,
            adoptions=F("adoptions") + (0 if row.worker_id is None else 1),
            source=str(Source.EXTERNAL),
            queue=queue,
        )
    return Before(epoch=row.epoch + 1, source=row.source, queue=row.queue) if claimed else None


def give_back(run: UUID, before: Before) -> None:
    """Let whoever could claim the run before do so again, where nobody has claimed it since."""
    unheld = Q(worker=None) | Q(worker__state=Worker.State.GONE)
    Run.objects.filter(unheld, id=run, epoch=before.epoch).update(source=before.source, queue=before.queue)


def free(run: Run, **fields: Any) -> bool:
    """Part a run from the attached process that held it and is gone; whether it was so.

    By compare-and-set, with `fields` to be changed too; `run` is changed as its row is. No ordinary worker
    claims it, so that until somebody attaches again nobody else would carry out what is asked of it.
    """
    lost = Run.objects.filter(
        id=run.id, epoch=run.epoch, worker=run.worker_id, status=run.status, source=str(Source.EXTERNAL)
    )
    found: bool = bool(
        lost.filter(worker__state=Worker.State.GONE).update(
            worker=None, epoch=F("epoch") + 1, adoptions=F("adoptions") + 1, **fields
        )
    )
    if found:
        run.worker_id, run.epoch = None, run.epoch + 1
    return found


def look(run: UUID) -> Run | None:
    """What its row says of the run now; None where it is deleted."""
    found: Run | None = Run.objects.filter(id=run).first()
    return found


def holder(run: UUID) -> Worker | None:
    """The worker that holds the run, as far as nobody has declared it gone."""
    workers = Worker.objects.filter(runs=run).exclude(state=Worker.State.GONE)
    found: Worker | None = workers.first()
    return found


def is_heard(worker: Worker) -> bool:
    """Whether it gave a sign of life within LEASE_TTL, by the database's clock."""
    ttl = timedelta(seconds=conf.settings.LEASE_TTL)
    return bool(Worker.objects.heard_of(ttl).filter(id=worker.id).exists())
