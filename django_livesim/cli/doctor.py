"""`livesim doctor`: look at the set-up and say, line by line, what is well and what to do."""

from __future__ import annotations

import asyncio
import uuid
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.core.checks import ERROR
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from django_livesim import checks, conf, registry
from django_livesim.bus.layers import get_layer, is_local
from django_livesim.cli.errors import NotDone, one_line
from django_livesim.cli.output import Output
from django_livesim.cli.workers import how_to_start_one, live_workers
from django_livesim.models import Run, Worker
from django_livesim.store.moments import Moment

ROUND_TRIP = 3.0  # seconds
UNHEARD = 5.0  # seconds a run may wait before that is a problem

OK, ADVICE, PROBLEM = "ok", "advice", "problem"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: `status` is ok, advice or problem; `hint` says what to do."""

    name: str
    status: str
    message: str
    hint: str = ""


def doctor(options: Namespace, out: Output) -> None:
    """Print the findings; raise where one of them is a problem."""
    findings = list(examine())
    if out.as_json:
        out.json([asdict(finding) for finding in findings])
    else:
        _print(findings, out)
    problems = sum(finding.status == PROBLEM for finding in findings)
    if problems:
        raise NotDone("error", f"{problems} of {len(findings)} things are wrong; do as the lines say.")


def _print(findings: list[Finding], out: Output) -> None:
    for finding in findings:
        out.line(f"{finding.status:<8} {finding.name:<12} {one_line(finding.message)}")
        for line in finding.hint.splitlines():
            out.line(f"{'':<21} {line}")


def examine() -> Iterator[Finding]:
    """Every finding; what rests on the database comes only where it answers."""
    yield from _safely("settings", _settings)
    yield from _safely("simulations", _simulations)
    yield from _safely("layer", _layer)
    database = list(_safely("database", _database))
    yield from database
    if all(finding.status != PROBLEM for finding in database):
        yield from _safely("workers", _workers)
        yield from _safely("runs", _waiting_runs)


def _safely(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What `look` finds; what it raises is a finding too."""
    try:
        yield from look()
    except Exception as exc:
        message = f"{type(exc).__name__}: {str(exc).strip() or 'no answer'}"
        yield Finding(name=name, status=PROBLEM, message=message, hint=HINTS[name])


HINTS = {
    "settings": "Put the LIVESIM settings right; see docs/settings.md.",
    "simulations": "Put simulations.py right.",
    "layer": "Start Redis, or correct the address in CHANNEL_LAYERS.",
    "database": "Start the database, or correct DATABASES.",
    "workers": "Run: python manage.py migrate",
    "runs": "Run: python manage.py migrate",
}


def _settings() -> Iterator[Finding]:
    found = [message for check in checks.ALL for message in check() if not message.is_silenced()]
    for message in found:
        status = PROBLEM if message.level >= ERROR else ADVICE
        yield Finding(
            name="settings", status=status, message=f"{message.id} {message.msg}", hint=message.hint or ""
        )
    if not found:
        yield Finding(name="settings", status=OK, message=f"{len(checks.ALL)} checks found nothing")


def _simulations() -> Iterator[Finding]:
    names = [target.name for target in registry.all()]
    if names:
        yield Finding(name="simulations", status=OK, message=", ".join(names))
    else:
        hint = "Write simulations.py in an installed app, with a class or function under @register."
        yield Finding(name="simulations", status=ADVICE, message="none is registered", hint=hint)


def _layer() -> Iterator[Finding]:
    if is_local():
        yield _local_layer()
        return
    layer = get_layer()
    seconds = async_to_sync(_round_trip)(layer)
    message = f"{type(layer).__name__} brought a message back in {seconds * 1000:.0f} ms"
    yield Finding(name="layer", status=OK, message=message)


def _local_layer() -> Finding:
    if django_settings.DEBUG:
        return Finding(name="layer", status=OK, message="none between processes; runserver steps runs itself")
    message = "none between processes, and DEBUG is off: pages get no frames"
    return Finding(name="layer", status=PROBLEM, message=message, hint=checks.LAYER_LINES)


async def _round_trip(layer: Any) -> float:
    """Seconds that a message to ourselves takes. Raises where it does not come."""
    clock = asyncio.get_running_loop().time
    began = clock()
    text = uuid.uuid4().hex
    async with asyncio.timeout(ROUND_TRIP):
        channel = await layer.new_channel("livesim.doctor")
        receiving = asyncio.create_task(layer.receive(channel), name="livesim doctor receives")
        try:
            await layer.send(channel, {"type": "livesim.doctor", "text": text})
            message = await receiving
        finally:
            receiving.cancel()
    if message.get("text") != text:
        raise RuntimeError("the channel layer brought back another message than was sent")
    return clock() - began


def _database() -> Iterator[Finding]:
    alias = conf.settings.DATABASE
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    executor = MigrationExecutor(connection)
    leaves = [node for node in executor.loader.graph.leaf_nodes() if node[0] == "livesim"]
    missing = executor.migration_plan(leaves)
    if missing:
        message = f"{connection.vendor} answers, and {len(missing)} migrations are not applied"
        yield Finding(name="database", status=PROBLEM, message=message, hint="Run: python manage.py migrate")
    else:
        yield Finding(
            name="database", status=OK, message=f"{connection.vendor} answers, all migrations applied"
        )


def _workers() -> Iterator[Finding]:
    workers = live_workers()
    if not workers:
        yield Finding(name="workers", status=PROBLEM, message="none is alive", hint=how_to_start_one())
    for worker in workers:
        held = Run.objects.filter(worker=worker.id).count()
        message = f"{worker} is alive with {held} runs, queues {', '.join(worker.queues) or 'none'}"
        yield Finding(name="workers", status=OK, message=message)


def _waiting_runs() -> Iterator[Finding]:
    workers = live_workers()
    alive = [worker.id for worker in workers]
    unheard = Moment() - timedelta(seconds=UNHEARD)
    late = list(Run.objects.claimable().exclude(worker__in=alive).filter(created_at__lt=unheard)[:100])
    if late:
        named = ", ".join(f"{run.id.hex[:8]} ({run.status})" for run in late[:3])
        more = f" and {len(late) - 3} more" if len(late) > 3 else ""
        yield Finding(
            name="runs",
            status=PROBLEM,
            message=f"no worker has {named}{more}",
            hint=_why(late[0], workers),
        )
    if not late:
        yield Finding(name="runs", status=OK, message="none waits for a worker")


def _why(run: Run, workers: list[Worker]) -> str:
    """What would get a run going that nobody has taken."""
    known = [target.name for target in registry.all()]
    if run.simulation not in known:
        return f"No simulation is called {run.simulation!r} here; install its app, or: livesim stop {run.id}"
    if not workers:
        return how_to_start_one()
    if not any(run.queue in worker.queues for worker in workers):
        return f"Start a worker for its queue: python manage.py livesim_worker --queues {run.queue}"
    return "The workers that are alive do not take it: look into their logs."
