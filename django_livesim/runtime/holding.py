"""One holding of a run by this process: its parts in memory, and what is written down of it.

What is done with it is in modules of their own, each a few functions that
get the holding: `beginning`, `boundary` (between two steps), `steering`
(controls), `ending`, and `reserving` (what it asks of its horizon). A
boundary applies controls, and both may end it; none of them knows `runner`,
which uses them all: it knows when.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from django_livesim.protocol.names import Outcome, Status
from django_livesim.protocol.records import Entry, Held, Passed
from django_livesim.runtime import taking_up
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.effort import Effort
from django_livesim.runtime.harm import Harm
from django_livesim.runtime.horizon import Horizon
from django_livesim.runtime.keeper import Keeper
from django_livesim.runtime.metering import Meter
from django_livesim.runtime.pace import Pace
from django_livesim.runtime.ports import (
    AUTHOR_ERRORS,
    Definition,
    EventOut,
    FrameOut,
    Options,
    Program,
    SendOut,
)
from django_livesim.runtime.record import Record
from django_livesim.runtime.schedule import Schedule
from django_livesim.runtime.screen import Screen, views
from django_livesim.runtime.unwatched import NOBODY, Unwatched
from django_livesim.simulation import Host

if TYPE_CHECKING:
    from django_livesim.runtime.quiet import Quiet

logger = logging.getLogger(__name__)


def step_timeout(definition: Definition, options: Options) -> float:
    """Seconds that one step of a run may take; 0: no limit."""
    return definition.step_timeout or options.step_timeout or 0.0


class Holding:
    """A run that this process holds, owned by the step thread; subclasses say how its steps are made."""

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
        self.meter = Meter(program, self.screen, self.record) if definition.has_metrics else None
        self.keeper = Keeper(definition, options, host, clock)
        self.pace = Pace(definition.tick_rate)
        self.horizon = Horizon(held)
        self.schedule = Schedule()
        self.effort = Effort()
        self.taken_over = taking_up.is_taken_over(held, definition)
        """Whether older code has stepped it: what is played again may come out differently."""
        self.unusable: Passed | None = None
        """The checkpoint that could not be taken up, where there is one before it."""
        self.harm: Harm | None = None
        """What it has done to this process; it is over then."""
        self.over = False
        self.away = False
        """Whether the state is in other hands: an own loop is in its author's code."""
        self.steps_asked = 0
        self.stepped_last = False
        """Whether the last of the steps asked for has been made, and its boundary is to come."""
        self.unfinished = False
        """Whether commands are left that apply at this boundary."""
        self.quiet: Quiet | None = None
        """How long it needs nothing but steps; None: look at each boundary."""

    # -- where it is --------------------------------------------------------------------------

    @property
    def replaying(self) -> bool:
        return not self.host.live

    @property
    def retraces(self) -> bool:
        """Whether it takes up what is stored, and has come to nothing yet that nobody has seen before."""
        return self.replaying

    @property
    def moves(self) -> bool:
        """Whether it makes steps, as far as its horizon lets it."""
        return not self.over and (self.status is Status.RUNNING or self.ticks_asked > 0)

    @property
    def ticks_asked(self) -> int:
        """Ticks that are to come at once, whatever its pace."""
        return self.steps_asked

    @property
    def waits(self) -> bool:
        """Whether it may make no further step before it hears of the database."""
        return self.horizon.is_reached(self.host.tick)

    @property
    def overdue(self) -> float:
        """Seconds since its next tick was due; 0 where none is. Any thread."""
        if self.status is not Status.RUNNING or self.over or self.away or self.replaying or self.speed <= 0:
            return 0.0
        return max(0.0, self.clock.now() - self.pace.due)

    @property
    def step_timeout(self) -> float:
        """Seconds that one step may take; 0: no limit."""
        return step_timeout(self.definition, self.options)

    @property
    def shown_tick(self) -> int:
        """How far the run has come, as far as anybody was told."""
        return self.host.tick

    @property
    def applied_seq(self) -> int:
        """The place in the journal up to which the present state has it all."""
        return self.record.next_seq - 1

    def fingerprint(self) -> str:
        """The hash of the present state for an heir to compare; empty where there is none to be had."""
        return ""

    def whence(self) -> str:
        """The reason of the status with which it is taken up."""
        return taking_up.told(self.held, self.definition)

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

    # -- what is written down -----------------------------------------------------------------

    def say(self, reason: str = "", progress: float | None = None) -> None:
        """Journal the status and tell viewers once that has committed."""
        if self.status is Status.PAUSED and self.unwatched.paused:
            reason = NOBODY
        self.record.status(self.status, self.shown_tick, self.speed, reason, progress)

    def answer(self, entry: Entry, outcome: Outcome, **said: Any) -> None:
        """Journal what became of an entry here."""
        self.record.verdict(entry, self.host.tick, outcome, **said)

    def checkpoint(self, final: bool = False) -> list[FrameOut]:
        """Record the present state; with `final`, what each role sees of it too, which is given."""
        self.keeper.count_from(self.clock.now())
        if final and self.meter is not None:
            self.sample(self.clock.now(), anyway=True)
        frames = self.screen.all_frames(self.host.tick) if final else []
        if final or self.keeper.stores_state:
            seen = views(frames) if final else None
            place = (self.applied_seq, self.steps_asked)
            self.record.checkpoint(self.keeper.store(self.program.dump, *place, seen))
        return frames

    @property
    def shows(self) -> bool:
        """Whether there is anything for viewers to see."""
        return True

    def report(self, now: float, *, owed: bool = False) -> None:
        """Show viewers the frames that are due; with `owed`, those alone that came too early before."""
        if not self.shows:
            return
        at_once = self.speed <= 0 or self.ticks_asked > 0
        for output in self.screen.frames(self.host.tick, now, at_once=at_once, owed=owed):
            self.record.out(output)

    def sample(self, now: float, *, anyway: bool = False) -> None:
        """Have the figures of this boundary shown and stored, where they are due or `anyway`."""
        if self.meter is not None and self.shows and not self.replaying:
            self.meter.sample(self.host.tick, now, anyway=anyway)

    def collect_effects(self) -> None:
        """Let out what the author's code has emitted and sent."""
        for name, data in self.host.events:
            self.record.out(EventOut(name=name, data=data, tick=self.host.tick))
        for send in self.host.sends:
            self.record.out(SendOut(send=send))
        self.discard_effects()

    def discard_effects(self) -> None:
        self.host.events.clear()
        self.host.sends.clear()

    # -- for the subclasses, and for those that get it ----------------------------------------

    def begin_history(self) -> None:
        """Play again what was journaled after the checkpoint, and go live then."""
        raise NotImplementedError

    def applies_here(self, entry: Entry) -> bool:
        """Whether an entry that is due is applied at this boundary."""
        return True

    def run_command(self, entry: Entry) -> tuple[Outcome, dict[str, Any]]:
        """Run a declared command; its outcome and what else the verdict says."""
        raise NotImplementedError

    def fail(self, exc: BaseException, successor: UUID | None = None) -> None:
        """The run's own code, or its state, is at fault."""
        raise NotImplementedError

    def drop(self) -> None:
        """Forget everything without a word: another holds the run, or it will be loaded again."""
        self.over = True
        self.close()

    def close(self) -> None:
        """Nothing will be asked of the program any more."""
