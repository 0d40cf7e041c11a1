"""Runs that nobody steps, and how late commands are."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django_livesim import conf, registry
from django_livesim.cli.doctor.finding import Finding, advice, ok, problem
from django_livesim.cli.workers import how_to_start_one, live_workers
from django_livesim.gateway import lagging
from django_livesim.gateway.lagging import Wait, Waits
from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status

UNHEARD = 5.0  # seconds a run may wait before that is a problem
NAMED = 3  # of them by name


def look_at_waiting() -> Iterator[Finding]:
    """Runs that have waited for longer than a worker takes to see them.

    Of some it is not known since when: these are looked at once more, two polls later.
    """
    waits, workers = Waits(), live_workers()
    found = waits.look()
    late = [wait for wait in found if wait.seconds >= UNHEARD]
    if found and not late and workers:
        time.sleep(2 * conf.settings.POLL)
        late = [wait for wait in waits.look() if wait.seconds >= 2 * conf.settings.POLL]
    elif not workers:
        late = found
    if not late:
        yield ok("runs", "none waits for a worker")
        return
    named = ", ".join(f"{wait.run.hex[:8]} ({wait.status})" for wait in late[:NAMED])
    more = f" and {len(late) - NAMED} more" if len(late) > NAMED else ""
    yield problem("runs", f"no worker has {named}{more}", hint=_why(late[0], workers))


def _why(wait: Wait, workers: list[Worker]) -> str:
    """What would get a run going that nobody has taken."""
    known = [target.name for target in registry.all()]
    if wait.simulation not in known:
        return (
            f"No simulation is called {wait.simulation!r} here; install its app, or: livesim stop {wait.run}"
        )
    if not workers:
        return how_to_start_one()
    if not any(wait.queue in worker.queues for worker in workers):
        return f"Start a worker for its queue: python manage.py livesim_worker --queues {wait.queue}"
    if wait.reason:
        return f"Its row says: {wait.reason}"
    return "The workers that are alive do not take it: look into their logs, or start one more."


def look_at_quarantined() -> Iterator[Finding]:
    """Runs that no worker takes any more, since their own code has harmed workers."""
    found = list(Run.objects.filter(status=str(Status.QUARANTINED)).only("id", "reason")[:100])
    for run in found[:NAMED]:
        yield advice(
            "runs",
            f"{run.id.hex[:8]} is in quarantine: {run.reason}",
            hint="See its error by livesim inspect, mend its code, and: livesim resume " + run.id.hex[:8],
        )
    if len(found) > NAMED:
        message = f"{len(found) - NAMED} more are in quarantine"
        yield advice("runs", message, hint="See: livesim list --status quarantined")


def look_at_lag() -> Iterator[Finding]:
    """Commands that are due; the runs that wait are told of above."""
    late, due = lagging.late_commands()
    if late > lagging.limit():
        yield problem(
            "lag",
            f"{due} commands are due, the oldest for {late:.0f} s. Expected: a few seconds at most",
            hint="Look for a run whose steps take long (livesim list, the admin), or start more workers.",
        )
    else:
        yield ok("lag", f"{due} commands are due, the oldest for {late:.1f} s")
