"""Small simulations for the tests."""

from __future__ import annotations

from typing import Any

from django_livesim import Refused, Simulation, command, register


@register
class Counter(Simulation):
    """Counts its steps."""

    tick_rate = 20
    frame_rate = 20

    def setup(self, start: int = 0) -> None:
        self.state = {"value": start, "log": []}

    def step(self, dt: float) -> None:
        if self.state.get("armed"):
            raise RuntimeError("the counter exploded")
        self.state["value"] += 1

    @command
    def add(self, n: int = 1) -> int:
        """Add to the value."""
        self.state["value"] += n
        self.state["log"].append(n)
        value: int = self.state["value"]
        return value

    @command
    def decline(self, why: str = "no") -> None:
        """Always refused, with the reason given."""
        raise Refused(why)

    @command
    def fail(self) -> None:
        """A command that raises: it is refused and the run goes on."""
        raise ValueError("the command failed")

    @command
    def explode(self) -> None:
        """Makes the next step raise."""
        self.state["armed"] = True

    @command
    def end(self) -> None:
        """Finishes the run with its value as the result."""
        self.finish({"value": self.state["value"]})


@register
class Gauge(Counter):
    """Counts, and has figures."""

    def metrics(self) -> dict[str, float]:
        """The value, and what it is the square of."""
        return {"value": self.state["value"], "root": self.state["value"] ** 0.5}


@register
async def echo(sim: Any) -> None:
    """Remembers every message and answers with its arguments."""
    seen = sim.state.setdefault("seen", [])
    while True:
        for message in sim.messages():
            seen.append(message.args)
            message.reply(message.args)
        sim.report()
        await sim.sleep(0.05)


@register
def echo_sync(sim: Any) -> None:
    """The same, as a loop that blocks its thread."""
    seen = sim.state.setdefault("seen", [])
    while True:
        for message in sim.messages():
            seen.append(message.args)
            message.reply(message.args)
        sim.report()
        sim.sleep(0.05)
