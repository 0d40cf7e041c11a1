"""Runs that write down what they were told, so that what is lost, doubled or moved shows in their state."""

from __future__ import annotations

from typing import Any

from django_livesim import Simulation, command, register

OPEN = {"open_commands": True, "visibility": "public"}


@register(**OPEN)
class Ledger(Simulation):
    """Appends each command's reference; `mix` tells apart any two histories that differ in anything."""

    tick_rate = 20
    frame_rate = 10

    def setup(self) -> None:
        self.state = {"refs": [], "mix": 0}

    def step(self, dt: float) -> None:
        self._stir(self.random.getrandbits(32))

    @command
    def note(self, ref: str) -> int:
        """Write a reference down; gives its place, from 1."""
        self.state["refs"].append(ref)
        self._stir(len(ref))
        return len(self.state["refs"])

    def _stir(self, number: int) -> None:
        self.state["mix"] = (31 * self.state["mix"] + number + len(self.state["refs"])) % 2**32

    def view(self, role: str) -> dict[str, Any]:
        return shown(self.state)


def shown(state: dict[str, Any]) -> dict[str, Any]:
    """What viewers see: how many there are, the last one, and the mix."""
    refs = state.get("refs") or [""]
    return {"count": len(state.get("refs", [])), "last": refs[-1], "mix": state.get("mix", 0)}


@register(frame_rate=10, **OPEN)
async def ledger_loop(sim: Any) -> None:
    """The same as a loop of its own, without a mix: it cannot be played again."""
    refs = sim.state.setdefault("refs", [])
    while True:
        for message in sim.messages():
            refs.append(message.args["ref"])
            message.reply(len(refs))
        await sim.sleep(0.05)


@register(frame_rate=10, **OPEN)
def ledger_thread(sim: Any) -> None:
    """The same as a loop that blocks its thread."""
    refs = sim.state.setdefault("refs", [])
    while True:
        for message in sim.messages():
            refs.append(message.args["ref"])
            message.reply(len(refs))
        sim.sleep(0.05)


for loop in (ledger_loop, ledger_thread):

    @loop.command
    def note(sim: Any, ref: str) -> None:
        """Write a reference down; the loop does it, and answers with its place."""

    @loop.view
    def view(sim: Any, role: str) -> dict[str, Any]:
        return shown(sim.state)


@register(**OPEN)
class Steady(Ledger):
    """A ledger that takes its time: many of them fit on a small machine."""

    tick_rate = 5
    frame_rate = 5


from tests.reliability.ledger_app import harmful  # noqa: E402, F401  (which needs a ledger)


@register(**OPEN)
class Slow(Ledger):
    """A ledger of two ticks a second: two hundred of them fit on a small machine."""

    tick_rate = 2
    frame_rate = 2
