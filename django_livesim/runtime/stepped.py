"""Runs a `Simulation` class, in the step thread."""

from __future__ import annotations

from typing import Any

from django_livesim.protocol import plain
from django_livesim.protocol.errors import UnknownCommand
from django_livesim.protocol.records import Entry
from django_livesim.runtime.ports import Catalogue
from django_livesim.simulation import Host, Simulation


class Stepped:
    """One instance of a simulation class and what the runner asks of it."""

    def __init__(self, definition: type[Simulation], host: Host, catalogue: Catalogue) -> None:
        self.definition = definition
        self.host = host
        self.catalogue = catalogue
        self.dt = 1.0 / definition.tick_rate
        self.simulation = definition()
        self.simulation._host = host

    def begin(self, state: dict[str, Any] | None) -> None:
        """Set up anew, or take up a stored state."""
        if state is None:
            self.simulation.setup(**self.catalogue.bind_params(self.definition, self.host.run.params))
        else:
            self.simulation.load(state)
        self.simulation.restore()

    def step(self) -> None:
        self.simulation.step(self.dt)

    def apply(self, entry: Entry) -> bytes:
        """Run a declared command; its value as JSON. Raises what the author's code raises."""
        spec = self.definition.commands.get(entry.name)
        if spec is None:
            raise UnknownCommand(f"{self.definition.name} has no command {entry.name!r} in this version")
        result = spec.function(self.simulation, **self.catalogue.bind_args(spec, entry.args))
        return plain.encode_answer(result)

    def dump(self) -> dict[str, Any]:
        return self.simulation.dump()

    def view(self, role: str) -> dict[str, Any]:
        return self.simulation.view(role)

    def metrics(self) -> dict[str, float]:
        return self.simulation.metrics()
