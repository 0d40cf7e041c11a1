"""A simulation whose state tells what became of every command, and the same once more without the package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import orjson

from django_livesim.protocol.errors import Refused, UnknownSimulation
from django_livesim.protocol.names import Kind, Outcome
from django_livesim.protocol.records import RunInfo, Stored
from django_livesim.runtime.ports import Definition
from django_livesim.simulation import CommandSpec, Simulation, command
from tests.reliability.faulty import CommandRow

MASK = 2**40
REFUSED = "!"
"""Ends the ids of commands that the simulation declines."""


class Tally(Simulation):
    """Counts its ticks, keeps each command's id, and mixes random numbers into both."""

    tick_rate = 2

    def setup(self) -> None:
        self.state = {"n": 0, "x": 1, "ids": []}

    def step(self, dt: float) -> None:
        state = self.state
        state["n"] += 1
        state["x"] = (state["x"] * 31 + self.random.getrandbits(16)) % MASK

    @command
    def add(self, id: str) -> int:
        if id.endswith(REFUSED):
            raise Refused("not that one")
        self.state["ids"].append(id)
        self.state["x"] ^= self.random.getrandbits(16)
        return len(self.state["ids"])


class FastTally(Tally):
    """The same with more ticks between two looks into the database."""

    tick_rate = 5


class ReplayedTally(Tally):
    """The same without a stored state: an heir plays it from the beginning."""

    recovery = "replay"


DEFINITIONS: dict[str, type[Tally]] = {each.name: each for each in (Tally, FastTally, ReplayedTally)}


class Catalogue:
    """Arguments go in as they are."""

    def find(self, name: str) -> Definition:
        if name not in DEFINITIONS:
            raise UnknownSimulation(name)
        return DEFINITIONS[name]

    def bind_params(self, definition: Definition, params: dict[str, Any]) -> dict[str, Any]:
        return params

    def live(self, definition: Definition) -> tuple[str, ...]:
        return ()

    def bind_args(self, spec: CommandSpec, args: dict[str, Any]) -> dict[str, Any]:
        return args


class Model:
    """What a `Tally` must be, written a second time: a state, and the generator that it draws from."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.ids: list[str] = []
        self.n, self.x = 0, 1

    def take_up(self, document: dict[str, Any]) -> None:
        state = document["state"]
        self.n, self.x, self.ids = state["n"], state["x"], list(state["ids"])
        if document["random"] is not None:
            version, internal, gauss = document["random"]
            self.random.setstate((version, tuple(internal), gauss))

    def play(self, rows: Sequence[CommandRow], tick: int) -> None:
        """Apply `rows` where they were applied, and go on to `tick`."""
        for row in rows:
            self._step_to(row.apply_tick or 0)
            if row.kind is Kind.COMMAND and row.outcome is Outcome.APPLIED:
                self.ids.append(row.args["id"])
                self.x ^= self.random.getrandbits(16)
        self._step_to(tick)

    def _step_to(self, tick: int) -> None:
        while self.n < tick:
            self.n += 1
            self.x = (self.x * 31 + self.random.getrandbits(16)) % MASK

    def difference(self, document: dict[str, Any]) -> str:
        """Where a stored state differs from this one; empty where it does not."""
        state = {"n": self.n, "x": self.x, "ids": self.ids}
        if document["state"] != state:
            return f"stored {document['state']}, replayed {state}"
        kept = document["random"]
        if kept is not None and self.random.getstate() != (kept[0], tuple(kept[1]), kept[2]):
            return "the generators differ"
        return ""


def differences(info: RunInfo, stored: Sequence[Stored], journal: Sequence[CommandRow]) -> Iterator[str]:
    """Where the replay from one checkpoint, or from setup, does not give the next one."""
    model, place = Model(info.seed), 0
    for each in sorted(stored, key=lambda one: (one.tick, one.apply_seq)):
        if not each.data:
            continue
        model.play([row for row in journal if place < (row.apply_seq or 0) <= each.apply_seq], each.tick)
        document = orjson.loads(each.data)
        if found := model.difference(document):
            yield f"checkpoint at tick {each.tick}, place {each.apply_seq}: {found}"
        model.take_up(document)
        place = each.apply_seq
