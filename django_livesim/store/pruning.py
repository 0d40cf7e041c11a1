"""Rows that nobody needs any more, by age; each deletion is a short transaction of its own.

What a run could still be recovered from is never among them: the journal
after the oldest checkpoint that is there, all of it where a checkpoint
holds no state (the journal is the state), commands that wait, and the
first of a series that goes on. An answer is kept for a day at least, within
which whoever sent a command may ask for it again.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from django_livesim import conf
from django_livesim.models import Checkpoint, Command, Run, Task, Worker
from django_livesim.protocol import plain
from django_livesim.store.moments import Moment

BATCH = 500  # rows deleted in one transaction
ANSWERS = 1.0  # days for which an answer is kept at least
WORKERS = 1.0  # days for which a worker that is gone can still be seen
LONGEST = 36_500.0  # days; more is further back than some databases reckon

STATELESS = plain.digest(b"")


def ended(days: float) -> QuerySet[Run]:
    """Runs that ended more than so many days ago."""
    return Run.objects.ended().filter(ended_at__lt=_ago(days))


def journal(days: float, replayed: Collection[str]) -> QuerySet[Command]:
    """Commands with an outcome older than so many days, and than the oldest checkpoint of their run.

    Those too that were refused without ever having a place in the journal.
    `replayed` are simulations whose journal is their state.
    """
    checkpoints = Checkpoint.objects.filter(run=OuterRef("run"))
    oldest = Subquery(checkpoints.order_by("apply_seq").values("apply_seq")[:1])
    going_on = Command.objects.filter(series=OuterRef("pk"), outcome="")
    old = Command.objects.exclude(outcome="").filter(applied_at__lt=_ago(max(days, ANSWERS)))
    told = old.alias(oldest=oldest).filter(Q(apply_seq=None) | Q(apply_seq__lte=F("oldest")))
    kept = Exists(checkpoints.filter(hash=STATELESS)) | Exists(going_on)
    found: QuerySet[Command] = told.exclude(run__simulation__in=list(replayed)).exclude(kept)
    return found


def tasks(days: float) -> QuerySet[Task]:
    """Tasks and messages that ended more than so many days ago."""
    found: QuerySet[Task] = Task.objects.filter(ended_at__lt=_ago(days))
    return found


def gone_workers() -> QuerySet[Worker]:
    """Workers that have been gone for a day, and to whom no run points any more."""
    found: QuerySet[Worker] = Worker.objects.filter(
        state=Worker.State.GONE, beat_at__lt=_ago(WORKERS), runs=None, tasks=None
    )
    return found


def delete_next(rows: QuerySet[Any], after: Any = None) -> tuple[int, Any]:
    """Delete the next rows by their key after `after`, `BATCH` at most: how many, and the last one's key.

    For rows to which nothing points. One that is none of `rows` any more when it is deleted, as a task that
    somebody has had called again since it was found, stays: the DELETE asks for what they are, too. There
    are no more where the key is None.
    """
    following = rows if after is None else rows.filter(pk__gt=after)
    found = list(following.order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not found:
        return 0, None
    using = conf.settings.DATABASE
    with transaction.atomic(using=using):
        return rows.filter(pk__in=found)._raw_delete(using), found[-1]


def _ago(days: float) -> Any:
    return Moment() - timedelta(days=min(days, LONGEST))
