"""A supervisor with a manual clock, a ledger in memory and an outlet that remembers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID, uuid4

import orjson

from django_livesim.protocol.errors import UnknownSimulation
from django_livesim.protocol.names import Kind, Status
from django_livesim.protocol.records import (
    Committed,
    Entry,
    Held,
    Poll,
    Position,
    RunInfo,
    Stored,
    Verdict,
    Write,
)
from django_livesim.runtime.clock import ManualClock
from django_livesim.runtime.ports import Definition, FrameOut, Options, Output
from django_livesim.runtime.supervisor import Supervisor
from django_livesim.simulation import CommandSpec


class Catalogue:
    """Simulations by name; parameters and arguments go in as they are."""

    def __init__(self, *definitions: Definition) -> None:
        self.definitions = {definition.name: definition for definition in definitions}

    def find(self, name: str) -> Definition:
        if name not in self.definitions:
            raise UnknownSimulation(name)
        return self.definitions[name]

    def bind_params(self, definition: Definition, params: dict[str, Any]) -> dict[str, Any]:
        return params

    def bind_args(self, spec: CommandSpec, args: dict[str, Any]) -> dict[str, Any]:
        return args


class MemoryLedger:
    """One worker's view of a database: answers at once, or when `answering` is turned on again."""

    def __init__(self) -> None:
        self.post: Callable[..., None] = lambda *args: None
        self.runs: dict[UUID, dict[str, Any]] = {}
        self.commands: dict[UUID, list[Entry]] = {}
        self.verdicts: dict[UUID, list[Verdict]] = {}
        self.checkpoints: dict[UUID, list[Stored]] = {}
        self.writes: list[Write] = []
        self.answering = True
        self.held_back: list[Callable[[], None]] = []
        self._ids = itertools.count(1)

    def add(self, definition: Definition, params: Mapping[str, Any], seed: int) -> UUID:
        run = uuid4()
        info = RunInfo(id=run, simulation=definition.name, params=dict(params), seed=seed)
        self.runs[run] = {"info": info, "epoch": 0, "status": Status.WAITING, "worker": False, "speed": 1.0}
        self.runs[run] |= {"tick": 0, "next_seq": 1, "reason": "", "error": "", "result": None, "next": None}
        self.commands[run], self.verdicts[run], self.checkpoints[run] = [], [], []
        return run

    def send(self, run: UUID, name: str, kind: Kind, args: dict[str, Any], **fields: Any) -> Entry:
        number = next(self._ids)
        entry = Entry(
            id=number, client_id=f"c{number}", sender="u:1", kind=kind, name=name, args=args, **fields
        )
        self.commands[run].append(entry)
        return entry

    def poll(
        self, held: Mapping[UUID, Position], claiming: bool, done: Callable[[Poll | None], None]
    ) -> None:
        self._when_answering(lambda: self.post(done, self._look(held, claiming)))

    def write(self, write: Write, done: Callable[[Committed], None]) -> None:
        self._when_answering(lambda: self.post(done, self._commit(write)))

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
        free = [
            run
            for run, row in self.runs.items()
            if row["status"] in (Status.WAITING, Status.RUNNING, Status.PAUSED)
            and not row["worker"]
            and claiming
        ]
        claimed = tuple(self._claim(run) for run in free)
        mine = [run for run in held if run not in lost] + free
        entries = {run: list(self.commands[run]) for run in mine if self.commands[run]}
        return Poll(claimed=claimed, entries=entries, lost=frozenset(lost))

    def _claim(self, run: UUID) -> Held:
        row = self.runs[run]
        row["epoch"] += 1
        row["worker"] = True
        stored = self.checkpoints[run][-1] if self.checkpoints[run] else None
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
            horizon=row["tick"],
            reason=row["reason"],
            stored=stored,
            journal=journal,
        )

    def _commit(self, write: Write) -> Committed:
        row = self.runs[write.run]
        if row["epoch"] != write.epoch or not row["worker"]:
            return Committed.FENCED
        self.writes.append(write)
        row |= {"tick": write.tick, "next_seq": write.next_seq, "speed": write.speed}
        if write.status is not None:
            row |= {"status": write.status, "reason": write.reason}
        self.verdicts[write.run] += write.verdicts
        applied = {verdict.entry.id for verdict in write.verdicts}
        self.commands[write.run] = [entry for entry in self.commands[write.run] if entry.id not in applied]
        if write.checkpoint is not None:
            self.checkpoints[write.run].append(write.checkpoint)
        if write.ended:
            row |= {"worker": False, "error": write.error, "next": write.successor}
            row["result"] = orjson.loads(write.result or b"null")
        if write.release:
            row["worker"] = False
        return Committed.YES


