"""How a holding begins: set up anew, or from a checkpoint."""

from __future__ import annotations

import logging

from django_livesim.protocol.names import Status
from django_livesim.runtime import taking_up
from django_livesim.runtime.holding import Holding
from django_livesim.runtime.ports import AUTHOR_ERRORS

logger = logging.getLogger(__name__)


def begin(run: Holding) -> None:
    """Set up or load, and get ready to go on. Raises what the author's code raises.

    Where a checkpoint cannot be taken up and there is one before it, nothing is recorded, `unusable`
    is it, and the holding is over.
    """
    held = run.held
    taking_up.refuse_nothing(held, run.definition)
    unseen = held.tick == held.horizon == 0
    run.host.live = unseen and held.stored is None and not held.journal
    if not _take_up(run):
        return
    run.record.version(run.definition.version)
    if run.meter is not None and taking_up.loses_ticks(held, run.definition):
        run.record.lost_after(taking_up.stored_tick(held))
    run.say(run.whence())
    run.pace.go(run.clock.now(), run.speed)
    if run.status is Status.PAUSED:
        run.pace.hold(run.clock.now(), run.speed)
    run.begin_history()


def _take_up(run: Holding) -> bool:
    """Have the program begin; False where it cannot with this checkpoint, but may with the one before."""
    stored = run.held.stored
    try:
        state = run.keeper.take_up(stored)
        run.steps_asked = run.keeper.steps_asked if run.status is Status.PAUSED else 0
        run.program.begin(state, run.definition.version if stored is None else stored.version)
    except AUTHOR_ERRORS as exc:
        if stored is None or not stored.data or not run.held.older:
            raise
        run.unusable = taking_up.unusable(stored, exc)
        logger.exception(
            "a checkpoint cannot be taken up run=%s epoch=%s tick=%s; the one before it is tried",
            run.id,
            run.epoch,
            stored.tick,
        )
        run.drop()
        return False
    return True
