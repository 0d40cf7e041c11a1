"""What happens between two steps: commands apply in order, checkpoints are taken, frames are shown."""

from __future__ import annotations

import math

from django_livesim.protocol.names import Kind, Status
from django_livesim.protocol.records import Entry
from django_livesim.runtime import ending, steering
from django_livesim.runtime.holding import Holding

SLICE = 0.01  # seconds of a run's commands applied in one turn; the rest of the boundary is in the next


def attend(run: Holding, now: float) -> None:
    """Everything that happens between two steps; with `unfinished` left on, the rest in a further call."""
    if run.over:
        return
    run.collect_effects()
    run.unfinished = not _apply_some(run)
    if run.unfinished:
        return
    if run.host.finished and not run.over:
        ending.end(run, Status.FINISHED, "", result=run.host.result)
    if run.over:
        return
    if run.stepped_last:
        run.stepped_last = False
        run.checkpoint(final=True)
        run.screen.want()
    elif now >= run.keeper.proof_due:
        run.keeper.proof_due = math.inf
        run.checkpoint(final=True)
        run.record.prove()
    elif run.keeper.is_due(now, in_draft=run.record.has_checkpoint):
        run.checkpoint()
    run.report(now)
    if run.meter is not None:
        run.sample(now)


def _apply_some(run: Holding) -> bool:
    """Apply what applies here, for a slice of time; whether that was all."""
    until, applied = run.clock.now() + SLICE, 0
    run.schedule.look(run.host.tick, run.clock.now())
    while not run.over and not run.host.finished:
        entry = run.schedule.first(run.applies_here)
        if entry is None:
            break
        if applied and run.clock.now() >= until:
            return False
        run.schedule.take(entry)
        _apply(run, entry)
        run.collect_effects()
        applied += 1
    return True


def _apply(run: Holding, entry: Entry) -> None:
    if entry.kind is Kind.CONTROL:
        steering.control(run, entry)
        return
    outcome, said = run.run_command(entry)
    run.answer(entry, outcome, **said)
    if run.meter is not None:
        run.meter.owe()
    if run.status is not Status.RUNNING or run.definition.frame_on_command:
        run.screen.want()
