"""Which workers live, as far as the database tells, and which runs nobody steps."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings as django_settings

from django_livesim import conf
from django_livesim.bus.layers import is_local
from django_livesim.models import Run, Source, Worker
from django_livesim.protocol.names import Status
from django_livesim.store.moments import Moment

WANTING = (Status.WAITING, Status.RUNNING, Status.STOPPING)
"""In these somebody ought to step a run, or to end it."""

NOBODY = "no worker is alive"


def live_workers() -> list[Worker]:
    """Those that step runs, and said within LEASE_TTL, by the database's clock, that they live."""
    silence = timedelta(seconds=conf.settings.LEASE_TTL)
    alive = Worker.objects.stepping().filter(state=Worker.State.ALIVE, beat_at__gte=Moment() - silence)
    return list(alive)


def unattended(runs: Iterable[Run]) -> dict[UUID, str]:
    """Why nobody steps them, of those that want it and whose row cannot tell: nobody is there to write it.

    In two queries.
    """
    wanting = [run for run in runs if run.status in WANTING]
    if not wanting:
        return {}
    there = any(worker.queues for worker in live_workers())
    holders = Worker.objects.filter(id__in={run.worker_id for run in wanting} - {None})
    rows: list[Any] = list(holders.annotate(now=Moment()))
    states = {row.id: _state(row, (row.now - row.beat_at).total_seconds()) for row in rows}
    told = {run.id: _told(run, states.get(run.worker_id, ""), there) for run in wanting}
    return {run: why for run, why in told.items() if why}


def _state(holder: Worker, age: float) -> str:
    """What is wrong with a worker that gave its last sign of life `age` seconds ago; empty where it lives."""
    if holder.state == Worker.State.GONE:
        return "gone"
    return f"silent for {age:.0f} s" if age >= conf.settings.LEASE_TTL else ""


def _told(run: Run, holder: str, there: bool) -> str:
    attached = run.source == Source.EXTERNAL
    if run.worker_id is None:
        return "" if attached or there else NOBODY
    if not holder:
        return ""
    whose = "the process that was attached" if attached else "its worker"
    return f"{whose} is {holder}" if attached or there else f"{NOBODY}; its own is {holder}"


def how_to_start_one() -> str:
    """What to do where no worker lives."""
    if is_local() and django_settings.DEBUG:
        return (
            "Start the development server, which steps runs itself once a page of it has been opened:"
            " python manage.py runserver"
        )
    return "Start one: python manage.py livesim_worker"