class Outlet:
    def __init__(self) -> None:
        self.outputs: list[tuple[UUID, int, Output]] = []

    def put(self, run: UUID, epoch: int, outputs: Sequence[Output]) -> None:
        self.outputs += [(run, epoch, output) for output in outputs]


class World:
    """A worker's step thread under the test's hand."""

    made: ClassVar[list[World]] = []

    def __init__(self, *definitions: Definition, ledger: MemoryLedger | None = None, **options: Any) -> None:
        self.clock = ManualClock()
        self.ledger = ledger or MemoryLedger()
        self.outlet = Outlet()
        self.definitions = {definition.name: definition for definition in definitions}
        self.supervisor = Supervisor(
            clock=self.clock,
            ledger=self.ledger,
            outlet=self.outlet,
            catalogue=Catalogue(*definitions),
            options=Options(**{"always_check_state": True} | options),
        )
        self.ledger.post = self.supervisor.post
        self.made.append(self)

    def close(self) -> None:
        """End the loops that are still there."""
        for runner in self.supervisor.runners.values():
            runner.drop()
        until = time.monotonic() + 5
        while self.supervisor._loops.tasks and time.monotonic() < until:
            time.sleep(0.001)

    def start(self, definition: Definition, seed: int = 1, /, watch: bool = True, **params: Any) -> UUID:
        run = self.ledger.add(definition, params, seed)
        self.supervisor.ring()
        self.settle()
        if watch:
            self.supervisor.interest(run, ["view"], True)
            self.settle()
        return run

    def settle(self) -> None:
        """Everything that is due now, without the clock moving; own loops are waited for."""
        until = time.monotonic() + 5
        quiet = 0
        while quiet < 3:
            before = self.supervisor._inbox.qsize()
            wait = self.supervisor.turn()
            away = any(runner.away for runner in self.supervisor.runners.values())
            busy = before or wait == 0 or away or self.supervisor._inbox.qsize()
            quiet = 0 if busy else quiet + 1
            if away:
                time.sleep(0.0005)
            if time.monotonic() > until:
                return

    def run_for(self, seconds: float, by: float = 0.01) -> None:
        """Let the clock run, `by` seconds at a time."""
        for _ in range(round(seconds / by)):
            self.clock.advance(by)
            self.settle()

    def send(self, run: UUID, name: str, /, **args: Any) -> Entry:
        entry = self.ledger.send(run, name, Kind.COMMAND, args)
        self.supervisor.ring()
        self.settle()
        return entry

    def control(self, run: UUID, verb: str, /, **args: Any) -> Entry:
        entry = self.ledger.send(run, verb, Kind.CONTROL, args)
        self.supervisor.ring()
        self.settle()
        return entry

    def control_now(self, run: UUID, verb: str, /, **args: Any) -> None:
        """As `control`, where a loop will not come back and is not waited for."""
        self.ledger.send(run, verb, Kind.CONTROL, args)
        self.supervisor.ring()
        for _ in range(5):
            self.supervisor.turn()

    def row(self, run: UUID) -> dict[str, Any]:
        return self.ledger.runs[run]

    def runner(self, run: UUID) -> Any:
        return self.supervisor.runners[run]

    def state(self, run: UUID) -> dict[str, Any]:
        return self.runner(run).program.dump()

    def out(self, kind: type[Output], run: UUID | None = None) -> list[Any]:
        return [
            output
            for of, _, output in self.outlet.outputs
            if isinstance(output, kind) and (run is None or of == run)
        ]

    def frames(self, run: UUID) -> list[tuple[int, Any]]:
        return [(frame.tick, orjson.loads(frame.body)) for frame in self.out(FrameOut, run)]
