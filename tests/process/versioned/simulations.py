"""A diary, as a class and as an own loop: version 1 keeps `seen`, version 2 keeps `entries`."""

from __future__ import annotations

import os
from typing import Any

from django_livesim import Simulation, command, register

VERSION = int(os.environ.get("DIARY_VERSION", "1"))
NAME = {1: "seen", 2: "entries"}[VERSION]


def brought_up(state: dict[str, Any], from_version: int) -> dict[str, Any]:
    return {"entries": state["seen"], "from": from_version, "steps": state["steps"]}


@register
class Diary(Simulation):
    version = VERSION
    tick_rate = 50

    def setup(self) -> None:
        self.state = {NAME: [], "steps": 0}

    def step(self, dt: float) -> None:
        self.state["steps"] += 1

    @command
    def note(self, n: int) -> None:
        self.state[NAME].append(n)

    def upgrade(self, state: dict[str, Any], from_version: int) -> dict[str, Any]:
        return brought_up(state, from_version)


@register(version=VERSION)
async def diary_loop(sim: Any) -> None:
    entries = sim.state.setdefault(NAME, [])
    sim.state.setdefault("steps", 0)
    while True:
        entries.extend(message.args["n"] for message in sim.messages())
        sim.state["steps"] += 1
        await sim.sleep(0.02)


diary_loop.upgrade(brought_up)
