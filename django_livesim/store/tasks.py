"""Tasks and messages of authors' channels: rows that a worker claims before it acts.

A claim is a compare-and-set on `status`, and every later write of the row names the worker and the attempt,
so that one that was declared gone wrongly writes nothing any more. A claimed row is called by nobody else,
whatever becomes of who claimed it: where that dies, the row fails, or is tried again if it asked for that.

The messages of a channel are handled one after the other: one that runs, or waits to be tried again, holds
its channel. Two workers that would begin two of them at once meet in a unique constraint.

The process dies before the COMMIT of a claim: nothing has happened. After it: the row is its own, and is
freed once its worker is declared gone. Whoever got no answer finds in its next claim what it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from django_livesim import conf
from django_livesim.models import Task, Worker
from django_livesim.protocol.names import LONGEST_PAUSE, TaskStatus
from django_livesim.store import locks
from django_livesim.store.moments import Moment

DIED = "Its worker died while it ran."
ERROR = 20_000  # characters of a traceback that are kept

WAITING, RUNNING = str(TaskStatus.WAITING), str(TaskStatus.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Able:
    """What a process can call: tasks and channels by name, of these queues."""

    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Called:
    """What became of one call."""

    task: int
    attempt: int
    error: str = ""
    """The traceback; empty where it came back."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a worker sees before it claims anything."""

    gone: bool = False
    """Its peers have declared it gone."""
    told_to_leave: bool = False
    due: bool = False
    """Whether something waits for nothing but a worker."""
    seconds: float | None = None
    """Until the next of those that wait for their time is due."""


# -- whoever enqueues ------------------------------------------------------------------------


def insert(fields: Mapping[str, Any]) -> tuple[Task, bool]:
    """A row with these fields, in the caller's transaction; or the one that has the same key, and False."""
    try:
        with transaction.atomic(using=conf.settings.DATABASE):
            return Task.objects.create(**fields), True
    except IntegrityError:
        there = Task.objects.filter(**{name: fields[name] for name in ("kind", "name", "key")}).first()
        if there is None:
            raise
        return there, False


def insert_many(rows: Iterable[Mapping[str, Any]]) -> list[Task]:
    """All or none, in order."""
    return list(Task.objects.bulk_create([Task(**fields) for fields in rows], batch_size=500))


def cancel(task: int, key: str | None = None) -> bool:
    """Whether it, with this key where one is given, waited, and never will be called now."""
    waiting = Task.objects.filter(pk=task, status=WAITING, **({} if key is None else {"key": key}))
    return bool(waiting.update(status=str(TaskStatus.CANCELLED), ended_at=Moment()))


def again(tasks: Collection[int]) -> int:
    """Have those of them that failed or were cancelled called once more, as if never before; how many.

    They are due from now on, and not since they were enqueued.
    """
    over = [str(TaskStatus.FAILED), str(TaskStatus.CANCELLED)]
    fresh = {"attempts": 0, "due_at": Moment(), "error": "", "started_at": None, "ended_at": None}
    return int(Task.objects.filter(pk__in=tasks, status__in=over).update(status=WAITING, **fresh))


def delete(task: int) -> bool:
    """Whether it was over, and its row is no more."""
    over = Task.objects.exclude(status__in=[WAITING, RUNNING])
    with transaction.atomic(using=conf.settings.DATABASE):
        # Under its lock: where the host hears of deletions Django deletes by the id alone.
        row = over.select_for_update().filter(pk=task).first()
        return row is not None and bool(row.delete()[0])


# -- whoever calls ---------------------------------------------------------------------------


def claim(worker: UUID, held: Collection[int], able: Able, limit: int) -> list[Task]:
    """Claim up to `limit` that are due, lowest id first; and what is the worker's own and not `held`.

    The latter was claimed by a claim of which nobody heard. A worker that was told to leave claims nothing.
    """
    if limit:
        # An IntegrityError: of one of their channels another worker has just begun a message.
        with suppress(IntegrityError), locks.brief():
            _claim(worker, able, limit)
    mine: QuerySet[Task] = Task.objects.filter(worker=worker, status=RUNNING).exclude(pk__in=held)
    return list(mine.order_by("pk"))


def _claim(worker: UUID, able: Able, limit: int) -> None:
    """Under the lock of the worker's row: nobody declares it gone meanwhile, and who is gone has nothing."""
    there = Worker.objects.select_for_update(no_key=True).filter(pk=worker, state=Worker.State.ALIVE)
    if there.values_list("pk") and (ids := _candidates(able, limit)):
        _claimed(ids).update(
            status=RUNNING, worker=worker, attempts=F("attempts") + 1, started_at=Moment(), error=""
        )


def _candidates(able: Able, limit: int) -> list[int]:
    """Locked; behind those that somebody else has locked, the next. A locked message holds its channel."""
    # Queue by queue: an index has each of them in order.
    wanted = [_due([queue]).filter(_of(Task.Kind.TASK, able.tasks)) for queue in able.queues]
    found: list[int] = []
    for rows in (*wanted, _next_of_channels(able)):
        found += _unlocked(rows).order_by("pk").values_list("pk", flat=True)[:limit]
    return sorted(found)[:limit]


def _next_of_channels(able: Able) -> QuerySet[Task]:
    """Of each channel the message that is next, if it is due: the one that holds it, or the first of all.

    Be that in another queue: then it, and those behind it, wait for a worker that has this.
    """
    waiting = Task.objects.filter(kind=Task.Kind.MESSAGE, status=WAITING).values("pk")
    following: list[Any] = []
    for channel in able.channels:
        of_it = waiting.filter(name=channel)
        # Ordered as the indexes have them.
        again, first = of_it.filter(attempts__gt=0).order_by("attempts"), of_it.filter(_is_due())
        following.append(Coalesce(Subquery(again[:1]), Subquery(first.order_by("pk")[:1])))
    return _due(able.queues).filter(_is_free(), pk__in=following)


