"""What a worker writes of the runs it holds. Every write is fenced."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import Case, CharField, F, Q, Value, When
from django.db.models.functions import Coalesce

from django_livesim.models import Checkpoint, Run, Source
from django_livesim.protocol import plain
from django_livesim.protocol.names import ENDED, Status
from django_livesim.protocol.records import Committed, Position, Write
from django_livesim.store import attaching, checkpoints, intake, locks, sampling, transitions, verdicts
from django_livesim.store.many import update_each
from django_livesim.store.moments import Moment
from django_livesim.store.transitions import Tell, Transition

logger = logging.getLogger(__name__)

FENCE = ("id", "worker", "epoch")
"""By these a run is changed, and no other way."""

POSITION = ("tick", "horizon", "hash", "next_seq", "speed")
"""What every write changes of a run."""

DATA_ERRORS = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
"""What the database, or its driver, says of values that it can never take."""


class Halfway(OperationalError):
    """The database has failed at a write that was tried alone, after others of its batch."""

    def __init__(self, exc: Exception, results: list[str]) -> None:
        """`results` are what became of those."""
        super().__init__(*exc.args)
        self.results = results


def refuse_orphans() -> int:
    """Refuse commands that came in while their run ended; how many there were."""
    ended = [str(status) for status in ENDED]
    with locks.brief():
        return intake.refuse_waiting(run__status__in=ended)


def reserve(worker: UUID, held: Mapping[UUID, Position]) -> dict[UUID, int]:
    """Note how far runs are and how far they may be shown, in one statement; the horizons granted.

    Their figures are stored with that, in another. Of the runs in `held` that
    ask for one, and under the fence: another's is left as it is. So is one
    that somebody else has locked, which asks again.
    Whoever asks has written nothing of a run later than it took its position.
    """
    asked = {run: at for run, at in held.items() if at.horizon is not None}
    if not asked:
        return {}
    with locks.brief():
        taken = locks.taken(asked)
        free = {run: at for run, at in asked.items() if run not in taken}
        rows = [(run, worker, at.epoch, at.tick, at.horizon, at.hash) for run, at in free.items()]
        changed = update_each(Run, FENCE, ("tick", "horizon", "hash"), rows)
        mine = _are_mine(worker, [(run, at.epoch) for run, at in free.items()], changed)
        granted = ((run, at) for run, at in free.items() if (run, at.epoch) in mine)
        sampling.insert((run, each) for run, at in granted for each in at.samples)
    return {run: at.horizon for run, at in free.items() if at.horizon is not None and (run, at.epoch) in mine}


def _are_mine(worker: UUID, fenced: Collection[tuple[UUID, int]], changed: int) -> set[tuple[UUID, int]]:
    """Which of these runs at these epochs are the worker's; a fenced statement has `changed` so many."""
    if changed == len(fenced):
        return set(fenced)
    rows = Run.objects.filter(worker=worker, id__in=[run for run, _ in fenced])
    return set(fenced) & set(rows.values_list("id", "epoch"))


def write(
    worker: UUID,
    writes: Sequence[Write],
    versions: Mapping[str, int] | None = None,
    tell: Tell = transitions.log,
    again: Collection[UUID] = (),
) -> list[str]:
    """Commit the writes in one transaction; what became of each, as `Committed`.

    Where the data of one is at fault, each is tried alone, and the run of
    the bad one fails with the error told, since to try it again would fail
    again. Where somebody else has locked a run, its write is for later, and
    changes nothing. Where the database is at fault, what it raises is raised,
    and each may have committed or not; or `Halfway`, with what is known of
    the first of them.
    `again` are the runs whose write was tried before in that way: one that
    has committed then is not made twice.
    `versions` are those of the code there is, by simulation: what a restart
    begins with. `tell` gets each change of status once it has committed.
    """
    states = [checkpoints.row(one, one.checkpoint) for one in writes if one.checkpoint is not None]
    try:
        with locks.brief():
            results = _write(worker, writes, versions or {}, states, again)
    except (verdicts.Overtaken, locks.Locked, *DATA_ERRORS) as exc:
        if len(writes) > 1:
            return _each_alone(lambda one: write(worker, [one], versions, tell, again), writes)
        if isinstance(exc, verdicts.Overtaken):
            return [Committed.FENCED]
        if isinstance(exc, locks.Locked):
            return [Committed.LATER]
        return [_give_up(worker, writes[0], exc, tell)]
    for one, result in zip(writes, results, strict=True):
        if result == Committed.YES and (transition := Transition.of(one)):
            tell(transition)
    return results


def _each_alone(write: Callable[[Write], list[str]], writes: Iterable[Write]) -> list[str]:
    """What became of each. Raises `Halfway` where the database fails."""
    results: list[str] = []
    for one in writes:
        try:
            results += write(one)
        except (DatabaseError, InterfaceError) as exc:
            raise Halfway(exc, results) from exc
    return results


def _give_up(worker: UUID, one: Write, exc: Exception, tell: Tell = transitions.log) -> str:
    """End as failed a run that the database cannot take the write of; under the same fence."""
    logger.error("what a run did cannot be stored run=%s epoch=%s", one.run, one.epoch, exc_info=exc)
    reason = f"what it did cannot be stored: {type(exc).__name__}"
    with locks.brief():
        held = Run.objects.filter(id=one.run, worker=worker, epoch=one.epoch)
        changed = held.update(
            status=str(Status.FAILED),
            reason=reason,
            error=plain.storable("".join(traceback.format_exception(exc))),
            worker=None,
            ended_at=Moment(),
        )
        if changed:
            intake.refuse_waiting(run=one.run)
    if changed:
        failed = Status.FAILED
        tell(Transition(run=one.run, epoch=one.epoch, previous=one.previous, status=failed, reason=reason))
    return Committed.FENCED


