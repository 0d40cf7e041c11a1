"""What waits to be called, tasks and messages of own channels, and whether somebody is there to call it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Count, Min, Q, QuerySet
from django.db.models.functions import Coalesce

from django_livesim.gateway.vitals import Sign, present, told_of_tasks
from django_livesim.models import Task, Worker
from django_livesim.protocol.names import TaskStatus
from django_livesim.store.moments import Moment

LATE = 60.0  # seconds for which something may be due that nobody calls
TOLD = 20  # kinds of it that are told of one by one


class Lack(StrEnum):
    """Why nobody calls what is due."""

    NOTHING = ""
    WORKER = "worker"
    """No worker calls tasks."""
    QUEUE = "queue"
    """None has its queue."""
    CODE = "code"
    """None that has its queue knows the task, or the channel."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Those of one name and queue that are due: tasks, or messages of a channel."""

    kind: str
    name: str
    queue: str
    count: int
    seconds: float
    """For which the oldest of them has been due."""

    @property
    def what(self) -> str:
        """For people."""
        return f"channel {self.name}" if self.kind == Task.Kind.MESSAGE else self.name


def waits() -> list[Wait]:
    """All that is due, what has waited longest first; one statement, which reads those that wait alone."""
    since = Coalesce("due_at", "created_at")
    found = due().order_by().values("kind", "name", "queue")
    rows = found.annotate(count=Count("pk"), since=Min(since), now=Moment())
    each = [
        Wait(
            kind=row["kind"],
            name=row["name"],
            queue=row["queue"],
            count=row["count"],
            seconds=max((row["now"] - row["since"]).total_seconds(), 0.0),
        )
        for row in rows
    ]
    return sorted(each, key=lambda wait: -wait.seconds)


def due() -> QuerySet[Task]:
    """Those that wait for nothing but a worker, or for the one before them in their channel."""
    rows: QuerySet[Task] = Task.objects.filter(status=str(TaskStatus.WAITING))
    return rows.filter(Q(due_at=None) | Q(due_at__lte=Moment()))


def callers() -> list[Worker]:
    """The workers that call tasks, live, and have not been told to leave."""
    there = present().filter(state=Worker.State.ALIVE)
    return [worker for worker in there if told_of_tasks(worker.load)]


def lack(wait: Wait, workers: Iterable[Worker]) -> Lack:
    """Why none of these workers calls it."""
    workers = list(workers)
    of_queue = [worker for worker in workers if wait.queue in worker.queues]
    if not of_queue:
        return Lack.QUEUE if workers else Lack.WORKER
    return Lack.NOTHING if any(knows(worker, wait) for worker in of_queue) else Lack.CODE


def knows(worker: Worker, wait: Wait) -> bool:
    """Whether its code has the task, or handles the channel."""
    which = "channels" if wait.kind == Task.Kind.MESSAGE else "names"
    return wait.name in told_of_tasks(worker.load).get(which, ())


def look_at_tasks() -> Sign:
    """How many are due, for how long the oldest is, and how many are being called, as workers told last.

    Something is wrong where it has been due for `LATE` seconds, in which no worker was there for it.
    """
    waiting = waits()
    heard = Worker.objects.filter(beat_at__gt=Moment() - timedelta(seconds=LATE))
    lately = [worker for worker in heard if told_of_tasks(worker.load)]
    unserved = [wait for wait in waiting if wait.seconds > LATE and lack(wait, lately)]
    now = [told_of_tasks(worker.load) for worker in callers()]
    figures = {
        "waiting": sum(wait.count for wait in waiting),
        "oldest_due": round(waiting[0].seconds, 1) if waiting else 0.0,
        "running": sum(told.get("running", 0) for told in now),
        "threads": sum(told.get("threads", 0) for told in now),
        "each": [_facts(wait) for wait in waiting[:TOLD]],
        "limit": LATE,
    }
    return Sign(figures=figures, problem=_problem(unserved))


def _facts(wait: Wait) -> dict[str, Any]:
    named = {"kind": str(wait.kind), "name": wait.name, "queue": wait.queue}
    return named | {"due": wait.count, "oldest": round(wait.seconds, 1)}


def _problem(unserved: list[Wait]) -> str:
    if not unserved:
        return ""
    first = unserved[0]
    more = f", and {len(unserved) - 1} more of the kind" if len(unserved) > 1 else ""
    return f"{first.what} is due for {first.seconds:.0f} s, and no worker calls it{more}"