def _due(queues: Collection[str]) -> QuerySet[Task]:
    """Those that wait for nothing but a worker."""
    rows: QuerySet[Task] = Task.objects.filter(_is_due(), status=WAITING, queue__in=queues)
    return rows


def _is_due() -> Q:
    return Q(due_at=None) | Q(due_at__lte=Moment())


def _of(kind: str, names: Collection[str]) -> Q:
    return Q(kind=kind, name__in=names)


def holds() -> Q:
    """Messages that have been begun and not ended: no other of their channel may be."""
    return Q(status=RUNNING) | Q(status=WAITING, attempts__gt=0)


def _is_free() -> Q:
    """Whether no other message holds the channel of this one. Two questions: an index answers each."""
    others = Task.objects.filter(kind=Task.Kind.MESSAGE, name=OuterRef("name")).exclude(pk=OuterRef("pk"))
    again = others.filter(status=WAITING, attempts__gt=0)
    return ~Exists(others.filter(status=RUNNING)) & ~Exists(again)


def _claimed(ids: Collection[int]) -> QuerySet[Task]:
    """Those of them that wait still, and whose channel nobody holds."""
    rows: QuerySet[Task] = Task.objects.filter(pk__in=ids, status=WAITING)
    return rows.filter(Q(kind=Task.Kind.TASK) | _is_free())


def _unlocked(rows: QuerySet[Task]) -> QuerySet[Task]:
    """Those that nobody else has locked; they are this transaction's then."""
    return rows.select_for_update(skip_locked=True, no_key=True)


def give_back(worker: UUID, held: Collection[int]) -> None:
    """What the worker has claimed and does not know of waits as before: it was never called."""
    rows = Task.objects.filter(worker=worker, status=RUNNING).exclude(pk__in=held)
    rows.update(status=WAITING, worker=None, attempts=F("attempts") - 1, started_at=None)


def settle(worker: UUID, called: Iterable[Called]) -> set[int]:
    """Write what became of these calls, but for those that somebody has locked, which it gives: for later.

    What is no longer the worker's stays as it is. May be done again.
    """
    became = {each.task: each for each in called}
    mine = _mine(worker, became)
    with locks.brief():
        rows = list(_unlocked(mine).order_by("pk").only(*SETTLED))
        ended = [row for row in rows if became[row.pk].attempt == row.attempts]
        came_back = [row.pk for row in ended if not became[row.pk].error]
        mine.filter(pk__in=came_back).update(
            status=str(TaskStatus.FINISHED), worker=None, ended_at=Moment(), error=""
        )
        for row in ended:
            if error := became[row.pk].error:
                _fail(row, error)
    left = became.keys() - {row.pk for row in rows}
    return set(mine.filter(pk__in=left).values_list("pk", flat=True)) if left else set()


def leave_behind(worker: UUID, tasks: Collection[int], why: str) -> None:
    """These go on, and their worker will not hear of them: whoever frees them says `why`."""
    with locks.brief():
        mine = _mine(worker, tasks)
        mine.filter(pk__in=list(_unlocked(mine).values_list("pk", flat=True))).update(error=why)


def _mine(worker: UUID, tasks: Collection[int]) -> QuerySet[Task]:
    rows: QuerySet[Task] = Task.objects.filter(pk__in=list(tasks), worker=worker, status=RUNNING)
    return rows


SETTLED = ("attempts", "retries", "backoff", "worker", "error")


def _fail(task: Task, error: str) -> None:
    """One that has retries left waits for the next; another has failed. By compare-and-set."""
    row = Task.objects.filter(pk=task.pk, status=RUNNING, worker=task.worker_id, attempts=task.attempts)
    if task.attempts <= task.retries:
        pause = min(task.backoff * 2.0 ** min(task.attempts - 1, 40), LONGEST_PAUSE)
        row.update(
            status=WAITING, worker=None, due_at=Moment() + timedelta(seconds=pause), error=error[-ERROR:]
        )
    else:
        row.update(status=str(TaskStatus.FAILED), worker=None, ended_at=Moment(), error=error[-ERROR:])


def free() -> bool:
    """Fail, or have tried again, what workers had that are gone; whether there was any.

    What somebody has locked is left for another time.
    """
    there = Worker.objects.exclude(state=Worker.State.GONE)
    nobodys = Task.objects.filter(status=RUNNING).exclude(worker__in=there.values("pk"))
    if not nobodys.exists():
        return False
    with locks.brief():
        for row in _unlocked(nobodys).order_by("pk").only(*SETTLED)[:500]:
            _fail(row, row.error or DIED)
    return True


def look(worker: UUID, able: Able) -> Look:
    """What there is to do, in one statement."""
    calls, messages = _of(Task.Kind.TASK, able.tasks), _of(Task.Kind.MESSAGE, able.channels)
    later = Task.objects.filter(calls | messages, status=WAITING, queue__in=able.queues, due_at__gt=Moment())
    row = (
        Worker.objects.filter(pk=worker)
        .annotate(
            calls=Exists(_due(able.queues).filter(calls)),
            messages=Exists(_next_of_channels(able)),
            next=Subquery(later.order_by("due_at").values("due_at")[:1]),
            now=Moment(),
        )
        .values("state", "calls", "messages", "next", "now")
        .first()
    )
    if row is None or row["state"] == Worker.State.GONE:
        return Look(gone=True)
    left = None if row["next"] is None else (row["next"] - row["now"]).total_seconds()
    due = row["calls"] or row["messages"]
    return Look(told_to_leave=row["state"] == Worker.State.DRAINING, due=due, seconds=left)