def _write(
    worker: UUID,
    writes: Sequence[Write],
    versions: Mapping[str, int],
    states: Sequence[Checkpoint],
    again: Collection[UUID],
) -> list[str]:
    """All of them, within a transaction: few statements, however many they are."""
    taken = locks.taken([one.run for one in writes])
    there = _there(worker, [one for one in writes if one.run in again and one.run not in taken])
    free = [one for one in writes if one.run not in taken | there]
    mine = _advance(worker, free)
    done = [one for one in free if (one.run, one.epoch) in mine]
    verdicts.note(done)
    verdicts.follow([(one, verdict) for one in done for verdict in one.verdicts])
    checkpoints.insert([row for row in states if (row.run_id, row.epoch) in mine])
    sampling.forget({one.run: one.lost_after for one in done if one.lost_after is not None})
    sampling.insert((one.run, each) for one in done for each in one.samples)
    for one in done:
        if one.ended:
            intake.refuse_waiting(run=one.run)
        if one.successor is not None:
            run = Run.objects.get(id=one.run)
            intake.begin_successor(run, one.successor, version=versions.get(run.simulation))
    return [
        Committed.LATER
        if one.run in taken
        else Committed.YES
        if one.run in there or (one.run, one.epoch) in mine
        else Committed.FENCED
        for one in writes
    ]


def _there(worker: UUID, writes: Sequence[Write]) -> frozenset[UUID]:
    """The runs of those that have committed before, and must not be made again.

    Each verdict moves the journal's next place, and nobody else moves it in that epoch; so one with verdicts
    has committed where the row has come as far. One without says the same again, whether it has or not. The
    runs are locked where there are locks, so that no COMMIT is still on its way that nobody heard of.
    """
    if not writes:
        return frozenset()
    rows = Run.objects.filter(id__in=[one.run for one in writes])
    seen = {row[0]: row[1:] for row in rows.values_list("id", "worker", "epoch", "next_seq", "status")}
    return frozenset(one.run for one in writes if _has_committed(worker, one, seen.get(one.run)))


def _has_committed(worker: UUID, one: Write, row: tuple[UUID | None, int, int, str] | None) -> bool:
    if row is None or row[1:3] != (one.epoch, one.next_seq):
        return False
    if one.ended:
        return row[0] is None and row[3] == one.status
    if one.release:
        return row[0] is None and (bool(one.verdicts) or row[3] not in transitions.GOING)
    return row[0] == worker and bool(one.verdicts)


def _advance(worker: UUID, writes: Sequence[Write]) -> set[tuple[UUID, int]]:
    """Change the runs, which is the fence; those that are the worker's."""
    changes = [(one, _run_changes(one)) for one in writes]
    alike = [one for one, more in changes if not more]
    rows = [(one.run, worker, one.epoch, *_position(one)) for one in alike]
    changed = update_each(Run, FENCE, POSITION, rows)
    mine = _are_mine(worker, [(one.run, one.epoch) for one in alike], changed)
    for one, more in changes:
        held = Run.objects.filter(id=one.run, worker=worker, epoch=one.epoch)
        if more and held.update(**dict(zip(POSITION, _position(one), strict=True)), **more):
            mine.add((one.run, one.epoch))
    return mine


def _position(one: Write) -> tuple[Any, ...]:
    """The values of `POSITION`; the hash was that of the tick before."""
    return one.tick, max(one.horizon, one.tick), "", one.next_seq, one.speed


def _run_changes(one: Write) -> dict[str, Any]:
    """What a write changes of a run beside its position."""
    fields: dict[str, Any] = {}
    if one.status is not None:
        fields |= {"status": str(one.status), "reason": plain.storable(one.reason)[:500]}
        fields["progress"] = one.progress
        fields["started_at"] = Coalesce("started_at", Moment())
    if one.params_set is not None:
        fields["params_set"] = dict(one.params_set)
    if one.version is not None:
        fields["version"] = one.version
    if one.proven:
        fields["unproven"] = 0
    if one.ended:
        fields |= {"worker": None, "ended_at": Moment()}
        if one.error or one.status is not Status.FAILED:  # else what is known of it already is why
            fields["error"] = plain.storable(one.error)
        fields["result"] = orjson.loads(one.result or b"null")
    elif one.release:
        fields |= {"worker": None, **_released(one.status)}
    if one.attempts is not None:
        fields["attempts"] = one.attempts
    if one.retry_in is not None:
        fields["held_back_until"] = Moment() + timedelta(seconds=one.retry_in)
        fields["error"] = plain.storable(one.error)
    return fields


def _released(status: Status | None) -> dict[str, Any]:
    """A run let go by its worker waits for the next, unless it is paused; how it went on is past then."""
    if status is None:
        goes = Q(status__in=[str(each) for each in transitions.GOING])
        waiting, why = Value(str(Status.WAITING)), When(goes, then=_nobody())
        return {
            "status": Case(When(goes, then=waiting), default=F("status"), output_field=CharField()),
            "reason": Case(why, default=F("reason"), output_field=CharField()),
        }
    return {"status": str(Status.WAITING), "reason": _nobody()} if status in transitions.GOING else {}


def _nobody() -> Any:
    """Why a run waits that has just been let go: that of a process of its author's waits for that one."""
    attached = When(source=str(Source.EXTERNAL), then=Value(attaching.NOBODY))
    return Case(attached, default=Value(""), output_field=CharField())
