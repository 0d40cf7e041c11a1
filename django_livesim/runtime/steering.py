"""What controls do to a run in memory."""

from __future__ import annotations

from django_livesim.protocol import plain
from django_livesim.protocol.names import CANCEL, INSPECT, Outcome, Status, Verb
from django_livesim.protocol.records import Entry
from django_livesim.runtime import ending
from django_livesim.runtime.holding import Holding


def control(run: Holding, entry: Entry) -> None:
    """Apply a control that is due."""
    if entry.name in ending.ENDS:
        ending.stop_or_restart(run, entry)
    elif entry.name == INSPECT:
        run.answer(entry, Outcome.APPLIED, result=plain.encode_answer(run.facts()))
        run.checkpoint(final=True)
        run.unwatched.seen(run.clock.now())
    elif entry.name == CANCEL:
        run.answer(entry, Outcome.APPLIED, kept=run.schedule.cancel(int(entry.args["command"])))
    else:
        run.answer(entry, Outcome.APPLIED)
        _steer(run, entry)
        run.screen.want()


def _steer(run: Holding, entry: Entry) -> None:
    """Pause, resume, step, speed."""
    if entry.name == Verb.PAUSE:
        run.steps_asked = 0
        turn_to(run, Status.PAUSED)
    elif entry.name == Verb.RESUME:
        run.steps_asked = 0
        run.unwatched.seen(run.clock.now())
        turn_to(run, Status.RUNNING)
    elif entry.name == Verb.STEP:
        run.steps_asked += int(entry.args.get("n", 1))
        turn_to(run, Status.PAUSED)
    elif entry.name == Verb.SPEED:
        _change_speed(run, float(entry.args["x"]))


def turn_to(run: Holding, status: Status, *, unwatched: bool = False) -> None:
    """Pause or go on; `unwatched` where no person has asked for it."""
    was_unwatched, run.unwatched.paused = run.unwatched.paused, unwatched
    if status is run.status:
        if was_unwatched and not unwatched:
            run.say()  # a person's pause from now on
        return
    run.status = status
    if status is Status.PAUSED:
        run.pace.hold(run.clock.now(), run.speed)
        run.checkpoint(final=True)
    else:
        run.pace.go(run.clock.now(), run.speed)
    run.say()


def _change_speed(run: Holding, speed: float) -> None:
    now = run.clock.now()
    run.pace.hold(now, run.speed)
    run.speed = speed
    if run.status is not Status.PAUSED:
        run.pace.go(now, speed)
    run.say()
