"""Looks at layer, database and workers, for `livesim:health` and `livesim doctor`.

Each takes the caller's time and connection, and raises what the layer or the
database raises. `examining` is the way to ask for them with a limit.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from importlib import import_module
from pkgutil import iter_modules
from typing import Any
from uuid import UUID

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.db import connections, router
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, QuerySet

from django_livesim import conf
from django_livesim.bus.layers import get_layer, is_local
from django_livesim.bus.round_trip import round_trip
from django_livesim.models import Run, Worker
from django_livesim.protocol.loads import unsent
from django_livesim.store.moments import Moment

TRIP = 1.0  # seconds a message through the layer may take
MOST = 100  # workers that are told of one by one


@dataclass(frozen=True, kw_only=True)
class Sign:
    """What a look has found: figures, and what is wrong with them in a line; empty where nothing is."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def look_at_layer(limit: float = TRIP) -> Sign:
    """A message to ourselves, brought back in `ms`; None where messages stay in this process."""
    backend = type(get_layer()).__name__
    if is_local():
        kept = "" if django_settings.DEBUG else "messages stay in this process, and DEBUG is off"
        return Sign(figures={"backend": "local", "ms": None}, problem=kept)
    seconds = asyncio.run(round_trip(get_layer(), limit))
    return Sign(figures={"backend": backend, "ms": _ms(seconds)})


def look_at_database() -> Sign:
    """`ms` that it takes to answer, a new connection included, and the migrations that are not applied.

    Where users are in another database than runs, that one has to answer too.
    """
    began = time.monotonic()
    alias = conf.settings.DATABASE
    for each in {alias, router.db_for_read(get_user_model())}:
        with connections[each].cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    seconds = time.monotonic() - began
    missing = missing_migrations(alias)
    figures = {"vendor": connections[alias].vendor, "ms": _ms(seconds), "missing_migrations": missing}
    return Sign(figures=figures, problem=f"{len(missing)} migrations are not applied" if missing else "")


def missing_migrations(alias: str) -> list[str]:
    """The names of our migrations that the database does not have, in order."""
    module, _explicit = MigrationLoader.migrations_module("livesim")
    if module is None:
        return []
    names = {each.name for each in iter_modules(import_module(module).__path__) if each.name[0] not in "_~"}
    recorder = MigrationRecorder(connections[alias])
    if recorder.has_table():
        names -= set(recorder.migration_qs.filter(app="livesim").values_list("name", flat=True))
    return sorted(names)


def present() -> QuerySet[Worker]:
    """Workers that said within LEASE_TTL, by the database's clock, that they live; those that leave too."""
    return Worker.objects.heard_of(timedelta(seconds=conf.settings.LEASE_TTL))


def told_of_tasks(load: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a worker told of tasks: `running`, `threads`, `names`, `channels`; empty for one that steps."""
    told = load.get("tasks")
    return told if isinstance(told, Mapping) else {}


def look_at_workers() -> Sign:
    """Those that are not gone: alive, leaving and silent ones, with beats, load and runs held.

    `queues` counts those that take runs alone.
    """
    there = Worker.objects.exclude(state=Worker.State.GONE)
    rows: list[Any] = list(there.annotate(now=Moment()).order_by("started_at"))
    held = _held(rows)
    each = [_worker(row, (row.now - row.beat_at).total_seconds(), held[row.id]) for row in rows]
    states = Counter(worker["state"] for worker in each)
    alive = [worker for worker in each if worker["state"] == Worker.State.ALIVE]
    stepping = [worker for worker in alive if "tasks" not in worker["load"]]
    figures = {
        "alive": states["alive"],
        "draining": states["draining"],
        "silent": states["silent"],
        "oldest_beat": max((worker["beat_age"] for worker in each), default=None),
        "runs": sum(held.values()),
        "queues": dict(Counter(queue for worker in stepping for queue in worker["queues"])),
        "each": each[:MOST],
    }
    return Sign(figures=figures, problem="" if figures["queues"] else "no worker is alive")


def _worker(row: Worker, age: float, held: int) -> dict[str, Any]:
    silent = age >= conf.settings.LEASE_TTL
    return {
        "id": str(row.id),
        "name": str(row),
        "state": "silent" if silent else str(row.state),
        "queues": row.queues,
        "beat_age": round(age, 1),  # seconds
        "runs": held,
        "load": {key: row.load[key] for key in ("runs", "cpu", "memory") if key in row.load} | _calls(row),
        "unsent": asdict(unsent(row.load)),
    }


def _calls(row: Worker) -> dict[str, Any]:
    told = told_of_tasks(row.load)
    return {"tasks": {key: told.get(key, 0) for key in ("running", "threads")}} if told else {}


def _held(rows: list[Worker]) -> Counter[UUID]:
    found = Run.objects.filter(worker__in=[row.id for row in rows]).order_by()
    return Counter(dict(found.values_list("worker").annotate(Count("id"))))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
