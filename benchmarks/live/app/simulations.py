"""What is watched: entities that move, with the moment at which each view was made."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.live.state import RATE, entities, move, turn
from django_livesim import Simulation, Table, command, register

FEW = 20  # of so many, one moves


class Watched(Simulation):
    """Entities, shown as they are."""

    tick_rate = RATE
    frame_rate = RATE
    visibility = "public"

    def setup(self, count: int = 100) -> None:
        self.state = {"time": 0, "entities": entities(count)}

    def view(self, role: str) -> dict[str, Any]:
        return {"sent": time.time() * 1000, **self.state}


@register
class Whole(Watched):
    """All that is said of them changes with each step: frames are snapshots, since no delta is worth it."""

    def step(self, dt: float) -> None:
        self.state["time"] += 1
        turn(self.state)


@register
class Drifting(Watched):
    """Their positions change: frames are deltas."""

    def step(self, dt: float) -> None:
        self.state["time"] += 1
        move(self.state)


class InTable(Watched):
    """Their positions in tenths."""

    tables = [Table("entities", x=0.1, y=0.1, kind=str)]

    def view(self, role: str) -> dict[str, Any]:
        shown = {
            name: {"x": each["position"][0], "y": each["position"][1], "kind": each["kind"]}
            for name, each in self.state["entities"].items()
        }
        return {"sent": time.time() * 1000, "time": self.state["time"], "entities": shown}


@register
class Tabled(InTable):
    """All of them move."""

    def step(self, dt: float) -> None:
        self.state["time"] += 1
        move(self.state)


@register
class Few(InTable):
    """One of twenty moves, others in turn."""

    def step(self, dt: float) -> None:
        tick = self.state["time"] = self.state["time"] + 1
        moved = list(self.state["entities"].items())[tick % FEW :: FEW]
        for _, entity in moved:
            entity["velocity"] = [2.0, 2.0]
        move({"entities": dict(moved)})


@register
class Marked(Simulation):
    """A number that commands set, shown at once."""

    tick_rate = 20
    frame_rate = 20
    frame_on_command = True
    visibility = "public"
    open_commands = True

    def setup(self, count: int = 0) -> None:
        self.state = {"mark": -1, "marks": 0}

    def step(self, dt: float) -> None:
        pass

    @command(durable=False)
    def mark(self, n: int) -> None:
        self.state["mark"] = n

    @command
    def keep(self, n: int) -> None:
        self.state["mark"] = n
        self.state["marks"] += 1


@register
class Idle(Simulation):
    """A hundred entities that move and nobody watches."""

    tick_rate = 20

    def setup(self, count: int = 100) -> None:
        self.state = {"time": 0, "entities": entities(count)}

    def step(self, dt: float) -> None:
        self.state["time"] += 1
        move(self.state)
