"""What a worker reads and writes of the runs it holds. Every write is fenced."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from django.db import DatabaseError, transaction
from django.db.models import BigIntegerField, Case, CharField, F, Q, Value, When
from django.db.models.functions import Now

from django_livesim import conf
from django_livesim.models import Checkpoint, Command, Run
from django_livesim.protocol import packed, plain
from django_livesim.protocol.errors import Code
from django_livesim.protocol.names import ENDED, Kind, Outcome, Status, run_group
from django_livesim.protocol.records import Committed, Entry, Held, RunInfo, Stored, Verdict, Write
from django_livesim.store import intake

logger = logging.getLogger(__name__)

FETCH = 1000  # commands taken at one look
ENDED_MESSAGE = "The run has ended; start it again to send commands."


def load(run_id: UUID, worker: UUID) -> Held | None:
    """Everything needed to go on with a run just claimed; None where it is no longer the worker's."""
    run = Run.objects.filter(id=run_id, worker=worker).first()
    if run is None:
        return None
    stored = newest_checkpoint(run_id)
    journal = Command.objects.filter(
        run=run_id, apply_seq__gt=stored.apply_seq if stored and stored.data else 0
    )
    return Held(
        info=run_info(run),
        epoch=run.epoch,
        status=Status(run.status),
        tick=run.tick,
        next_seq=run.next_seq,
        speed=run.speed,
        horizon=run.horizon,
        stored=stored,
        journal=tuple(entry(row) for row in journal.order_by("apply_seq")),
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
    for row in Checkpoint.objects.filter(run=run_id).order_by("-tick", "-apply_seq"):
        data = packed.unpack(bytes(row.data))
        if data is None or plain.digest(data) != row.hash:
            logger.error("damaged checkpoint run=%s tick=%s; the one before it is taken", run_id, row.tick)
            continue
        return Stored(
            tick=row.tick,
            apply_seq=row.apply_seq,
            version=row.version,
            data=data,
            hash=row.hash,
            views=packed.unpack(bytes(row.views)) if row.views is not None else None,
        )
    return None


def entry(row: Command) -> Entry:
    return Entry(
        id=row.pk,
        client_id=row.client_id,
        sender=row.sender,
        kind=Kind(row.kind),
        name=row.name,
        args=row.args,
        due_tick=row.due_tick,
        apply_seq=row.apply_seq,
        apply_tick=row.apply_tick,
    )


def waiting(runs: Iterable[UUID]) -> dict[UUID, list[Entry]]:
    """Commands of these runs that have no position yet and are due, oldest first.

    Read by `apply_seq IS NULL` and never by `id > last`: ids commit out of order.
    """
    rows = Command.objects.filter(
        Q(due_at=None) | Q(due_at__lte=Now()), run__in=list(runs), apply_seq=None, outcome=""
    )
    found: dict[UUID, list[Entry]] = {}
    for row in rows.order_by("id")[:FETCH]:
        found.setdefault(row.run_id, []).append(entry(row))
    return found


def refuse_orphans() -> int:
    """Refuse commands that came in while their run ended; how many there were."""
    ended = [str(status) for status in ENDED]
    return _refuse(Command.objects.filter(outcome="", run__status__in=ended))


def _refuse(commands: Any) -> int:
    changed: int = commands.update(
        outcome=str(Outcome.REFUSED), code=str(Code.RUN_ENDED), message=ENDED_MESSAGE, applied_at=Now()
    )
    return changed


def note_ticks(worker: UUID, ticks: Mapping[UUID, int]) -> None:
    """Note how far runs are, in one statement: what lists show, and how far an heir plays history again."""
    if not ticks:
        return
    cases = [When(id=run, then=Value(tick)) for run, tick in ticks.items()]
    behind = Run.objects.filter(worker=worker, id__in=list(ticks))
    behind.update(tick=Case(*cases, default=F("tick"), output_field=BigIntegerField()))


def write(worker: UUID, writes: Sequence[Write]) -> list[str]:
    """Commit the writes in one transaction; what became of each, as `Committed`.

    Where the transaction fails, each is tried alone, so that one bad row
    fails one run.
    """
    try:
        with transaction.atomic(using=conf.settings.DATABASE):
            return [_write(worker, one) for one in writes]
    except (DatabaseError, ValueError):
        if len(writes) > 1:
            return [result for one in writes for result in write(worker, [one])]
        logger.exception("write failed run=%s epoch=%s", writes[0].run, writes[0].epoch)
        return [Committed.FAILED]


def _write(worker: UUID, one: Write) -> str:
    if not Run.objects.filter(id=one.run, worker=worker, epoch=one.epoch).update(**_run_fields(one)):
        return Committed.FENCED
    for verdict in one.verdicts:
        _write_verdict(one, verdict)
    if one.checkpoint is not None:
        _write_checkpoint(one, one.checkpoint)
    if one.ended:
        _refuse(Command.objects.filter(run=one.run, outcome=""))
    if one.successor is not None:
        intake.succeed(Run.objects.get(id=one.run), one.successor)
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
    if one.ended:
        fields |= {"worker": None, "ended_at": Now(), "error": plain.storable(one.error)}
        fields["result"] = orjson.loads(one.result or b"null")
    elif one.release:
        fields["worker"] = None
        if one.status is not Status.PAUSED:
            fields |= _released(one)
    return fields


def _released(one: Write) -> dict[str, Any]:
    """A run let go by its worker waits for the next, unless it is paused."""
    running = When(status__in=[str(Status.RUNNING), str(Status.STOPPING)], then=Value(str(Status.WAITING)))
    return {"status": Case(running, default=F("status"), output_field=CharField())}


def _write_verdict(one: Write, verdict: Verdict) -> None:
    Command.objects.filter(id=verdict.entry.id, run=one.run).update(
        apply_seq=verdict.apply_seq,
        apply_tick=verdict.apply_tick,
        epoch=one.epoch,
        outcome=str(verdict.outcome),
        code=verdict.code,
        message=plain.storable(verdict.message),
        result=orjson.loads(verdict.result),
        applied_at=Now(),
    )


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
    newest = (
        Checkpoint.objects.filter(run=one.run).order_by("-tick", "-apply_seq").values_list("pk", flat=True)
    )
    keep = list(newest[: conf.settings.KEEP_CHECKPOINTS])
    Checkpoint.objects.filter(run=one.run).exclude(pk__in=keep).delete()
