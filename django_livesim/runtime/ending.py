"""How a holding ends: the run stops, finishes or fails, or is let go for another worker."""

from __future__ import annotations

import logging
import traceback
from typing import Any
from uuid import UUID

from django_livesim.protocol import plain
from django_livesim.protocol.errors import BadState
from django_livesim.protocol.names import Outcome, Status, Verb
from django_livesim.protocol.records import Entry
from django_livesim.runtime.harm import Harm
from django_livesim.runtime.holding import Holding
from django_livesim.runtime.ports import AUTHOR_ERRORS

logger = logging.getLogger(__name__)

ENDS = (Verb.STOP, Verb.RESTART)


def stop_or_restart(run: Holding, entry: Entry, reason: str = "", *, store: bool = True) -> None:
    """Carry out a control that ends the run; without `store`, with the state stored last."""
    run.answer(entry, Outcome.APPLIED)
    successor = UUID(entry.args["next"]) if entry.name == Verb.RESTART else None
    reason = reason or ("restarted" if successor else "stopped")
    end(run, Status.STOPPED, reason, successor=successor, store=store)


def fail(run: Holding, exc: BaseException, successor: UUID | None = None) -> None:
    """The run's own code, or its state, is at fault.

    What raises while what was stored is taken up may be mended, and nothing is lost by that. So it ends no
    run that has begun before: it is tried again, and then quarantined.
    """
    if run.over:
        return
    if isinstance(exc, MemoryError):  # another run of this process may have taken what there was
        harm(run, "ran out of memory", exc)
        return
    if run.retraces and run.held.begun:
        said = exc.message if isinstance(exc, BadState) else type(exc).__name__
        harm(run, f"cannot take up what is stored: {said}", exc)
        return
    if isinstance(exc, BadState):
        error, reason = exc.message, exc.message
    else:
        error = "".join(traceback.format_exception(exc))
        reason = f"its code raised {type(exc).__name__}"
        logger.error("run failed run=%s epoch=%s", run.id, run.epoch, exc_info=exc)
    end(run, Status.FAILED, reason, error=error, successor=successor)


def harm(run: Holding, why: str, exc: BaseException) -> None:
    """Its code has harmed this process: what there is of it in memory is dropped."""
    run.harm = Harm(why=why, stack="".join(traceback.format_exception(exc)))
    run.drop()


def end(
    run: Holding,
    status: Status,
    reason: str,
    *,
    result: Any = None,
    error: str = "",
    successor: UUID | None = None,
    store: bool = True,
) -> None:
    """Store the position shown, say how it ended, and let go.

    A failed step leaves a half-made state, so a failed run keeps its last
    checkpoint; journal and checkpoint together give the state before it.
    """
    encoded = plain.encode_answer(result)
    if store and status is not Status.FAILED:
        try:
            frames = run.checkpoint(final=True)
        except AUTHOR_ERRORS as exc:
            return run.fail(exc, successor)
        for frame in frames:
            run.record.out(frame)
    run.status = status
    run.say(reason)
    run.record.end(status, result=encoded, error=error, successor=successor)
    run.drop()
    return None


def try_again(run: Holding, reason: str, error: str, seconds: float) -> None:
    """Let a job go whose attempt has failed; what it did since its state was stored last never was."""
    run.status = Status.WAITING
    run.say(reason)
    run.record.retry(seconds, error)
    run.drop()


def release(run: Holding) -> bool:
    """Store the state and let the run go. False while a loop is away; call again later."""
    if run.over:
        return True
    if run.away:
        return False
    try:
        if not run.replaying:
            run.checkpoint(final=True)
        run.record.release()
    except AUTHOR_ERRORS as exc:
        run.fail(exc)
    run.drop()
    return True
