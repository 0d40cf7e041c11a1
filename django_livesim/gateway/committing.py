"""What waits for the caller's transaction, since nobody else sees before what it has written."""

from __future__ import annotations

from django.db import connections, transaction

from django_livesim import conf
from django_livesim.bus import doorbells, lists
from django_livesim.models import Run


def is_pending() -> bool:
    """Whether a transaction is open here, before whose commit nobody else sees what it has written."""
    return connections[conf.settings.DATABASE].in_atomic_block


def ring(run: Run, *, look: bool | None = None) -> None:
    """Have the run's worker look once this has committed; with `look` its viewers, too.

    By default viewers look where there is no worker who would tell them.
    """
    if look is None:
        look = run.worker_id is None
    run_id, worker_id, looks = run.id, run.worker_id, look

    def bell() -> None:  # a function: Django names it where it has raised
        doorbells.ring(run_id, worker_id, look=looks)

    transaction.on_commit(bell, using=conf.settings.DATABASE, robust=True)


def ring_lists() -> None:
    """Have those look again who show lists of runs, once this has committed."""
    transaction.on_commit(lists.ring, using=conf.settings.DATABASE, robust=True)
