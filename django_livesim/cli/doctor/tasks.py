"""Tasks and messages of own channels that are due, and that nobody calls."""

from __future__ import annotations

from collections.abc import Iterator

from django_livesim import conf
from django_livesim.cli.doctor.finding import Finding, advice, ok, problem
from django_livesim.cli.tasks import mend
from django_livesim.gateway import backlog
from django_livesim.gateway.backlog import LATE, Lack, Wait
from django_livesim.gateway.vitals import told_of_tasks
from django_livesim.models import Task, Worker
from django_livesim.protocol.names import TaskStatus
from django_livesim.store.tasks import holds

NAMED = 3  # of them by name

LACKS = {
    Lack.WORKER: "no worker calls tasks",
    Lack.QUEUE: "no worker has the queue {queue}",
    Lack.CODE: "no worker of the queue {queue} has the code",
}


def look() -> Iterator[Finding]:
    """Those that have been due for longer than a minute, with the reason."""
    waiting = backlog.waits()
    late = [wait for wait in waiting if wait.seconds > LATE]
    if not late:
        yield ok("tasks", f"{sum(wait.count for wait in waiting)} are due, none for longer than {LATE:.0f} s")
        return
    workers = backlog.callers()
    for wait in late[:NAMED]:
        yield _finding(wait, workers)
    if len(late) > NAMED:
        yield advice("tasks", f"{len(late) - NAMED} more kinds are due", hint="See: livesim tasks")


def _finding(wait: Wait, workers: list[Worker]) -> Finding:
    due = f"{wait.count} of {wait.what} are due, the oldest for {wait.seconds:.0f} s"
    if lack := backlog.lack(wait, workers):
        return problem("tasks", f"{due}: {LACKS[lack].format(queue=wait.queue)}", hint=mend(wait, lack))
    able = [each for each in workers if wait.queue in each.queues and backlog.knows(each, wait)]
    if held := _held(wait):
        return advice("tasks", f"{due}: {held}", hint="A channel handles one message after the other.")
    if all(_is_busy(each) for each in able):
        threads = sum(told_of_tasks(each.load).get("threads", 0) for each in able)
        return advice(
            "tasks",
            f"{due}: all {threads} threads of the workers that call them are busy",
            hint="Start one more worker, or set"
            f' LIVESIM = {{"TASK_THREADS": {2 * conf.settings.TASK_THREADS}}};'
            "\nwhat takes long belongs into a queue and a worker of its own, or into a job.",
        )
    return advice("tasks", due, hint="The workers that are alive are behind, or fail: look into their logs.")


def _is_busy(worker: Worker) -> bool:
    told = told_of_tasks(worker.load)
    return bool(told.get("running", 0) >= told.get("threads", 0))


def _held(wait: Wait) -> str:
    """Which message the others of its channel wait for; empty where there is none, and for tasks."""
    of_channel = Task.objects.filter(kind=Task.Kind.MESSAGE, name=wait.name)
    row = of_channel.filter(holds()).first() if wait.kind == Task.Kind.MESSAGE else None
    if row is None:
        return ""
    if row.status == TaskStatus.RUNNING:
        return f"message {row.pk} is being handled still"
    return f"message {row.pk}, which raised, waits to be tried again"
