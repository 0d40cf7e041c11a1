"""What is read of runs that a worker takes up together: a few queries, however many they are."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.models import Q
from django.db.models.functions import Length

from django_livesim.models import Checkpoint, Command, Run

logger = logging.getLogger(__name__)

NEWEST = ("-epoch", "-tick", "-apply_seq")
"""Checkpoints, newest first: who held the run later wrote later, from an earlier tick as it may be."""
SMALL = 2**16  # bytes of a checkpoint that is read with others; a larger one by itself

PLACE = ("pk", "tick", "apply_seq")
Place = tuple[int, int, int]
"""A checkpoint's id, tick and place in the journal."""


@dataclass(frozen=True, kw_only=True)
class Together:
    """Rows by run, or by id; of one that is not there nothing is known."""

    runs: dict[UUID, Run] = field(default_factory=dict)
    places: dict[UUID, list[Place]] = field(default_factory=dict)
    """Of all checkpoints, newest first."""
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    """The newest of each run, where it is small."""
    journals: dict[tuple[UUID, int], list[Command]] = field(default_factory=dict)
    """What comes after such a checkpoint, by its place in the journal; all of it where there is none."""


def read(runs: Collection[UUID], worker: UUID) -> Together:
    """Of those that are the worker's. Where one of them cannot be read, nothing: then each is read alone."""
    if len(runs) < 2:
        return Together()
    try:
        return _read(runs, worker)
    except (OperationalError, InterfaceError):
        raise  # the database is away
    except Exception:
        logger.exception("%s runs cannot be read together, and are read one by one", len(runs))
        return Together()


def _read(runs: Collection[UUID], worker: UUID) -> Together:
    rows = {run.pk: run for run in Run.objects.filter(id__in=runs, worker=worker)}
    places: dict[UUID, list[Place]] = {run: [] for run in rows}
    facts = Checkpoint.objects.filter(run__in=rows).order_by(*NEWEST).values_list("run", *PLACE)
    for run, *place in facts:
        places[run].append((place[0], place[1], place[2]))
    newest = Checkpoint.objects.filter(pk__in=[each[0][0] for each in places.values() if each])
    small = newest.annotate(size=Length("data")).filter(size__lte=SMALL)
    checkpoints = {row.pk: row for row in small}
    after = {run: 0 for run, each in places.items() if not each}
    after |= {row.run_id: row.apply_seq for row in checkpoints.values()}
    return Together(runs=rows, places=places, checkpoints=checkpoints, journals=_journals(after))


def _journals(after: Mapping[UUID, int]) -> dict[tuple[UUID, int], list[Command]]:
    found: dict[tuple[UUID, int], list[Command]] = {place: [] for place in after.items()}
    if after:
        wanted = reduce(or_, (Q(run=run, apply_seq__gt=seq) for run, seq in after.items()))
        for row in Command.objects.filter(wanted).order_by("apply_seq"):
            found[row.run_id, after[row.run_id]].append(row)
    return found
