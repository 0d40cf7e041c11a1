"""A worker's step thread under the hand of a test, with any number of runs and its insides in view.

One run alone, seen as its author sees it, is a `django_livesim.testing.Trial`.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import orjson

from django_livesim import params
from django_livesim.protocol.errors import RegistrationError, UnknownSimulation
from django_livesim.protocol.names import Kind
from django_livesim.protocol.records import Entry
from django_livesim.runtime.clock import ManualClock
from django_livesim.runtime.ports import Definition, FrameOut, Options, Output
from django_livesim.simulation import CommandSpec
from django_livesim.testing.hand import HandSupervisor
from django_livesim.testing.memory import MemoryLedger, MemoryOutlet


class Catalogue:
    """Simulations by name; parameters and arguments go in as they are."""

    def __init__(self, *definitions: Definition) -> None:
        self.definitions = {definition.name: definition for definition in definitions}

    def find(self, name: str) -> Definition:
        if name not in self.definitions:
            raise UnknownSimulation(name)
        return self.definitions[name]

    def bind_params(self, definition: Definition, given: dict[str, Any]) -> dict[str, Any]:
        return given

    def live(self, definition: Definition) -> tuple[str, ...]:
        try:
            return params.live(definition)
        except RegistrationError:  # its parameters have no annotations
            return ()

    def bind_args(self, spec: CommandSpec, args: dict[str, Any]) -> dict[str, Any]:
        return args


class World:
    """A worker's step thread under the test's hand."""

    made: ClassVar[list[World]] = []

    def __init__(self, *definitions: Definition, ledger: MemoryLedger | None = None, **options: Any) -> None:
        self.clock = ManualClock()
        self.ledger = ledger or MemoryLedger()
        if ledger is None:
            self.ledger.now = self.clock.now
        self.outlet = MemoryOutlet()
        self.definitions = {definition.name: definition for definition in definitions}
        self.supervisor = HandSupervisor(
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
        self.supervisor.close()

    def start(self, definition: Definition, seed: int = 1, /, watch: bool = True, **params: Any) -> UUID:
        run = self.ledger.add(definition.name, params, seed)
        self.supervisor.ring()
        self.settle()
        if watch:
            self.supervisor.interest(run, ["view"], True)
            self.settle()
        return run

    def settle(self) -> None:
        """Everything that is due now, without the clock moving; own loops are waited for."""
        self.supervisor.settle()

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
