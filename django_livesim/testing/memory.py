"""The database as one worker sees it, in memory, and a loudspeaker that remembers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import orjson

from django_livesim.protocol.names import CANCEL, CLAIMABLE, Kind, Status, run_group
from django_livesim.protocol.records import (
    Committed,
    Entry,
    Held,
    Passed,
    Poll,
    Position,
    RunInfo,
    Sampled,
    Stored,
    Verdict,
    Write,
)
from django_livesim.runtime.harm import Harm
from django_livesim.runtime.ports import Output


def nobody(*args: Any) -> None:
    """Where answers go before somebody asks for them."""


class MemoryLedger:
    """Implements `runtime.ports.Ledger`: answers at once, or when `answer` is called.

    `runs` has a row for each run, under the names of the columns; `worker` is
    whether it is held. What a run has stored is in `checkpoints`, and its figures by
    tick in `samples`; what became of its commands is in `verdicts`, those that wait
    are in `commands`.
    """

    def __init__(self) -> None:
        self.post: Callable[..., None] = nobody
        self.runs: dict[UUID, dict[str, Any]] = {}
        self.commands: dict[UUID, list[Entry]] = {}
        self.verdicts: dict[UUID, list[Verdict]] = {}
        self.checkpoints: dict[UUID, list[Stored]] = {}
        self.samples: dict[UUID, dict[int, Sampled]] = {}
        self.writes: list[Write] = []
        self.answering = True
        self.held_back: list[Callable[[], None]] = []
        self.now: Callable[[], float] = float
        """The clock of this database; always 0 unless it is given one."""
        self._due: dict[int | None, float] = {}  # by the ids of those that have a moment
        self._ids = itertools.count(1)

    # -- what the gateway does ----------------------------------------------------------------

    def add(self, simulation: str, params: Mapping[str, Any], seed: int, **facts: Any) -> UUID:
        """A run that waits for a worker; `facts` are further ones of its `RunInfo`."""
        run = uuid4()
        facts |= {"params": dict(params), "seed": seed, "group_name": run_group(run)}
        self._add(RunInfo(id=run, simulation=simulation, **facts))
        return run

    def _add(self, info: RunInfo) -> None:
        row = {"info": info, "epoch": 0, "status": Status.WAITING, "worker": False, "speed": 1.0, "tick": 0}
        row |= {"next_seq": 1, "reason": "", "error": "", "result": None, "next": None, "begun": False}
        row |= {"progress": None, "version": 1, "horizon": 0, "hash": "", "attempts": 0, "held_back": 0.0}
        row["params_set"] = {}
        self.runs[info.id] = row
        self.commands[info.id], self.verdicts[info.id], self.checkpoints[info.id] = [], [], []
        self.samples[info.id] = {}

    def params(self, run: UUID) -> dict[str, Any]:
        """The parameters of a run as they are now."""
        return {**self.runs[run]["info"].params, **self.runs[run]["params_set"]}

    def succeed(self, run: UUID, successor: UUID) -> None:
        """The run that follows one that has ended: the same, from setup."""
        info: RunInfo = self.runs[run]["info"]
        self._add(replace(info, id=successor, params=self.params(run), group_name=run_group(successor)))

    def send(
        self, run: UUID, name: str, kind: Kind, args: dict[str, Any], *, sender: str = "u:1", **fields: Any
    ) -> Entry:
        """A command that waits for its run."""
        number = next(self._ids)
        entry = Entry(
            id=number, client_id=f"c{number}", sender=sender, kind=kind, name=name, args=args, **fields
        )
        self._put(run, entry, 0.0 if entry.due_in is None else self.now() + entry.due_in)
        return entry

    def _put(self, run: UUID, entry: Entry, due: float) -> None:
        self._due[entry.id] = due
        self.commands[run].append(entry)

    def _waiting(self, run: UUID) -> list[Entry]:
        """Its commands as they are read now."""
        return [
            replace(each, due_in=max(0.0, self._due[each.id] - self.now())) for each in self.commands[run]
        ]

    def verdict(self, run: UUID, entry: Entry) -> Verdict | None:
        """What became of a command; None while it waits."""
        return next((each for each in self.verdicts[run] if each.entry.id == entry.id), None)

    # -- the worker's view --------------------------------------------------------------------

    def poll(
        self, held: Mapping[UUID, Position], claiming: bool, done: Callable[[Poll | None], None]
    ) -> None:
        self._when_answering(lambda: self.post(done, self._look(held, claiming)))

    def write(self, write: Write, done: Callable[[Committed], None]) -> None:
        self._when_answering(lambda: self.post(done, self._commit(write)))

    def strike(self, run: UUID, epoch: int, harm: Harm) -> None:
        """One that harms its process has failed here, at the first time."""
        row = self.runs[run]
        if row["epoch"] == epoch:
            row |= {"status": Status.FAILED, "worker": False}
            row |= {"reason": f"its code {harm.why}", "error": harm.stack}

    def load_again(self, run: UUID, passed: tuple[Passed, ...], done: Callable[[Held | None], None]) -> None:
        self._when_answering(lambda: self.post(done, self._held(run, passed)))

    def _when_answering(self, act: Callable[[], None]) -> None:
        if self.answering:
            act()
        else:
            self.held_back.append(act)

    def answer(self) -> None:
        """Answer what was held back, and at once from now on."""
        self.answering = True
        acts, self.held_back = self.held_back, []
        for act in acts:
            act()

    def _look(self, held: Mapping[UUID, Position], claiming: bool) -> Poll:
        lost = {run for run, at in held.items() if self.runs[run]["epoch"] != at.epoch}
        mine = [run for run in held if run not in lost]
        for run in mine:
            self._reserve(run, held[run])
        free = [run for run, row in self.runs.items() if self._is_free(row)]
        claimed = tuple(self._claim(run) for run in free) if claiming else ()
        held_now = [*mine, *(each.info.id for each in claimed)]
        entries = {run: self._waiting(run) for run in held_now if self.commands[run]}
        horizons = {run: at.horizon for run, at in held.items() if run in mine and at.horizon is not None}
        return Poll(claimed=claimed, entries=entries, horizons=horizons, lost=frozenset(lost))

    def _is_free(self, row: dict[str, Any]) -> bool:
        return row["status"] in CLAIMABLE and not row["worker"] and row["held_back"] <= self.now()

    def _reserve(self, run: UUID, at: Position) -> None:
        if at.horizon is not None:
            self.runs[run] |= {"tick": at.tick, "horizon": at.horizon, "hash": at.hash}
            self._sample(run, at.samples)

    def _sample(self, run: UUID, samples: Sequence[Sampled], lost_after: int | None = None) -> None:
        if lost_after is not None:
            kept = {tick: each for tick, each in self.samples[run].items() if tick <= lost_after}
            self.samples[run] = kept
        self.samples[run] |= {each.tick: each for each in samples}

    def _claim(self, run: UUID) -> Held:
        row = self.runs[run]
        row["epoch"] += 1
        row["worker"] = True
        return self._held(run)

    def _held(self, run: UUID, passed: tuple[Passed, ...] = ()) -> Held:
        row, places = self.runs[run], {(each.tick, each.apply_seq) for each in passed}
        left = [each for each in self.checkpoints[run] if (each.tick, each.apply_seq) not in places]
        stored = left[-1] if left else None
        since = stored.apply_seq if stored and stored.data else 0
        journal = tuple(
            replace(verdict.entry, apply_seq=verdict.apply_seq, apply_tick=verdict.apply_tick)
            for verdict in self.verdicts[run]
            if verdict.apply_seq > since
        )
        return Held(
            info=row["info"],
            epoch=row["epoch"],
            status=row["status"],
            tick=row["tick"],
            next_seq=row["next_seq"],
            speed=row["speed"],
            horizon=row["horizon"],
            hash=row["hash"],
            reason=row["reason"],
            begun=row["begun"],
            attempts=row["attempts"],
            version=row["version"],
            stored=stored,
            older=len(left) > 1,
            passed=passed,
            journal=journal,
        )

    def _commit(self, write: Write) -> Committed:
        row = self.runs[write.run]
        if row["epoch"] != write.epoch or not row["worker"]:
            return Committed.FENCED
        self.writes.append(write)
        row |= {"tick": write.tick, "horizon": write.horizon, "hash": ""}
        row |= {"next_seq": write.next_seq, "speed": write.speed}
        row["begun"] = row["begun"] or write.begins
        if write.status is not None:
            row |= {"status": write.status, "reason": write.reason, "progress": write.progress}
        row["version"] = write.version or row["version"]
        row["params_set"] = row["params_set"] if write.params_set is None else dict(write.params_set)
        self.verdicts[write.run] += write.verdicts
        applied = {verdict.entry.id for verdict in write.verdicts}
        self.commands[write.run] = [entry for entry in self.commands[write.run] if entry.id not in applied]
        self._follow(write)
        if write.checkpoint is not None:
            self.checkpoints[write.run].append(write.checkpoint)
        self._sample(write.run, write.samples, write.lost_after)
        if write.ended:
            self._end(row, write)
        if write.attempts is not None:
            row["attempts"] = write.attempts
        if write.retry_in is not None:
            row |= {"held_back": self.now() + write.retry_in, "error": write.error}
        if write.release:
            row["worker"] = False
        return Committed.YES

    def _follow(self, write: Write) -> None:
        """The next of what is repeated, one period later; and what was cancelled does not wait any more."""
        waiting = self.commands[write.run]
        for verdict in write.verdicts:
            entry = verdict.entry
            if entry.every:
                number, series = next(self._ids), entry.series or entry.id
                again = replace(entry, id=number, client_id=f"c{number}", series=series)
                self._put(write.run, again, self._due[entry.id] + entry.every)
            if (entry.kind, entry.name) == (Kind.CONTROL, CANCEL):
                command = entry.args["command"]
                waiting[:] = [
                    each
                    for each in waiting
                    if each.id in verdict.kept or command not in (each.id, each.series)
                ]

    def _end(self, row: dict[str, Any], write: Write) -> None:
        row |= {"worker": False, "error": write.error, "next": write.successor}
        self.commands[write.run] = []  # refused, with the code run_ended
        row["result"] = orjson.loads(write.result or b"null")
        if write.successor is not None:
            self.succeed(write.run, write.successor)


class MemoryOutlet:
    """Implements `runtime.ports.Outlet`: keeps what leaves, with its run and epoch."""

    def __init__(self) -> None:
        self.outputs: list[tuple[UUID, int, Output]] = []

    def put(self, run: UUID, epoch: int, outputs: Sequence[Output]) -> None:
        self.outputs += [(run, epoch, output) for output in outputs]
