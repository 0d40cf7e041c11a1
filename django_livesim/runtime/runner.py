"""One held run in memory: its position, its waiting commands, its next step.

A runner is owned by the step thread; every method is called there. It moves
from boundary to boundary. At a boundary commands apply in order, frames are
encoded, checkpoints taken; between two boundaries there is one step. What
it did since its last write, and what viewers are to get of it, is in its
record.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from uuid import UUID

import orjson

from django_livesim.protocol import plain
from django_livesim.protocol.errors import BadState
from django_livesim.protocol.names import CANCEL, INSPECT, Kind, Outcome, Status, Verb
from django_livesim.protocol.records import Entry, Held, Passed, Position, Write
from django_livesim.runtime import taking_up
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.horizon import AHEAD, MOST, SHORT, Horizon
from django_livesim.runtime.keeper import Keeper
from django_livesim.runtime.pace import Pace
from django_livesim.runtime.ports import Definition, EventOut, FrameOut, Options, SendOut
from django_livesim.runtime.record import Record
from django_livesim.runtime.schedule import Schedule
from django_livesim.runtime.screen import Screen, views
from django_livesim.runtime.unwatched import NOBODY, Unwatched
from django_livesim.simulation import Host

logger = logging.getLogger(__name__)

SLICE = 0.01  # seconds of a run's commands applied in one turn; the rest of the boundary is in the next
DEAR = 0.5  # seconds of steps that a checkpoint spares an heir, and that are reason enough for one
SHARE = 0.02  # of the time, for checkpoints that are made for that reason


ENDS = (Verb.STOP, Verb.RESTART)

AUTHOR_ERRORS = (Exception, SystemExit)
"""What an author's code may raise without more harm than to its own run."""


class Program(Protocol):
    """The author's code, as every kind of it is asked."""

    def begin(self, state: dict[str, Any] | None, version: int) -> None:
        """Set up anew, or take up a state that `version` of the code has stored."""

    def dump(self) -> dict[str, Any]: ...

    def view(self, role: str) -> dict[str, Any]: ...

    def metrics(self) -> dict[str, float]: ...


