"""Steps at whose boundaries there is nothing to do but the next step.

Most steps of most runs are such: nobody watches, no command is due, nothing waits to be stored. To find that
out anew after each takes longer than the step of a small simulation; so it is found once, with how long it
holds, and whatever else touches the run ends it.
"""

from __future__ import annotations

from typing import NamedTuple

from django_livesim.protocol.names import Status
from django_livesim.runtime.holding import Holding


class Quiet(NamedTuple):
    """How long a run needs nothing but steps."""

    tick: int
    """A step is made by itself as long as the run is at an earlier tick,"""
    until: float
    """and it is earlier than this, by the clock of its worker."""
    wake: float
    """When it has its turn in any case, though no step may be due."""


def found(run: Holding) -> Quiet | None:
    """None where the next boundary may have something to do.

    A checkpoint that is due for the steps that it would spare an heir, and not by time, waits for the end.
    """
    if run.status is not Status.RUNNING or run.speed <= 0 or run.over or run.replaying:
        return None
    if run.steps_asked or run.stepped_last or run.unfinished or not run.record.idle or not run.screen.idle:
        return None
    schedule, keeper, horizon = run.schedule, run.keeper, run.horizon
    tick = min(schedule.next_tick - 1, horizon.half - 1, horizon.granted)
    if run.host.tick >= tick:
        return None
    wake = min(schedule.next_due, keeper.proof_due, run.unwatched.due)
    until = min(wake, keeper.due)
    return Quiet(int(tick), until, wake)
