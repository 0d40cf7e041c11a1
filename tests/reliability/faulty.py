"""The database of the simulation: what `store` means, in memory, one statement at a time.

Each method is one transaction of `store.leases`, `store.loading`, `store.journal` or `store.intake`, and is
carried out at one instant; what lies between two of them, and which of them fail, is for whoever calls.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django_livesim.protocol import plain
from django_livesim.protocol.names import CLAIMABLE, ENDED, Kind, Outcome, Status
from django_livesim.protocol.records import Committed, Entry, Held, Position, RunInfo, Stored, Verdict, Write
from tests.reliability.witness import Witness

KEEP = 3  # checkpoints


class DatabaseDownError(Exception):
    """A statement failed, or nobody knows whether it did."""


@dataclass(slots=True)
class RunRow:
    info: RunInfo
    status: Status = Status.WAITING
    reason: str = ""
    epoch: int = 0
    worker: UUID | None = None
    tick: int = 0
    horizon: int = 0
    hash: str = ""
    next_seq: int = 1
    speed: float = 1.0
    begun: bool = False


@dataclass(slots=True)
class CommandRow:
    id: int
    run: UUID
    sender: str
    client_id: str
    kind: Kind
    name: str
    args: dict[str, Any]
    due_tick: int | None = None
    apply_seq: int | None = None
    apply_tick: int | None = None
    outcome: Outcome = Outcome.NONE
    code: str = ""
    message: str = ""
    result: bytes = b"null"

    def entry(self) -> Entry:
        return Entry(
            id=self.id,
            client_id=self.client_id,
            sender=self.sender,
            kind=self.kind,
            name=self.name,
            args=self.args,
            due_tick=self.due_tick,
            apply_seq=self.apply_seq,
            apply_tick=self.apply_tick,
        )


@dataclass(slots=True)
class WorkerRow:
    id: UUID
    process: object
    beat: int = 0
    gone: bool = False


@dataclass(slots=True)
class CheckpointRow:
    epoch: int
    stored: Stored
    damaged: bool = False

    @property
    def place(self) -> tuple[int, int]:
        return self.stored.tick, self.stored.apply_seq


@dataclass(slots=True)
class RunTables:
    """All rows of one run; `taken` is the history that no database keeps: every checkpoint ever stored."""

    row: RunRow
    commands: dict[tuple[str, str], CommandRow] = field(default_factory=dict)
    waiting: dict[int, CommandRow] = field(default_factory=dict)
    checkpoints: list[CheckpointRow] = field(default_factory=list)
    taken: list[Stored] = field(default_factory=list)

    def journal(self, after: int = 0) -> list[CommandRow]:
        """What has a place in the order of application, in that order."""
        applied = [each for each in self.commands.values() if (each.apply_seq or 0) > after]
        return sorted(applied, key=lambda each: each.apply_seq or 0)


class FaultyDatabase:
    """See the module. `witness` hears of every write that was accepted."""

    def __init__(self, witness: Witness) -> None:
        self.witness = witness
        self.runs: dict[UUID, RunTables] = {}
        self.workers: dict[UUID, WorkerRow] = {}
        self._ids = itertools.count(1)

    # -- the gateway --------------------------------------------------------------------------

    def add(self, info: RunInfo) -> None:
        self.runs[info.id] = RunTables(RunRow(info))

    def next_id(self) -> int:
        """The id of a row whose transaction has yet to commit."""
        return next(self._ids)

    def insert(self, row: CommandRow) -> CommandRow:
        """COMMIT of a row that has its id; the one there is for this sender's id."""
        tables = self.runs[row.run]
        if (known := tables.commands.get((row.sender, row.client_id))) is not None:
            return known
        tables.commands[row.sender, row.client_id] = row
        tables.waiting[row.id] = row
        return row

    def refuse_orphans(self) -> None:
        for tables in self.runs.values():
            if tables.waiting and tables.row.status in ENDED:
                self._refuse_waiting(tables)

    def _refuse_waiting(self, tables: RunTables) -> None:
        for row in tables.waiting.values():
            row.outcome, row.code = Outcome.REFUSED, "run_ended"
        tables.waiting.clear()

    # -- workers ------------------------------------------------------------------------------

    def register(self, worker: UUID, process: object) -> None:
        self.workers[worker] = WorkerRow(worker, process)

    def beat(self, worker: UUID) -> bool:
        row = self.workers[worker]
        row.beat += not row.gone
        return not row.gone

    def leave(self, worker: UUID) -> None:
        self.workers[worker].gone = True

    def peers(self, me: UUID) -> list[tuple[UUID, int, object]]:
        """Those not declared gone: id, beat and process."""
        return [
            (row.id, row.beat, row.process) for row in self.workers.values() if not row.gone and row.id != me
        ]

    def declare_gone(self, worker: UUID, beat: int) -> bool:
        row = self.workers[worker]
        if row.gone or row.beat != beat:
            return False
        row.gone = True
        return True

    # -- leases -------------------------------------------------------------------------------

    def is_mine(self, row: RunRow, worker: UUID, epoch: int) -> bool:
        """The fence."""
        return row.worker == worker and row.epoch == epoch

    def lost(self, worker: UUID, held: Mapping[UUID, Position]) -> frozenset[UUID]:
        rows = {run: self.runs[run].row for run in held}
        return frozenset(
            run for run, at in held.items() if (rows[run].worker, rows[run].epoch) != (worker, at.epoch)
        )

    def reserve(self, worker: UUID, asked: Mapping[UUID, Position]) -> dict[UUID, int]:
        """Note how far runs are, and grant the horizons that they ask for; each under its fence."""
        granted = {}
        for run, at in asked.items():
            row = self.runs[run].row
            if self.is_mine(row, worker, at.epoch):
                self.witness.accepted(row, worker, at.epoch)
                row.tick, row.hash = at.tick, at.hash
                granted[run] = self.grant(row, at.horizon or 0)
        return granted

    def grant(self, row: RunRow, horizon: int) -> int:
        """The last tick that may be shown from now on: less than before, where the run rests."""
        row.horizon = max(row.tick, horizon)
        return horizon

    def claimable(self, worker: UUID, held: Sequence[UUID]) -> list[tuple[UUID, int, UUID | None]]:
        """Runs that nobody alive holds: id, epoch and worker as they were seen."""
        rows = (tables.row for tables in self.runs.values())
        return [
            (row.info.id, row.epoch, row.worker)
            for row in rows
            if row.status in CLAIMABLE and self._is_free(row, worker, held)
        ]

    def _is_free(self, row: RunRow, worker: UUID, held: Sequence[UUID]) -> bool:
        if row.worker is None or self.workers[row.worker].gone:
            return True
        return row.worker == worker and row.info.id not in held

    def claim(self, worker: UUID, run: UUID, epoch: int, holder: UUID | None) -> bool:
        row = self.runs[run].row
        if row.epoch != epoch or row.worker != holder or row.status not in CLAIMABLE:
            return False
        row.worker, row.epoch = worker, epoch + 1
        self.witness.claimed(row, worker)
        return True

    # -- loading ------------------------------------------------------------------------------

    def row(self, run: UUID, worker: UUID) -> RunRow | None:
        row = self.runs[run].row
        return replace(row) if row.worker == worker else None

    def newest_checkpoint(self, run: UUID) -> Stored | None:
        whole = (each.stored for each in reversed(self.runs[run].checkpoints) if not each.damaged)
        return next(whole, None)

    def journal(self, run: UUID, after: int) -> tuple[Entry, ...]:
        return tuple(each.entry() for each in self.runs[run].journal(after))

    def waiting(self, runs: Sequence[UUID]) -> dict[UUID, list[Entry]]:
        """Commands without a place and without an outcome, the oldest id first."""
        return {run: found for run in runs if (found := self._waiting(self.runs[run]))}

    def _waiting(self, tables: RunTables) -> list[Entry]:
        return [tables.waiting[each].entry() for each in sorted(tables.waiting)]

    # -- the journal --------------------------------------------------------------------------

    def write(self, worker: UUID, writes: Sequence[Write], again: Collection[UUID] = ()) -> list[Committed]:
        """The writes in one transaction; one that would be overtaken is fenced alone.

        Of those `again` nobody knows whether they have committed before.
        """
        return [
            Committed.YES
            if each.run in again and self._has_committed(worker, each)
            else self._write(worker, each)
            for each in writes
        ]

    def _has_committed(self, worker: UUID, one: Write) -> bool:
        row = self.runs[one.run].row
        if (row.epoch, row.next_seq) != (one.epoch, one.next_seq):
            return False
        if one.ended:
            return row.worker is None and row.status == one.status
        return row.worker == worker and bool(one.verdicts) and not one.release

    def _write(self, worker: UUID, one: Write) -> Committed:
        tables = self.runs[one.run]
        row = tables.row
        if not self.is_mine(row, worker, one.epoch):
            self.witness.fenced()
            return Committed.FENCED
        rows = [tables.commands[each.entry.sender, each.entry.client_id] for each in one.verdicts]
        if any(each.outcome for each in rows):
            return Committed.FENCED
        self.witness.accepted(row, worker, one.epoch)
        row.tick, row.hash, row.next_seq, row.speed = one.tick, "", one.next_seq, one.speed
        row.begun = row.begun or one.begins
        for command, verdict in zip(rows, one.verdicts, strict=True):
            self._write_verdict(tables, command, verdict)
        if one.checkpoint is not None:
            self._write_checkpoint(tables, one.epoch, one.checkpoint)
        self._write_status(tables, one)
        self.grant(row, one.horizon)
        return Committed.YES

    def _write_verdict(self, tables: RunTables, row: CommandRow, verdict: Verdict) -> None:
        row.apply_seq, row.apply_tick = verdict.apply_seq, verdict.apply_tick
        row.outcome, row.code, row.message = verdict.outcome, verdict.code, verdict.message
        row.result = verdict.result
        tables.waiting.pop(row.id, None)

    def _write_checkpoint(self, tables: RunTables, epoch: int, stored: Stored) -> None:
        row = CheckpointRow(epoch, replace(stored, hash=plain.digest(stored.data)))
        tables.taken.append(row.stored)
        others = [each for each in tables.checkpoints if each.place != row.place]
        tables.checkpoints = sorted([*others, row], key=lambda each: (each.epoch, each.place))[-KEEP:]

    def _write_status(self, tables: RunTables, one: Write) -> None:
        row = tables.row
        if one.status is not None:
            row.status, row.reason = one.status, one.reason
            self.witness.stated(row)
        if one.ended:
            row.worker = None
            self._refuse_waiting(tables)
        elif one.release:
            row.worker = None
            if row.status in (Status.RUNNING, Status.STOPPING):
                row.status = Status.WAITING


def held(row: RunRow, stored: Stored | None, journal: tuple[Entry, ...]) -> Held:
    """Everything needed to go on with a run just claimed, out of what was read of it."""
    return Held(
        info=row.info,
        epoch=row.epoch,
        status=row.status,
        tick=row.tick,
        next_seq=row.next_seq,
        speed=row.speed,
        horizon=row.horizon,
        hash=row.hash,
        reason=row.reason,
        begun=row.begun,
        stored=stored,
        journal=journal,
    )
