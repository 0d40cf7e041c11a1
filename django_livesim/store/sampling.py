"""Figures of runs over their ticks: written with what else a worker writes, read, thinned by age."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import Count
from django.db.models.constants import OnConflict
from django.utils import timezone

from django_livesim import conf
from django_livesim.models import Sample
from django_livesim.protocol.figures import WHOLE, superfluous
from django_livesim.protocol.records import Sampled
from django_livesim.store import locks

MOST = 2 * WHOLE  # samples of a run; one that has more is thinned,
OLD = WHOLE // 2  # and has so many that are older than its newest `WHOLE` then
AT_ONCE = 4 * WHOLE  # of its old ones that are looked at at once

COLUMNS = ("run_id", "tick", "values", "created_at")


def insert(given: Iterable[tuple[UUID, Sampled]]) -> None:
    """Store samples, in place of those of the same ticks; one statement, within the caller's transaction.

    The caller has changed the runs under their fence. Each run's ticks are different ones.
    """
    rows = list(given)
    if not rows:
        return
    connection = connections[conf.settings.DATABASE]
    fields: list[Any] = [Sample._meta.get_field(name) for name in ("run", "created_at")]
    run, created_at = (field.get_db_prep_save for field in fields)
    now, clock = timezone.now(), monotonic()
    size = max(1, connection.ops.bulk_batch_size(COLUMNS, rows))
    for start in range(0, len(rows), size):
        params: list[Any] = []
        some = rows[start : start + size]
        for run_id, sampled in some:
            made = now - timedelta(seconds=max(0.0, clock - sampled.at))
            params += run(run_id, connection), sampled.tick, sampled.values.decode()
            params.append(created_at(made, connection))
        with connection.cursor() as cursor:
            cursor.execute(_statement(connection, len(some)), params)


def _statement(connection: Any, rows: int) -> str:
    """By the database's own hand: Django's takes three times as long for each row."""
    quote = connection.ops.quote_name
    columns, values = ", ".join(map(quote, COLUMNS)), ", ".join(["(%s, %s, %s, %s)"] * rows)
    newest = connection.ops.on_conflict_suffix_sql(
        Sample._meta.concrete_fields, OnConflict.UPDATE, COLUMNS[2:], COLUMNS[:2]
    )
    table = quote(Sample._meta.db_table)
    return f"INSERT INTO {table} ({columns}) VALUES {values} {newest}"  # noqa: S608  (names of ours)


def forget(lost: Mapping[UUID, int]) -> None:
    """Delete samples that are later than their run's last tick that was not lost; within a transaction."""
    for run, tick in lost.items():
        Sample.objects.filter(run=run, tick__gt=tick)._raw_delete(conf.settings.DATABASE)


def count(runs: Sequence[UUID]) -> dict[UUID, int]:
    """How many samples each run has."""
    rows = Sample.objects.filter(run__in=list(runs)).order_by().values_list("run")
    return dict.fromkeys(runs, 0) | dict(rows.annotate(number=Count("id")))


def thin(run: UUID) -> int:
    """Take out of a run with more than `MOST` samples what is superfluous; how many it has then.

    Its newest `WHOLE` stay, and of those before them `OLD`, wider apart the older they are. Whoever does it,
    and how often, matters not: a run with no more is left as it is.
    """
    ticks = Sample.objects.filter(run=run).order_by("tick").values_list("tick", flat=True)
    number = count([run])[run]
    if number <= MOST:
        return number
    old = min(number - WHOLE, AT_ONCE)
    found = list(ticks[: old + 1])  # with the one after them
    newest = ticks.reverse()[:1][0]
    gone = superfluous(found, newest, old - OLD)
    with locks.brief():
        rows = Sample.objects.filter(run=run, tick__in=gone)
        return number - rows._raw_delete(conf.settings.DATABASE)


def newest(run: UUID) -> Sample | None:
    """The sample of the latest tick."""
    found: Sample | None = Sample.objects.filter(run=run).order_by("-tick").first()
    return found


def after(run: UUID, tick: int | None = None) -> list[tuple[int, datetime, dict[str, Any]]]:
    """Tick, moment and figures of a run's samples after `tick`, or of all, in order."""
    rows = Sample.objects.filter(run=run).order_by("tick")
    if tick is not None:
        rows = rows.filter(tick__gt=tick)
    return list(rows.values_list("tick", "created_at", "values"))
