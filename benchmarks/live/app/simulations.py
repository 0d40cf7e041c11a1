"""What is watched: entities that all move, with the moment in each state."""

from __future__ import annotations

import random
import time
from typing import Any

from django_livesim import Simulation, register

RATE = 20


def entities(count: int) -> dict[str, dict[str, Any]]:
    """About 120 bytes of JSON each."""
    made = random.Random(1)
    return {
        f"entity{number}": {
            "position": [round(made.uniform(0, 1000), 3), round(made.uniform(0, 1000), 3)],
            "velocity": [round(made.uniform(-1, 1), 3), round(made.uniform(-1, 1), 3)],
            "kind": "ship",
        }
        for number in range(count)
    }


def move(state: dict[str, Any]) -> None:
    """One step of all: as in the template, with each new position as precise as the one before."""
    for entity in state["entities"].values():
        (x, y), (across, along) = entity["position"], entity["velocity"]
        entity["position"] = [round(x + across, 3), round(y + along, 3)]


@register
class Watched(Simulation):
    """Entities that move."""

    tick_rate = RATE
    frame_rate = RATE
    visibility = "public"

    def setup(self, count: int = 100) -> None:
        self.state = {"time": 0, "entities": entities(count)}

    def step(self, dt: float) -> None:
        self.state["time"] += 1
        move(self.state)

    def view(self, role: str) -> dict[str, Any]:
        return {"sent": time.time() * 1000, **self.state}
