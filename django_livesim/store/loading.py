"""What a worker reads of the runs it holds: what is needed to go on with one, and its waiting commands."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, Min, Q, QuerySet, Window
from django.db.models.functions import Lead, RowNumber

from django_livesim import conf
from django_livesim.models import Checkpoint, Command, Run
from django_livesim.protocol import packed, plain
from django_livesim.protocol.names import Kind, Status, run_group
from django_livesim.protocol.records import DAMAGED, Entry, Held, Passed, RunInfo, Stored
from django_livesim.store.moments import Moment
from django_livesim.store.together import NEWEST as NEWEST
from django_livesim.store.together import PLACE, Together

logger = logging.getLogger(__name__)

FETCH = 1000  # commands taken at one look, of all runs together, or
SHARE = 20  # times the runs, where that is more
SOON = 2.0  # times POLL before its moment at which a command is taken
AHEAD = 100_000  # ticks before its own at which a command is taken: more than any run makes between two looks


def load(
    run_id: UUID, worker: UUID, passed: tuple[Passed, ...] = (), together: Together | None = None
) -> Held | None:
    """Everything needed to go on with a run just claimed; None where it is no longer the worker's.

    What was read `together` with that of other runs is not read again.

    Its checkpoint is the newest whose bytes are what was stored and that is
    not in `passed`. The journal after any checkpoint that is there is whole:
    whoever prunes it keeps what comes after the oldest.
    """
    known = together or Together()
    run = known.runs.get(run_id) or Run.objects.filter(id=run_id, worker=worker).first()
    if run is None:
        return None
    stored, older, passed = _stored(run_id, passed, known)
    after = stored.apply_seq if stored and stored.data else 0
    journal = known.journals.get((run_id, after))
    if journal is None:
        journal = list(Command.objects.filter(run=run_id, apply_seq__gt=after).order_by("apply_seq"))
    return Held(
        info=run_info(run),
        epoch=run.epoch,
        status=Status(run.status),
        tick=run.tick,
        next_seq=run.next_seq,
        speed=run.speed,
        horizon=run.horizon,
        hash=run.hash,
        reason=run.reason,
        begun=run.started_at is not None,
        unproven=run.unproven,
        attempts=run.attempts,
        version=run.version,
        stored=stored,
        older=older,
        passed=passed,
        journal=tuple(map(entry, journal)),
    )


def run_info(run: Run) -> RunInfo:
    """What the simulation may know of its run."""
    return RunInfo(
        id=run.id,
        simulation=run.simulation,
        key=run.key,
        name=run.name,
        params=run.params,
        seed=run.seed,
        owner=None if run.owner_id is None else str(run.owner_id),
        group_name=run_group(run.id),
    )


def newest_checkpoint(run_id: UUID) -> Stored | None:
    """The newest checkpoint whose bytes are what was stored; a damaged one is passed over, and said."""
    return _stored(run_id, (), Together())[0]


def _stored(
    run_id: UUID, passed: tuple[Passed, ...], together: Together
) -> tuple[Stored | None, bool, tuple[Passed, ...]]:
    """The newest good checkpoint not in `passed`, whether there is one before it, and all passed over."""
    rows = Checkpoint.objects.filter(run=run_id)
    places = together.places.get(run_id)
    if places is None:
        places = list(rows.order_by(*NEWEST).values_list(*PLACE))
    known = {(each.tick, each.apply_seq) for each in passed}
    left = [pk for pk, *place in places if tuple(place) not in known]
    while left:
        pk = left.pop(0)
        row = together.checkpoints.get(pk) or rows.filter(pk=pk).first()  # each may hold megabytes
        if row is None:
            continue
        if (stored := _undamaged(row)) is not None:
            return stored, bool(left), passed
        logger.error(
            "damaged checkpoint run=%s epoch=%s tick=%s; the one before it is taken",
            run_id,
            row.epoch,
            row.tick,
        )
        passed = (*passed, Passed(row.tick, row.apply_seq, DAMAGED))
    return None, False, passed


def _undamaged(row: Checkpoint) -> Stored | None:
    data = packed.unpack(bytes(row.data))
    if data is None or plain.digest(data) != row.hash:
        return None
    return Stored(
        tick=row.tick,
        apply_seq=row.apply_seq,
        version=row.version,
        data=data,
        hash=row.hash,
        views=packed.unpack(bytes(row.views)) if row.views is not None else None,
    )


def entry(row: Command) -> Entry:
    return Entry(
        id=row.pk,
        client_id=row.client_id,
        sender=row.sender,
        kind=Kind(row.kind),
        name=row.name,
        args=row.args,
        due_tick=row.due_tick,
        due_in=_due_in(row),
        every=row.every,
        series=row.series,
        apply_seq=row.apply_seq,
        apply_tick=row.apply_tick,
    )


def _due_in(row: Command) -> float | None:
    """Seconds until it is due, of a row that was read to be applied."""
    left: timedelta | None = getattr(row, "due_in", None)
    return None if left is None else max(0.0, left.total_seconds())


class Waiting(NamedTuple):
    """What one look has found of the commands that wait."""

    entries: dict[UUID, list[Entry]]
    full: bool
    """Whether as many were read as are at once."""
    left: dict[UUID, int]
    """Of runs with commands for ticks that were not read: the first of those ticks."""


def waiting(runs: Iterable[UUID]) -> Waiting:
    """Commands of these runs that have no position yet and are due, or will be soon, oldest first.

    All controls; of commands at most `at_once`, each run's first before any
    run's second, so that none waits for what another leaves unanswered. Read
    by `apply_seq IS NULL` and never by `id > last`: ids commit out of order.
    """
    runs = list(runs)
    if not runs:
        return Waiting({}, False, {})
    limit = at_once(len(runs))
    rows = due().annotate(due_in=F("due_at") - Moment()).filter(run__in=runs)
    taken = list(rows.order_by("id")[: limit + 1])
    left: dict[UUID, int] = {}
    if len(taken) > limit:
        taken, left = _in_turn(rows, limit)
    found: dict[UUID, list[Entry]] = {}
    for row in taken:
        found.setdefault(row.run_id, []).append(entry(row))
    return Waiting(found, len(taken) >= limit, left)


def due() -> QuerySet[Any]:
    """Commands that have no position yet and are due, or will be soon; of any run."""
    soon = timedelta(seconds=SOON * conf.settings.POLL)
    return Command.objects.filter(
        Q(due_at=None) | Q(due_at__lte=Moment() + soon),
        Q(due_tick=None) | Q(due_tick__lte=F("run__tick") + AHEAD),
        apply_seq=None,
        outcome="",
    )


def at_once(runs: int) -> int:
    """How many commands are taken at one look at so many runs."""
    return max(FETCH, SHARE * runs)


def _in_turn(rows: Any, limit: int) -> tuple[list[Command], dict[UUID, int]]:
    """Of more rows than are taken at one look: all controls, and the soonest commands of each run in turn.

    With them the first tick of those not taken. Since those without a tick go first, that is the one of
    the command after a run's last; or, where that last has none, the first of all its ticks.
    """
    soonest = [F(each).asc(nulls_first=True) for each in ("due_tick", "due_at")] + [F("id").asc()]
    commands = rows.filter(kind=str(Kind.COMMAND)).annotate(
        place=Window(RowNumber(), partition_by=[F("run")], order_by=soonest),
        next_tick=Window(Lead("due_tick"), partition_by=[F("run")], order_by=soonest),
        first_tick=Window(Min("due_tick"), partition_by=[F("run")]),
    )
    taken = list(commands.order_by("place", "id")[:limit])
    last = {row.run_id: row for row in taken}
    ticks = {run: row.first_tick if row.due_tick is None else row.next_tick for run, row in last.items()}
    controls = rows.filter(kind=str(Kind.CONTROL))
    left = {run: tick for run, tick in ticks.items() if tick is not None}
    return sorted([*controls, *taken], key=lambda row: row.pk), left
