"""Worlds in which one thing that keeps the promises is missing: the simulation must find them out.

The switches are here, and not in the package: what is missing is left out by a subclass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django_livesim.protocol.records import Entry, Held
from django_livesim.runtime.gate import Gate
from django_livesim.runtime.ports import Definition, Output
from django_livesim.runtime.runner import Runner
from django_livesim.runtime.supervisor import Supervisor
from tests.reliability.faulty import CommandRow, FaultyDatabase, RunRow
from tests.reliability.ledger import SimulatedLedger
from tests.reliability.witness import PROMISES, Rule
from tests.reliability.worker import SimulatedWorker
from tests.reliability.world import World


class UnfencedDatabase(FaultyDatabase):
    """Takes writes from whoever sends them."""

    def is_mine(self, row: RunRow, worker: UUID, epoch: int) -> bool:
        return True


class OpenGate(Gate):
    """Lets everything out at once."""

    def hold(self, after: int, output: Output) -> None:
        super().hold(0, output)


class UngatedSupervisor(Supervisor):
    def _runner(self, held: Held, definition: Definition) -> Runner:
        runner = super()._runner(held, definition)
        runner.record._gate = OpenGate()
        return runner


class BoundlessDatabase(FaultyDatabase):
    """Grants every horizon, and stores none: an heir goes on from the tick noted last."""

    def grant(self, row: RunRow, horizon: int) -> int:
        row.horizon = row.tick
        return horizon


class LastIdLedger(SimulatedLedger):
    """Asks for commands after the last id that it has seen."""

    _last: dict[UUID, int]

    def waiting(self, runs: Sequence[UUID]) -> dict[UUID, list[Entry]]:
        self._last = getattr(self, "_last", {})
        found = {}
        for run, entries in super().waiting(runs).items():
            found[run] = [entry for entry in entries if entry.id > self._last.get(run, 0)]
            self._last[run] = max(entry.id for entry in entries)
        return found


class ForgetfulDatabase(FaultyDatabase):
    """Stores a command that is sent again under the same id once more."""

    def insert(self, row: CommandRow) -> CommandRow:
        tables = self.runs[row.run]
        while (row.sender, row.client_id) in tables.commands:
            row.client_id += "-again"
        tables.commands[row.sender, row.client_id] = row
        tables.waiting[row.id] = row
        return row


class UnfencedWorld(World):
    database_class = UnfencedDatabase


class UngatedWorld(World):
    class worker_class(SimulatedWorker):
        supervisor_class = UngatedSupervisor


class BoundlessWorld(World):
    database_class = BoundlessDatabase


class LastIdWorld(World):
    class worker_class(SimulatedWorker):
        ledger_class = LastIdLedger


class ForgetfulWorld(World):
    database_class = ForgetfulDatabase


@dataclass(frozen=True, kw_only=True)
class Control:
    """A world with something missing, and the promises that are broken for want of it."""

    world: type[World]
    missing: str
    breaks: frozenset[Rule]


CONTROLS = {
    "fence": Control(
        world=UnfencedWorld,
        missing="the fence of writes",
        breaks=frozenset(PROMISES - {Rule.HEALED}),
    ),
    "gate": Control(
        world=UngatedWorld,
        missing="the gate before outputs",
        breaks=frozenset({Rule.VERDICT, Rule.LINEAGE, Rule.BACKWARDS}),
    ),
    "horizon": Control(
        world=BoundlessWorld,
        missing="the horizon that is stored before it is shown",
        breaks=frozenset({Rule.BACKWARDS, Rule.LINEAGE}),
    ),
    "waiting": Control(
        world=LastIdWorld,
        missing="reading what has no place yet, and not what has a greater id",
        breaks=frozenset({Rule.HEALED, Rule.SENT}),
    ),
    "ids": Control(
        world=ForgetfulWorld,
        missing="one row for each sender's id",
        breaks=frozenset({Rule.ONCE}),
    ),
}
