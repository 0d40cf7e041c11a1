"""The tasks and messages that a test has enqueued, called by the test itself."""

from __future__ import annotations

import inspect
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import DatabaseError

from django_livesim.background import handlers
from django_livesim.protocol import plain

if TYPE_CHECKING:
    from django_livesim.models import Task
    from django_livesim.store.tasks import Able


def run_tasks(*, later: bool = False, most: int = 1000) -> int:
    """Call what is due, here and now in this thread, until nothing is; how many calls that were.

    With `later`, what waits for its time is called too, in the order of these times. Of every queue. Rows
    are claimed and written as by a worker; but the calls are made on the test's own connection, and in its
    transaction if it has one.

    The first exception that a call raises is raised here, once its row says so: that the task has failed or,
    where it has retries left, waits for the next; a further call of `run_tasks` goes on. Raises RuntimeError
    once `most` calls were made.
    """
    from django_livesim.store import identity, leases

    worker = leases.register(identity.this_process(), ())
    try:
        for calls in range(most):
            if not _call_next(worker, later):
                return calls
    finally:
        with suppress(DatabaseError):  # what has broken the transaction of the test is told by its own error
            leases.leave(worker)
    raise RuntimeError(
        f"run_tasks() has made {most} calls and sees no end. Where a task enqueues itself again, leave out"
        " `later`; where there are so many, give a larger `most`."
    )


def _call_next(worker: UUID, later: bool) -> bool:
    """Whether there was one."""
    from django_livesim.store import tasks

    able = _able()
    while not (claimed := tasks.claim(worker, (), able, 1)):
        if not (later and _hasten(able)):
            return False
    row = claimed[0]
    try:
        _call(row)
    except BaseException:
        error = plain.storable(traceback.format_exc())
        with suppress(DatabaseError):
            tasks.settle(worker, [tasks.Called(task=row.pk, attempt=row.attempts, error=error)])
        raise
    tasks.settle(worker, [tasks.Called(task=row.pk, attempt=row.attempts)])
    return True


def _able() -> Able:
    """All that is registered, of every queue in which something waits."""
    from django_livesim.models import Task
    from django_livesim.store.tasks import WAITING, Able

    queues = Task.objects.filter(status=WAITING).order_by().values_list("queue", flat=True).distinct()
    return Able(queues=tuple(queues), tasks=tuple(handlers.tasks), channels=tuple(handlers.channels))


def _hasten(able: Able) -> bool:
    """Make due what would be next; whether anything waits for its time."""
    from django.db.models import Q

    from django_livesim.models import Task
    from django_livesim.store.moments import Moment
    from django_livesim.store.tasks import WAITING

    known = Q(kind=Task.Kind.TASK, name__in=able.tasks) | Q(kind=Task.Kind.MESSAGE, name__in=able.channels)
    waiting = Task.objects.filter(known, status=WAITING, due_at__gt=Moment()).order_by("due_at", "pk")
    first = waiting.values_list("pk", flat=True).first()
    return first is not None and bool(waiting.filter(pk=first).update(due_at=Moment()))


def _call(row: Task) -> Any:
    from django_livesim.models import Task

    handler = (handlers.channels if row.kind == Task.Kind.MESSAGE else handlers.tasks)[row.name]
    args, kwargs = ([row.args], {}) if handler.is_channel else row.args
    if inspect.iscoroutinefunction(handler.function):
        return async_to_sync(handler.function)(*args, **kwargs)
    return handler.function(*args, **kwargs)
