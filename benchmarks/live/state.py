"""The state that is watched, and how often a second."""

from __future__ import annotations

import math
import os
import random
from typing import Any

RATE = float(os.environ.get("RATE", "20"))
TURN = 0.05  # radians a step
COS, SIN = math.cos(TURN), math.sin(TURN)


def entities(count: int) -> dict[str, dict[str, Any]]:
    """About 120 bytes of JSON each."""
    made = random.Random(1)
    return {
        f"entity{number}": {
            "position": [made.uniform(0, 1000), made.uniform(0, 1000)],
            "velocity": [made.uniform(-1, 1), made.uniform(-1, 1)],
            "kind": "ship",
        }
        for number in range(count)
    }


def move(state: dict[str, Any]) -> None:
    """One step of all, as in the template."""
    for entity in state["entities"].values():
        (x, y), (across, along) = entity["position"], entity["velocity"]
        entity["position"] = [x + across, y + along]


def turn(state: dict[str, Any]) -> None:
    """As `move`, and each velocity turns, so that hardly anything of a state is as it was."""
    for entity in state["entities"].values():
        across, along = entity["velocity"]
        entity["velocity"] = [across * COS - along * SIN, across * SIN + along * COS]
    move(state)
