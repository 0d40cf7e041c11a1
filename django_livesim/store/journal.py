"""What a worker writes of the runs it holds. Every write is fenced."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from django.db import DatabaseError, DataError, IntegrityError
from django.db.models import BigIntegerField, Case, CharField, F, Value, When
from django.db.models.functions import Coalesce

from django_livesim import conf
from django_livesim.models import Checkpoint, Command, Run
from django_livesim.protocol import packed, plain
from django_livesim.protocol.names import ENDED, Status
from django_livesim.protocol.records import Committed, Stored, Verdict, Write
from django_livesim.store import intake, loading, locks, transitions
from django_livesim.store.moments import Moment
from django_livesim.store.transitions import Tell, Transition

logger = logging.getLogger(__name__)

CODE_LENGTH = 32  # what Command.code holds

DATA_ERRORS = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
"""What the database, or its driver, says of values that it can never take."""


class Overtaken(Exception):
    """A command of a write has its outcome already, from elsewhere: what the run did with it never was."""


def refuse_orphans() -> int:
    """Refuse commands that came in while their run ended; how many there were."""
    ended = [str(status) for status in ENDED]
    with locks.brief():
        return intake.refuse_waiting(run__status__in=ended)


def note_ticks(worker: UUID, ticks: Mapping[UUID, int]) -> None:
    """Note how far runs are, in one statement: what lists show, and how far an heir plays history again.

    Never lowers a tick: a write of the same batch may have gone further. What somebody else has locked
    is passed over; the next note is soon.
    """
    if not ticks:
        return
    cases = [When(id=run, tick__lt=tick, then=Value(tick)) for run, tick in ticks.items()]
    with locks.brief():
        behind = Run.objects.filter(worker=worker, id__in=set(ticks) - locks.taken(ticks))
        behind.update(tick=Case(*cases, default=F("tick"), output_field=BigIntegerField()))


def write(
    worker: UUID,
    writes: Sequence[Write],
    versions: Mapping[str, int] | None = None,
    tell: Tell = transitions.log,
) -> list[str]:
    """Commit the writes in one transaction; what became of each, as `Committed`.

    Where the data of one is at fault, each is tried alone, and the run of
    the bad one fails with the error told, since to try it again would fail
    again. Where the database is at fault, all have failed. Where somebody
    else has locked a run, its write is for later, and changes nothing.
    `versions` are those of the code there is, by simulation: what a restart
    begins with. `tell` gets each change of status once it has committed.
    """
    try:
        with locks.brief():
            taken = locks.taken([one.run for one in writes])
            results = [
                Committed.LATER if one.run in taken else _write(worker, one, versions or {}) for one in writes
            ]
    except (Overtaken, locks.Locked, *DATA_ERRORS) as exc:
        if len(writes) > 1:
            return [result for one in writes for result in write(worker, [one], versions, tell)]
        if isinstance(exc, Overtaken):
            return [Committed.FENCED]
        if isinstance(exc, locks.Locked):
            return [Committed.LATER]
        return [_give_up(worker, writes[0], exc, tell)]
    except DatabaseError:
        logger.exception("%s writes failed worker=%s", len(writes), worker)
        return [Committed.FAILED] * len(writes)
    for one, result in zip(writes, results, strict=True):
        if result == Committed.YES and (transition := Transition.of(one)):
            tell(transition)
    return results


def _give_up(worker: UUID, one: Write, exc: Exception, tell: Tell = transitions.log) -> str:
    """End as failed a run that the database cannot take the write of; under the same fence."""
    logger.error("what a run did cannot be stored run=%s epoch=%s", one.run, one.epoch, exc_info=exc)
    reason = f"what it did cannot be stored: {type(exc).__name__}"
    try:
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
    except DatabaseError:
        logger.exception("write failed run=%s epoch=%s", one.run, one.epoch)
        return Committed.FAILED
    if changed:
        failed = Status.FAILED
        tell(Transition(run=one.run, epoch=one.epoch, previous=one.previous, status=failed, reason=reason))
    return Committed.FENCED


def _write(worker: UUID, one: Write, versions: Mapping[str, int]) -> str:
    if not Run.objects.filter(id=one.run, worker=worker, epoch=one.epoch).update(**_run_fields(one)):
        return Committed.FENCED
    for verdict in one.verdicts:
        _write_verdict(one, verdict)
    if one.checkpoint is not None:
        _write_checkpoint(one, one.checkpoint)
    if one.ended:
        intake.refuse_waiting(run=one.run)
    if one.successor is not None:
        run = Run.objects.get(id=one.run)
        intake.begin_successor(run, one.successor, version=versions.get(run.simulation))
    return Committed.YES


def _run_fields(one: Write) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "tick": one.tick,
        "horizon": one.tick,
        "next_seq": one.next_seq,
        "speed": one.speed,
    }
    if one.status is not None:
        fields |= {"status": str(one.status), "reason": plain.storable(one.reason)[:500]}
        fields["progress"] = one.progress
        fields["started_at"] = Coalesce("started_at", Moment())
    if one.version is not None:
        fields["version"] = one.version
    if one.ended:
        fields |= {"worker": None, "ended_at": Moment(), "error": plain.storable(one.error)}
        fields["result"] = orjson.loads(one.result or b"null")
    elif one.release:
        fields |= {"worker": None, "status": _released(one.status)}
    return fields


def _released(status: Status | None) -> Any:
    """A run let go by its worker waits for the next, unless it is paused."""
    if status is not None:
        return str(Status.WAITING if status in (Status.RUNNING, Status.STOPPING) else status)
    running = When(status__in=[str(Status.RUNNING), str(Status.STOPPING)], then=Value(str(Status.WAITING)))
    return Case(running, default=F("status"), output_field=CharField())


def _write_verdict(one: Write, verdict: Verdict) -> None:
    command = Command.objects.filter(id=verdict.entry.id, run=one.run)
    changed = command.filter(outcome="").update(
        apply_seq=verdict.apply_seq,
        apply_tick=verdict.apply_tick,
        epoch=one.epoch,
        outcome=str(verdict.outcome),
        code=plain.storable(verdict.code)[:CODE_LENGTH],
        message=plain.storable(verdict.message),
        result=orjson.loads(verdict.result),
        applied_at=Moment(),
    )
    if not changed and command.exists():  # a look into the state is deleted by whoever no longer waits for it
        raise Overtaken


def _write_checkpoint(one: Write, stored: Stored) -> None:
    row = Checkpoint(
        run_id=one.run,
        tick=stored.tick,
        apply_seq=stored.apply_seq,
        epoch=one.epoch,
        version=stored.version,
        hash=stored.hash,
        data=packed.pack(stored.data),
        views=None if stored.views is None else packed.pack(stored.views),
    )
    Checkpoint.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["run", "tick", "apply_seq"],
        update_fields=["epoch", "version", "hash", "data", "views"],
    )
    newest = Checkpoint.objects.filter(run=one.run).order_by(*loading.NEWEST).values_list("pk", flat=True)
    keep = list(newest[: conf.settings.KEEP_CHECKPOINTS])
    Checkpoint.objects.filter(run=one.run).exclude(pk__in=keep).delete()