class Runner:
    """A run that this process holds; how its steps are made is for the subclasses to say."""

    program: Program

    def __init__(
        self, held: Held, definition: Definition, host: Host, program: Program, clock: Clock, options: Options
    ) -> None:
        self.id: UUID = held.info.id
        self.epoch = held.epoch
        self.held = held
        self.definition = definition
        self.host = host
        self.program = program
        self.clock = clock
        self.options = options
        self.status = Status.PAUSED if held.status is Status.PAUSED else Status.RUNNING
        self.speed = held.speed
        self.record = Record(held)
        self.unwatched = Unwatched(definition, options, held)
        self.screen = Screen(definition, options, program, held)
        self.keeper = Keeper(definition, options, host, clock)
        self.pace = Pace(definition.tick_rate)
        self.horizon = Horizon(held)
        self.taken_over = taking_up.is_taken_over(held, definition)
        """Whether older code has stepped it: what is played again may come out differently."""
        self.unusable: Passed | None = None
        """The checkpoint that could not be taken up, where there is one before it."""
        self.over = False
        self.away = False
        """Whether the state is in other hands: an own loop is in its author's code."""
        self.steps_asked = 0
        self.schedule = Schedule()
        self._stepped = False
        self._checkpointed = 0.0  # when the last checkpoint was made
        self._step_time = 0.0  # seconds spent in steps since then
        self._unfinished = False  # commands are left that apply at this boundary
        self._noted = held.tick  # the tick that the row has, or is about to have

    # -- life ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Set up or load, and get ready to go on. A failure ends the run, not the worker.

        Where a checkpoint cannot be taken up and there is one before it, nothing is recorded, `unusable`
        is it, and this runner is over.
        """
        held = self.held
        try:
            taking_up.refuse_nothing(held, self.definition)
            unseen = held.tick == held.horizon == 0
            self.host.live = unseen and held.stored is None and not held.journal
            if not self._take_up():
                return
            self.record.version(self.definition.version)
            self._say(self._whence())
            self.pace.go(self.clock.now(), self.speed)
            if self.status is Status.PAUSED:
                self.pace.hold(self.clock.now(), self.speed)
            self._begin_history()
        except AUTHOR_ERRORS as exc:
            self.fail(exc)

    def _take_up(self) -> bool:
        """Have the program begin; False where it cannot with this checkpoint, but may with the one before."""
        stored = self.held.stored
        try:
            state = self.keeper.take_up(stored)
            self.steps_asked = self.keeper.steps_asked if self.status is Status.PAUSED else 0
            self.program.begin(state, self.definition.version if stored is None else stored.version)
        except AUTHOR_ERRORS as exc:
            if stored is None or not stored.data or not self.held.older:
                raise
            self.unusable = taking_up.unusable(stored, exc)
            logger.exception(
                "a checkpoint cannot be taken up run=%s epoch=%s tick=%s; the one before it is tried",
                self.id,
                self.epoch,
                stored.tick,
            )
            self.drop()
            return False
        return True

    def _whence(self) -> str:
        """The reason of the status with which a run is taken up."""
        return taking_up.told(self.held, self.definition)

    def _begin_history(self) -> None:
        """Play again what was journaled after the checkpoint, then `_live`."""
        raise NotImplementedError

    @property
    def replaying(self) -> bool:
        return not self.host.live

    def _live(self, now: float) -> None:
        """History has been played: from here on effects count."""
        if not self.host.live:
            self.host.live = True
            self._discard_effects()
        self.screen.want()
        self.unwatched.seen(now)
        self._checkpointed = now
        if self.held.stored is None or not self.held.stored.data:
            self._checkpoint()
        self._attend(now)

    def _close(self) -> None:
        """Nothing will be asked of the program any more."""

    def drop(self) -> None:
        """Forget everything without a word: another holds the run, or it will be loaded again."""
        self.over = True
        self._close()

    def release(self) -> bool:
        """Store the state and let the run go. False while a loop is away; call again later."""
        if self.over:
            return True
        if self.away:
            return False
        try:
            if not self.replaying:
                self._checkpoint(final=True)
            self.record.release()
        except AUTHOR_ERRORS as exc:
            self.fail(exc)
        self.over = True
        self._close()
        return True

    # -- what comes in ------------------------------------------------------------------------

    def offer(self, entries: Iterable[Entry]) -> None:
        """Take waiting commands, each once, and apply at once what may be."""
        new = self.schedule.give(entries, self.clock.now())
        if not new or self.over or self.replaying:
            return
        if not self.away:
            self._guarded(self._attend)

    def leave(self, tick: int | None) -> bool:
        """A look has left commands unread from this tick on, or none. Whether the run may go on by that."""
        waited, self.schedule.left = self._waits, tick
        return self._goes_on(waited)

    def watch(self, roles: Iterable[str], keyframe: bool) -> None:
        """Somebody watches in these roles; a keyframe is wanted at once where one is missing."""
        self.screen.watch(roles, self.clock.now() + self.options.interest_ttl)
        self.unwatched.seen(self.clock.now())
        if keyframe:
            self.screen.want()
        if self.over or self.away or self.replaying:
            return
        if self.unwatched.paused:
            self._guarded(self._go_on)
        elif keyframe:
            self._guarded(self._report)

    # -- time ---------------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """When `turn` wants to be called, None for not before something comes in."""
        if self.over or self.away or self.record.full:
            return None
        if self.replaying or self._unfinished:
            return self.clock.now()
        waits = self._waits
        if self.steps_asked and not waits:
            return self.clock.now()
        due = self.schedule.next_due
        if self.status is Status.RUNNING:
            due = min(due, math.inf if waits else self.pace.due, self._rest_due)
        return due if due < math.inf else None

    def turn(self, now: float) -> None:
        """Make the step that is due, or none where nobody is watching and that has a consequence.

        `now` is when the supervisor's turn began: every sign of interest from before it has been taken.
        """
        if self.over or self.away or self.replaying:
            return
        if self._unfinished or self.schedule.next_due <= now:
            self._guarded(self._attend)
        elif self._is_left_alone(now):
            self._guarded(self._rest)
        elif self._moves and not self._waits:
            self._stepped = self.steps_asked == 1
            self.steps_asked = max(0, self.steps_asked - 1)
            self._guarded(self._step)

    @property
    def _moves(self) -> bool:
        """Whether it makes steps, as far as its horizon lets it."""
        return not self.over and (self.status is Status.RUNNING or self.steps_asked > 0)

    @property
    def _waits(self) -> bool:
        """Whether it may make no further step before it hears of the database."""
        return self.horizon.is_reached(self.host.tick)

    def _step(self, now: float) -> None:
        """One step, and the boundary after it."""
        raise NotImplementedError

    def play(self, seconds: float) -> None:
        """Play history again, for so long; what has come waits for the state that it is meant for."""
        if not self.over:
            self._guarded(lambda now: self._play(now + seconds))

    def _play(self, until: float) -> None:
        """A slice of history."""
        raise NotImplementedError

    def _guarded(self, function: Callable[[float], None]) -> None:
        """The one place where an author's exception ends his run and nobody else's."""
        try:
            function(self.clock.now())
        except AUTHOR_ERRORS as exc:
            self.fail(exc)

    # -- the boundary -------------------------------------------------------------------------

    def _attend(self, now: float) -> None:
        """Everything that happens between two steps."""
        if self.over:
            return
        self._collect_effects()
        self._unfinished = not self._apply_some()
        if self._unfinished:
            return
        if self.host.finished and not self.over:
            self._end(Status.FINISHED, "", result=self.host.result)
        if self.over:
            return
        if self._stepped:  # the last of the steps asked for has been made
            self._stepped = False
            self._checkpoint(final=True)
            self.screen.want()
        elif self._is_checkpoint_due(now):
            self._checkpoint()
        self._report(now)

    def _apply_some(self) -> bool:
        """Apply what applies here, for a slice of time; whether that was all."""
        until, applied = self.clock.now() + SLICE, 0
        self.schedule.look(self.host.tick, self.clock.now())
        while not self.over and not self.host.finished:
            entry = self.schedule.first(self._applies_here)
            if entry is None:
                break
            if applied and self.clock.now() >= until:
                return False
            self.schedule.take(entry)
            self._apply(entry)
            self._collect_effects()
            applied += 1
        return True

    def _is_checkpoint_due(self, now: float) -> bool:
        """By time; and by what an heir would have to step again, where cheap and none is in the draft."""
        since = now - self._checkpointed
        if since >= self.options.checkpoint_seconds:
            return True
        spares = self._step_time > DEAR and self.keeper.stores_state and not self.record.has_checkpoint
        return spares and self.keeper.seconds <= SHARE * since

    @property
    def _rest_due(self) -> float:
        """When it pauses or stops by itself, as far as is known now."""
        return self.unwatched.due

    def _is_left_alone(self, now: float) -> bool:
        """Whether it runs, and has run unwatched for as long as it may."""
        return self.status is Status.RUNNING and now >= self._rest_due

    def _rest(self, now: float) -> None:
        """Pause or stop because nobody is watching."""
        if self.unwatched.stops:
            self._end(Status.STOPPED, NOBODY)
        else:
            self._turn_to(Status.PAUSED, unwatched=True)
            self._report(now)

    def _go_on(self, now: float) -> None:
        """Somebody watches again."""
        self._turn_to(Status.RUNNING)
        self.screen.want()
        self._attend(now)

    def _applies_here(self, entry: Entry) -> bool:
        """Whether the runner itself applies an entry that is due, at this boundary."""
        return True

    def _apply(self, entry: Entry) -> None:
        if entry.kind is Kind.CONTROL:
            self._control(entry)
            return
        outcome, answer = self._run_command(entry)
        self._record(entry, outcome, **answer)
        if self.status is not Status.RUNNING:
            self.screen.want()

    def _run_command(self, entry: Entry) -> tuple[Outcome, dict[str, Any]]:
        """Run a declared command; its outcome and what else the verdict says."""
        raise NotImplementedError

    def _record(self, entry: Entry, outcome: Outcome, **answer: Any) -> None:
        self.record.verdict(entry, self.host.tick, outcome, **answer)

    def _collect_effects(self) -> None:
        for name, data in self.host.events:
            self.record.out(EventOut(name=name, data=data, tick=self.host.tick))
        for send in self.host.sends:
            self.record.out(SendOut(send=send))
        self._discard_effects()

    def _discard_effects(self) -> None:
        self.host.events.clear()
        self.host.sends.clear()

    # -- controls -----------------------------------------------------------------------------

    def _control(self, entry: Entry) -> None:
        if entry.name in ENDS:
            self._stop_or_restart(entry)
            return
        if entry.name == INSPECT:
            self._record(entry, Outcome.APPLIED, result=plain.encode_answer(self.facts()))
            self._checkpoint(final=True)
            self.unwatched.seen(self.clock.now())
            return
        if entry.name == CANCEL:
            self._record(entry, Outcome.APPLIED, kept=self.schedule.cancel(int(entry.args["command"])))
            return
        self._record(entry, Outcome.APPLIED)
        self._steer(entry)
        self.screen.want()

    def _steer(self, entry: Entry) -> None:
        """Pause, resume, step, speed."""
        if entry.name == Verb.PAUSE:
            self.steps_asked = 0
            self._turn_to(Status.PAUSED)
        elif entry.name == Verb.RESUME:
            self.steps_asked = 0
            self.unwatched.seen(self.clock.now())
            self._turn_to(Status.RUNNING)
        elif entry.name == Verb.STEP:
            self.steps_asked += int(entry.args.get("n", 1))
            self._turn_to(Status.PAUSED)
        elif entry.name == Verb.SPEED:
            self._change_speed(float(entry.args["x"]))

    def _turn_to(self, status: Status, *, unwatched: bool = False) -> None:
        """Pause or go on; `unwatched` where no person has asked for it."""
        was_unwatched, self.unwatched.paused = self.unwatched.paused, unwatched
        if status is self.status:
            if was_unwatched and not unwatched:
                self._say()  # a person's pause from now on
            return
        self.status = status
        if status is Status.PAUSED:
            self.pace.hold(self.clock.now(), self.speed)
            self._checkpoint(final=True)
        else:
            self.pace.go(self.clock.now(), self.speed)
        self._say()

    def _change_speed(self, speed: float) -> None:
        now = self.clock.now()
        self.pace.hold(now, self.speed)
        self.speed = speed
        if self.status is not Status.PAUSED:
            self.pace.go(now, speed)
        self._say()

    def _stop_or_restart(self, entry: Entry, reason: str = "", *, store: bool = True) -> None:
        self._record(entry, Outcome.APPLIED)
        successor = UUID(entry.args["next"]) if entry.name == Verb.RESTART else None
        reason = reason or ("restarted" if successor else "stopped")
        self._end(Status.STOPPED, reason, successor=successor, store=store)

    def _say(self, reason: str = "", progress: float | None = None) -> None:
        """Journal the status and tell viewers once that has committed."""
        if self.status is Status.PAUSED and self.unwatched.paused:
            reason = NOBODY
        self.record.status(self.status, self.shown_tick, self.speed, reason, progress)

    # -- the end ------------------------------------------------------------------------------

    def fail(self, exc: BaseException, successor: UUID | None = None) -> None:
        """The run's own code, or its state, is at fault."""
        if self.over:
            return
        if isinstance(exc, BadState):
            error, reason = exc.message, exc.message
        else:
            error = "".join(traceback.format_exception(exc))
            reason = f"its code raised {type(exc).__name__}"
            logger.error("run failed run=%s epoch=%s", self.id, self.epoch, exc_info=exc)
        self._end(Status.FAILED, reason, error=error, successor=successor)

    def _end(
        self,
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
                frames = self._checkpoint(final=True)
            except AUTHOR_ERRORS as exc:
                return self.fail(exc, successor)
            for frame in frames:
                self.record.out(frame)
        self.status = status
        self._say(reason)
        self.record.end(status, result=encoded, error=error, successor=successor)
        self.over = True
        self._close()
        return None

    # -- what is stored and shown -------------------------------------------------------------

    def _checkpoint(self, final: bool = False) -> list[FrameOut]:
        """Record the present state; with `final`, what each role sees of it too, which is given."""
        self._checkpointed, self._step_time = self.clock.now(), 0.0
        frames = self.screen.all_frames(self.host.tick) if final else []
        if final or self.keeper.stores_state:
            seen = views(frames) if final else None
            place = (self._applied_seq, self.steps_asked)
            self.record.checkpoint(self.keeper.store(self.program.dump, *place, seen))
        return frames

    def _report(self, now: float) -> None:
        for output in self.screen.frames(self.host.tick, now):
            self.record.out(output)

    def take_write(self, *, patient: bool = False) -> Write | None:
        """What must be stored now, None for nothing; with `patient`, only what somebody waits for."""
        if self._is_short():
            self.record.reserve()
        if self.record.empty or (patient and not self.record.urgent):
            return None
        self._noted = self.shown_tick
        return self.record.take_write(self.shown_tick, self._ask(), self.speed)

    def committed(self, write: Write) -> None:
        """A write of this runner has committed."""
        self.record.committed(write.number)
        self.grant(write.horizon)
        for verdict in write.verdicts:
            self.schedule.answered(verdict.entry)

    # -- the horizon --------------------------------------------------------------------------

    def position(self, *, hashed: bool) -> Position:
        """How far it is, and, where it moves and there is something new to ask, how far it wants to go.

        With `hashed`, and where that is cheap and means something, the hash of its state too; where the
        author's `dump` raises, that ends the run.
        """
        tick, noted = self.shown_tick, self._noted
        if self.replaying or not self._moves or not self.record.settled:
            return Position(self.epoch, tick)  # what depends on a write that may fail is asked for by that
        horizon = self._ask()
        if tick == noted and horizon <= self.horizon.granted:
            return Position(self.epoch, tick)
        try:
            fingerprint = self._fingerprint() if hashed else ""
        except AUTHOR_ERRORS as exc:
            self.fail(exc)
            return Position(self.epoch, tick)
        self._noted = tick
        return Position(self.epoch, tick, horizon, fingerprint)

    def _fingerprint(self) -> str:
        """The hash of the present state for an heir to compare; empty where there is none to be had."""
        return ""

    def grant(self, tick: int) -> bool:
        """The database has this horizon now. Whether the run waited for it."""
        waited = self._waits
        self.horizon.grant(tick)
        return self._goes_on(waited)

    def _goes_on(self, waited: bool) -> bool:
        """Whether a run that waited need not any more; the time it waited for tells nothing of its pace."""
        if waited:
            self.pace.rate.rests()
        return waited and not self._waits

    def _ask(self) -> int:
        """Have the horizon asked for that it needs now."""
        if self.replaying and not self.over:
            return self.horizon.asked
        exactly = self.over or (self.status is Status.PAUSED and not self.away)
        return self.horizon.ask(self.shown_tick, self._wanted(), exactly=exactly)

    def _wanted(self) -> int:
        """The tick that it may reach before it can ask again."""
        if not self._moves:
            return self.shown_tick
        ticks = self.steps_asked
        if self.status is Status.RUNNING:
            ticks = max(ticks, self.pace.ticks_within(AHEAD, self.clock.now(), self.speed))
        return self.shown_tick + min(ticks, MOST)

    def _is_short(self) -> bool:
        """Whether what is granted will be used up before the next look."""
        tick = self.host.tick
        if self.replaying or not self._moves or not self.horizon.is_half_used(tick):
            return False
        left = self.horizon.granted - tick
        if self._wanted() - tick <= 2 * left:
            return False
        return self._hurries or self.pace.time_for(left, self.clock.now(), self.speed) < SHORT

    @property
    def _hurries(self) -> bool:
        """Whether its steps are to come at once, whatever its pace."""
        return self.steps_asked > 0

    @property
    def _applied_seq(self) -> int:
        """The place in the journal up to which the present state has it all."""
        return self.record.next_seq - 1

    @property
    def shown_tick(self) -> int:
        """How far the run has come, as far as anybody was told."""
        return self.host.tick

    def facts(self) -> dict[str, Any]:
        """What `inspect` tells of a run in memory."""
        return {"tick": self.host.tick, "late": self.pace.late, "metrics": self._metrics()}

    def _metrics(self) -> Any:
        """The author's figures; none where they cannot be had, which harms nobody."""
        try:
            return orjson.loads(orjson.dumps(self.program.metrics(), option=orjson.OPT_SERIALIZE_NUMPY))
        except AUTHOR_ERRORS:
            logger.exception("no metrics run=%s epoch=%s", self.id, self.epoch)
            return {}
