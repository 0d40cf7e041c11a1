"""`livesim tasks`: what workers are to call, are calling, and have called."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime
from typing import Any

from django.utils.timezone import is_aware, localtime

from django_livesim.background import handlers
from django_livesim.cli.errors import NotDone
from django_livesim.cli.output import Output
from django_livesim.cli.refs import cli_actor
from django_livesim.cli.workers import how_to_start_one
from django_livesim.gateway import backlog, enqueuing
from django_livesim.gateway.backlog import Lack, Wait
from django_livesim.models import Task
from django_livesim.protocol.errors import Code

NAMED = 3  # kinds of waiting ones that nobody calls, told of by name


def tasks(options: Namespace, out: Output) -> None:
    """List them; or cancel one, or have one called again."""
    if options.cancel:
        _act(options.cancel, "cancelled", "Only one that waits can be cancelled", out)
    elif options.again:
        _act(options.again, "waiting", "Only one that failed or was cancelled is called again", out)
    else:
        _list(options, out)


def _act(task: int, becomes: str, expected: str, out: Output) -> None:
    rows = Task.objects.select_related("worker").filter(pk=task)
    act = enqueuing.cancel if becomes == "cancelled" else enqueuing.again
    done = act([task], actor=cli_actor()) if rows.exists() else []
    row = rows.first()
    if row is None:
        raise NotDone(str(Code.NO_RUN), f"there is no task {task}. See: livesim tasks")
    if not done:
        raise NotDone(str(Code.REFUSED), f"{row} is {row.status}. {expected}")
    if out.as_json:
        out.json(_facts(row))
    else:
        out.line(f"{row} is {becomes}")


def _list(options: Namespace, out: Output) -> None:
    rows = Task.objects.select_related("worker").defer("worker__load").order_by("-pk")
    if options.status:
        rows = rows.filter(status=options.status)
    if options.name:
        rows = rows.filter(kind__in=Task.Kind.values, name=options.name)
    found = list(rows[: options.limit])
    waiting = backlog.waits()
    if out.as_json:
        sign = backlog.look_at_tasks()
        out.json({**sign.figures, "tasks": [_facts(row) for row in found]})
    else:
        out.line(_summary(waiting))
        if found:
            out.table(list(COLUMNS), [[_cell(fact, name) for name in COLUMNS] for fact in map(_facts, found)])
    workers = backlog.callers() if waiting else []
    lacking = [wait for wait in waiting if backlog.lack(wait, workers)]
    for wait in lacking[:NAMED]:
        out.hint(f"Nobody calls {wait.what}. {mend(wait, backlog.lack(wait, workers))}")


COLUMNS = ("TASK", "STATUS", "NAME", "QUEUE", "ATTEMPTS", "CREATED", "DUE", "WORKER", "ERROR")


def _summary(waiting: list[Wait]) -> str:
    if not waiting:
        return "None is due"
    count = sum(wait.count for wait in waiting)
    return f"{count} are due, the oldest for {waiting[0].seconds:.0f} s"


def mend(wait: Wait, lack: Lack) -> str:
    """What gets those called that nobody calls."""
    if lack is Lack.WORKER:
        return how_to_start_one()
    if lack is Lack.QUEUE:
        return f"Start a worker for its queue: python manage.py livesim_worker --queues {wait.queue}"
    known = handlers.channels if wait.kind == Task.Kind.MESSAGE else handlers.tasks
    if wait.name in known:
        return "The workers have other code than is here: have them leave by livesim drain, and start anew"
    return (
        "The code here does not know it either: install its app, import it in that app's simulations.py,"
        " or take them back one by one:"
        " livesim tasks --cancel ID"
    )


def _facts(row: Task) -> dict[str, Any]:
    return {
        "task": row.pk,
        "kind": str(row.kind),
        "name": row.name,
        "key": row.key,
        "queue": row.queue,
        "status": str(row.status),
        "attempts": row.attempts,
        "created": row.created_at,
        "due": row.due_at,
        "started": row.started_at,
        "ended": row.ended_at,
        "worker": None if row.worker is None else str(row.worker),
        "args": row.args,
        "error": row.error,
    }


def _cell(fact: dict[str, Any], column: str) -> Any:
    value = fact[column.lower()]
    if isinstance(value, datetime):
        return f"{localtime(value) if is_aware(value) else value:%Y-%m-%d %H:%M:%S}"
    return value.strip().rpartition("\n")[2] if column == "ERROR" else value
