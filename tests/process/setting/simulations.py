"""The bath of the tests, for a process of its own."""

from __future__ import annotations

from typing import Annotated, Any

from django_livesim import param, register
from tests.bath import Bath

register(Bath)


@register
async def mill(sim: Any, pace: Annotated[int, param(live=True)] = 1) -> None:
    """Notes how it was called, and what holds at each tick."""
    log = sim.state.setdefault("log", [])
    log.append(["called", pace])
    while True:
        for _message in sim.messages():
            pass
        if log[-1][1] != sim.params["pace"]:
            log.append(["set", sim.params["pace"]])
        await sim.sleep(0.05)
