"""What a test reads of its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from django_livesim.protocol import plain, tables
from django_livesim.protocol.errors import BadState
from django_livesim.protocol.names import Role, Status
from django_livesim.runtime.ports import EventOut, FrameOut, Output, SendOut
from django_livesim.runtime.runner import Runner
from django_livesim.simulation import Send
from django_livesim.testing.answers import Event, Frame
from django_livesim.testing.hand import HandSupervisor
from django_livesim.testing.memory import MemoryLedger, MemoryOutlet


class Reading:
    """The half of a trial that changes nothing."""

    _run: UUID
    _runner: Runner
    _ledger: MemoryLedger
    _outlet: MemoryOutlet
    _supervisor: HandSupervisor

    @property
    def _row(self) -> dict[str, Any]:
        return self._ledger.runs[self._run]

    @property
    def _held(self) -> Runner | None:
        """The run in memory; None where it has ended."""
        return self._supervisor.runners.get(self._run)

    @property
    def tick(self) -> int:
        """How many steps have been made."""
        return self._row["tick"] if self._held is None else self._held.host.tick

    @property
    def status(self) -> Status:
        return self._row["status"]

    @property
    def reason(self) -> str:
        """Why it has that status, in words; empty where nothing needs to be said."""
        return self._row["reason"]

    @property
    def result(self) -> Any:
        """What it finished with."""
        return self._row["result"]

    @property
    def error(self) -> str:
        """The traceback, or the sentence, of what it failed with; empty where it has not."""
        return self._row["error"]

    @property
    def simulation(self) -> Any:
        """The instance of a class, or the `sim` of a loop, of the run as it is in memory."""
        program: Any = self._runner.program
        return program.sim if hasattr(program, "sim") else program.simulation

    @property
    def params(self) -> Mapping[str, Any]:
        """Its parameters as they are now, as the simulation has them."""
        return self._runner.host.params

    @property
    def state(self) -> dict[str, Any]:
        """A copy of the state; of a run that has ended, as it was stored last.

        Raises BadState where it would not come back as it is, with the path.
        """
        if self._held is None:
            return self._stored_state()
        return stored_form(self._held.program.dump())

    def _stored_state(self) -> dict[str, Any]:
        stored = [each for each in self._ledger.checkpoints[self._run] if each.data]
        state: dict[str, Any] = orjson.loads(stored[-1].data)["state"] if stored else {}
        return state

    def view(self, role: Role | str = Role.VIEW) -> Any:
        """What viewers of that role see, as it reaches them."""
        return orjson.loads(self._runner.screen.seen(str(role)))

    def metrics(self) -> dict[str, float]:
        """The simulation's own figures."""
        figures = orjson.dumps(self._runner.program.metrics(), option=orjson.OPT_SERIALIZE_NUMPY)
        read: dict[str, float] = orjson.loads(figures)
        return read

    @property
    def frames(self) -> list[Frame]:
        """What viewers got, oldest first."""
        return [
            Frame(output.tick, orjson.loads(tables.whole(output.body, output.tables)), output.role)
            for output in self._outputs()
            if isinstance(output, FrameOut)
        ]

    @property
    def events(self) -> list[Event]:
        """What the simulation emitted."""
        return [
            Event(output.name, orjson.loads(output.data), output.tick)
            for output in self._outputs()
            if isinstance(output, EventOut)
        ]

    @property
    def sends(self) -> list[Send]:
        """What it sent to groups and channels of its own."""
        return [output.send for output in self._outputs() if isinstance(output, SendOut)]

    def _outputs(self) -> list[Output]:
        return [output for run, _, output in self._outlet.outputs if run == self._run]


def stored_form(state: dict[str, Any]) -> dict[str, Any]:
    """`state` as it comes back. Raises BadState where that is not what it was."""
    if difference := plain.first_difference(state):
        raise BadState(f"The state does not equal its stored form: {difference}.")
    read: dict[str, Any] = orjson.loads(plain.encode(state))
    return read
