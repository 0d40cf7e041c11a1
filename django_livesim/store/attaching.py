"""A run whose worker is one process of its author's own, and no other.

Its `source` is `external`, by which no ordinary worker claims it. The fence
is that of every run: claimed by compare-and-set on epoch and holder.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db.models import F, Q

from django_livesim import conf
from django_livesim.models import Run, Source, Worker
from django_livesim.protocol.names import CLAIMABLE
from django_livesim.store import locks

WANTING = [str(status) for status in CLAIMABLE]


def reserve(run: Run) -> None:
    """Keep ordinary workers from a run that nobody holds; one that is held stays as it is."""
    Run.objects.filter(id=run.id, worker=None).update(source=str(Source.EXTERNAL))


def claim(worker: UUID, run: UUID, queue: str) -> bool:
    """Take that one run, where nobody alive holds it and nobody has it locked.

    It is in `queue` from then on, and external: it waits for this process's
    kind alone. What `worker` itself holds and could not load is taken anew.
    """
    free = Q(worker=None) | Q(worker=worker) | Q(worker__state=Worker.State.GONE)
    with locks.brief():
        if locks.taken([run]):
            return False
        found = Run.objects.filter(free, id=run, status__in=WANTING).values_list("epoch", "worker").first()
        if found is None:
            return False
        epoch, holder = found
        return bool(
            Run.objects.filter(id=run, epoch=epoch, worker=holder, status__in=WANTING).update(
                worker=worker,
                epoch=F("epoch") + 1,
                adoptions=F("adoptions") + (0 if holder is None else 1),
                source=str(Source.EXTERNAL),
                queue=queue,
            )
        )


def wants_worker(run: UUID) -> bool:
    """Whether the run is there and has not ended."""
    return bool(Run.objects.filter(id=run, status__in=WANTING).exists())


def holder(run: UUID) -> Worker | None:
    """The worker that holds the run, as far as nobody has declared it gone."""
    workers = Worker.objects.filter(runs=run).exclude(state=Worker.State.GONE)
    found: Worker | None = workers.first()
    return found


def is_heard(worker: Worker) -> bool:
    """Whether it gave a sign of life within LEASE_TTL, by the database's clock."""
    ttl = timedelta(seconds=conf.settings.LEASE_TTL)
    return bool(Worker.objects.heard_of(ttl).filter(id=worker.id).exists())
