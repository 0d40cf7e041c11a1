"""`livesim drain`: have workers store their runs, let them go and end, and wait for that."""

from __future__ import annotations

import re
import time
from argparse import Namespace
from datetime import timedelta
from typing import Any

from django_livesim import conf
from django_livesim.cli.errors import NotDone, UsageError
from django_livesim.cli.output import Output
from django_livesim.cli.workers import how_to_start_one
from django_livesim.gateway.vitals import told_of_tasks
from django_livesim.models import Run, Worker
from django_livesim.protocol.errors import Code
from django_livesim.store import identity, leases

LOOK = 0.1  # seconds between two looks at the workers
LEAVE = 10.0  # seconds beyond the grace
PREFIX = re.compile(r"[0-9a-f]{8,32}\Z")


def drain(options: Namespace, out: Output) -> None:
    """Tell the workers that are meant to leave; print what they hold until they have left."""
    workers = _meant(options, out)
    told = [worker for worker in workers if leases.tell_to_leave(worker.id)]
    for worker in told:
        if not worker.queues:
            out.hint(f"{worker} is a process that is attached to a run: its block ends at its next sleep")
    left = [] if options.no_wait else _wait(told, _seconds(options), out)
    facts = [_facts(worker) for worker in told]
    if out.as_json:
        out.json(facts)
    elif options.no_wait:
        for fact in facts:
            out.line(f"{fact['name']} is told to leave; it holds {fact['runs']} runs")
    if left:
        names = ", ".join(f"{worker} with {_held(worker)} runs" for worker in left)
        raise NotDone(
            str(Code.TIMEOUT),
            f"not left in {_seconds(options):g} s: {names}. They go on leaving: run this again to wait on,"
            " or end the process; what it stored last counts then.",
        )


def _seconds(options: Namespace) -> float:
    return float(options.timeout or conf.settings.GRACE + LEAVE)


def _meant(options: Namespace, out: Output) -> list[Worker]:
    """The one that is named, all where that was said, or the only one there is."""
    if options.worker:
        return [_named(options.worker, _alive())]
    alive = [worker for worker in _alive() if not told_of_tasks(worker.load)]  # it ends with its parent
    if not alive:
        raise NotDone(str(Code.REFUSED), f"no worker is alive. {how_to_start_one()}")
    if len(alive) == 1 or options.all:
        return alive
    if out.as_json:
        out.json([_facts(worker) for worker in alive])
    else:
        rows = [[worker.id.hex[:8], str(worker), worker.state, _held(worker)] for worker in alive]
        out.table(["WORKER", "PROCESS", "STATE", "RUNS"], rows)
    first = alive[0].id.hex[:8]
    raise UsageError(
        f"{len(alive)} workers are alive, and none is told to leave."
        f" Say which, as in: livesim drain {first}; or all: livesim drain --all"
    )


def _alive() -> list[Worker]:
    within = timedelta(seconds=conf.settings.LEASE_TTL)
    return list(Worker.objects.heard_of(within).order_by("started_at"))


def _named(ref: str, alive: list[Worker]) -> Worker:
    digits = ref.lower().replace("-", "")
    by_id = PREFIX.match(digits)
    found = [each for each in alive if str(each) == ref or (by_id and each.id.hex.startswith(digits))]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{each.id.hex[:8]} ({each})" for each in alive) or "none"
    problem = "more than one worker" if found else "no worker that is alive"
    raise NotDone(
        str(Code.REFUSED),
        f"{ref!r} is {problem}. Expected an id, at least 8 of its digits, or host:process. Alive: {known}",
    )


def _wait(workers: list[Worker], seconds: float, out: Output) -> list[Worker]:
    """Wait until all have left, and say what they still hold; those that have not in time."""
    until = time.monotonic() + seconds
    left, shown = list(workers), {worker.id: -1 for worker in workers}
    while left and time.monotonic() < until:
        for worker in left:
            if (runs := _held(worker)) != shown[worker.id]:
                shown[worker.id] = runs
                out.hint(f"{worker} holds {runs} runs")
        gone = set(_gone(left))
        for worker in [each for each in left if each.id in gone]:
            left.remove(worker)
            if not out.as_json:
                out.line(f"{worker} has left")
        if left:
            time.sleep(LOOK)
    return left


def _gone(workers: list[Worker]) -> list[Any]:
    """Those whose row says so, or is no more, or whose process has ended, which is then said by the row."""
    there = Worker.objects.filter(id__in=[each.id for each in workers]).exclude(state=Worker.State.GONE)
    here, alive = identity.this_process(), set()
    for row in there:
        if leases.has_ended(here, row):
            leases.leave(row.id)  # killed: nobody else may be there to notice
        else:
            alive.add(row.id)
    return [each.id for each in workers if each.id not in alive]


def _held(worker: Worker) -> int:
    return int(Run.objects.filter(worker=worker.id).count())


def _facts(worker: Worker) -> dict[str, Any]:
    state = Worker.objects.filter(id=worker.id).values_list("state", flat=True).first()
    return {
        "worker": worker.id,
        "name": str(worker),
        "state": state or Worker.State.GONE.value,
        "runs": _held(worker),
        "queues": worker.queues,
    }
