"""A run played by a list of commands, and what it was at each tick."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from django_livesim.protocol import plain
from django_livesim.protocol.names import INSPECT, Kind, Role, Status
from django_livesim.testing.trial import Trial

Command = tuple[int, str, Mapping[str, Any]]
"""The tick after which it acts, its name and its arguments."""

Positions = dict[int, bytes]
"""By tick: what the run was then, when the commands of that tick had been applied."""


class Player:
    """Plays a run, and notes its positions."""

    def __init__(
        self, simulation: Any, params: Mapping[str, Any], seed: int, commands: Iterable[Command]
    ) -> None:
        self.trial = Trial(simulation, params, seed=seed)
        self.positions: Positions = {}
        self._commands = deque(sorted(commands, key=lambda command: command[0]))

    def play(self, until: int) -> None:
        """Up to this tick, its commands included, or to where the run ends."""
        trial = self.trial
        while trial.status is Status.RUNNING and trial.tick <= until:
            while self._commands and self._commands[0][0] <= trial.tick and trial.status is Status.RUNNING:
                _, name, args = self._commands.popleft()
                trial.send(name, args)
            self.positions[trial.tick] = position(trial)
            if trial.tick == until or trial.status is not Status.RUNNING:
                return
            trial._supervisor.interest(trial._run, [], False)  # somebody is there, lest it rests
            trial.step()
        self.positions[trial.tick] = position(trial)

    def store(self) -> None:
        """Have the state stored now."""
        if self.trial.status is Status.RUNNING:
            self.trial._ledger.send(self.trial._run, INSPECT, Kind.CONTROL, {})
            self.trial._look()


def position(trial: Trial) -> bytes:
    """What counts of a run at a boundary, as JSON. Raises BadState."""
    runner = trial._runner
    found: dict[str, Any] = {"state": trial.state}
    if not runner.keeper.stores_state:
        found["view"] = trial.view(Role.OWNER)
    found["params_set"] = runner.host.params_set
    found["random"] = runner.host.random_state()
    found["result"] = trial.result
    return plain.encode(found)


def read(position: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(position)
    return found
