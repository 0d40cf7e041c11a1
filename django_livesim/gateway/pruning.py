"""Removing what has been kept long enough: the RETENTION setting, carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django_livesim import conf, registry
from django_livesim.gateway import deleting
from django_livesim.protocol.errors import LivesimError
from django_livesim.store import pruning


@dataclass
class Pruned:
    """What was removed, or with a dry run would be."""

    runs: int = 0
    journal: int = 0
    """Commands of runs that stay."""
    tasks: int = 0
    """Tasks, and messages of own channels."""
    workers: int = 0
    kept: list[tuple[UUID, str]] = field(default_factory=list)
    """Runs that could not be removed, and why."""


def prune(*, dry_run: bool = False, told: Callable[[Pruned], None] = lambda pruned: None) -> Pruned:
    """Remove ended runs, old journal, ended tasks and rows of workers that are gone, as RETENTION says.

    Many short transactions: broken off at any moment, it has done a part and
    harmed nothing. `told` hears after each how much it is. For the server's
    own processes: no right is asked for.
    """
    retention = conf.settings.RETENTION
    if dry_run:
        return _count(retention)
    pruned = Pruned()
    for _ in _steps(pruned, retention):
        told(pruned)
    return pruned


def replayed() -> list[str]:
    """Simulations that are recovered by playing their whole journal again."""
    return [each.name for each in registry.all() if each.recovery != "checkpoint"]


def _count(retention: Mapping[str, Any]) -> Pruned:
    days, journal_days, task_days = (retention[each] for each in ("RUNS", "JOURNAL", "TASKS"))
    found = Pruned(workers=pruning.gone_workers().count())
    old = None if days is None else pruning.ended(days)
    if old is not None:
        found.runs = old.count()
    if journal_days is not None:
        rows = pruning.journal(journal_days, replayed())
        found.journal = (rows if old is None else rows.exclude(run__in=old)).count()
    if task_days is not None:
        found.tasks = pruning.tasks(task_days).count()
    return found


def _steps(pruned: Pruned, retention: Mapping[str, Any]) -> Iterator[None]:
    """Everything there is to do, a transaction at a time."""
    days, journal_days, task_days = (retention[each] for each in ("RUNS", "JOURNAL", "TASKS"))
    if days is not None:
        yield from _prune_runs(pruned, days)
    if journal_days is not None:
        for number in _deleted(pruning.journal(journal_days, replayed())):
            pruned.journal += number
            yield
    if task_days is not None:
        for number in _deleted(pruning.tasks(task_days)):
            pruned.tasks += number
            yield
    for number in _deleted(pruning.gone_workers()):
        pruned.workers += number
        yield


def _deleted(rows: Any) -> Iterator[int]:
    """Delete all the rows; how many at each step."""
    number, last = pruning.delete_next(rows)
    while last is not None:
        yield number
        number, last = pruning.delete_next(rows, last)


def _prune_runs(pruned: Pruned, days: float) -> Iterator[None]:
    last, whole = UUID(int=0), set(replayed())
    old = pruning.ended(days).order_by("id").values_list("id", "simulation")
    while found := list(old.filter(id__gt=last)[:100]):
        for last, simulation in found:
            try:
                in_parts = simulation not in whole
                pruned.runs += deleting.delete_while(pruning.ended(days), last, in_parts=in_parts)
            except LivesimError as exc:
                pruned.kept.append((last, exc.message))
            yield
