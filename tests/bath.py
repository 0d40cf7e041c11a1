"""A simulation with live parameters, for whichever test wants one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any

from django_livesim import Limits, Refused, Simulation, command, param, registry


class Bath(Simulation):
    """Water that cools in a room."""

    tick_rate = 20
    frame_rate = 20
    open_commands = True

    def setup(
        self,
        litres: Annotated[float, Limits(gt=0)] = 80.0,
        room: Annotated[float, Limits(ge=0, le=40), "How warm the room is", param(live=True)] = 20.0,
        stirred: Annotated[bool, param(live=True)] = False,
        scent: Annotated[str | None, Limits(max_length=10), param(live=True)] = None,
        soak: Annotated[timedelta, param(live=True)] = timedelta(minutes=5),
    ) -> None:
        self.state = {"water": 60.0, "told": [], "soak": soak.total_seconds()}

    def changed(self, names: set[str]) -> None:
        if self.params["room"] == 13:
            raise Refused("nobody bathes at 13 degrees")
        if self.params["room"] == 14:
            raise OSError("the thermometer is broken")
        self.state["told"].append([self.tick, sorted(names), self.params["soak"].total_seconds()])

    def step(self, dt: float) -> None:
        pull = (2 if self.params["stirred"] else 1) / self.params["litres"]
        self.state["water"] += (self.params["room"] - self.state["water"]) * pull * dt
        self.state["water"] += self.random.uniform(-0.01, 0.01)

    @command
    def pour(self, degrees: float) -> None:
        self.state["water"] = degrees


class PlayedBath(Bath):
    """The same, played again from its beginning."""

    recovery = "replay"


@contextmanager
def registered(*definitions: Any) -> Iterator[None]:
    """For as long as the block lasts."""
    for each in definitions:
        registry.register(each)
    try:
        yield
    finally:
        for each in definitions:
            registry.unregister(each.name)
