"""When a held run does what: one in memory, from boundary to boundary.

A runner is owned by the step thread; every method is called there. At a
boundary commands apply in order, frames are encoded, checkpoints taken;
between two boundaries there is one step. What it did since its last write,
and what viewers are to get of it, is in its record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Entry, Write
from django_livesim.runtime import beginning, ending, reserving, steering
from django_livesim.runtime.boundary import attend
from django_livesim.runtime.holding import Holding
from django_livesim.runtime.ports import AUTHOR_ERRORS
from django_livesim.runtime.unwatched import NOBODY


class Runner(Holding):
    """A holding that acts: the supervisor tells it what has come, and when it is its turn."""

    # -- life ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Set up or load, and get ready to go on. A failure ends the run, not the worker.

        Where a checkpoint cannot be taken up and there is one before it, nothing is recorded, `unusable`
        is it, and this runner is over.
        """
        try:
            beginning.begin(self)
        except AUTHOR_ERRORS as exc:
            self.fail(exc)

    def go_live(self, now: float) -> None:
        """History has been played: from here on effects count."""
        if not self.host.live:
            self.host.live = True
            self.discard_effects()
        self.screen.want()
        self.unwatched.seen(now)
        self.keeper.count_from(now)
        if self.held.stored is None or not self.held.stored.data:
            self.checkpoint()
        if self.held.unproven:
            self.keeper.prove(now)
        attend(self, now)

    def release(self) -> bool:
        """Store the state and let the run go. False while a loop is away; call again later."""
        return ending.release(self)

    def fail(self, exc: BaseException, successor: UUID | None = None) -> None:
        ending.fail(self, exc, successor)

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
        waited, self.schedule.left, self.quiet = self.waits, tick, None
        return self._goes_on(waited)

    def grant(self, tick: int) -> bool:
        """The database has this horizon now. Whether the run may go on by that."""
        waited = self.waits
        self.horizon.grant(tick)
        return self._goes_on(waited)

    def reserved(self, tick: int) -> bool:
        """A look has noted what it asked for, with this horizon. Whether the run may go on by that."""
        self.record.samples_stored()
        return self.grant(tick)

    def _goes_on(self, waited: bool) -> bool:
        """Whether a run that waited need not any more; the time it waited for tells nothing of its pace."""
        if waited:
            self.pace.rate.rests()
        return waited and not self.waits

    def watch(self, roles: Iterable[str], keyframe: bool, hub: str, rates: Mapping[str, float]) -> None:
        """A hub's viewers watch in these roles, some of which want so many frames a second at most.

        A keyframe is wanted where one is missing: at once, or half a second after the last.
        """
        now = self.clock.now()
        self.screen.watch(roles, now, hub, rates)
        self.unwatched.seen(now)
        if keyframe:
            self.screen.want_whole()
        if self.over or self.away or self.replaying:
            return
        if self.unwatched.paused:
            self._guarded(self._go_on)
        elif self.owed_at <= now:
            self._guarded(self._show_owed)

    # -- time ---------------------------------------------------------------------------------

    def look_ahead(self) -> None:
        """See whether it needs more than steps for a while."""

    def step_quietly(self) -> bool:
        """A step after which nothing is to be done; False where there is something after all."""
        raise NotImplementedError

    def next_due(self) -> float | None:
        """When `turn` wants to be called, None for not before something comes in."""
        if self.over or self.away or self.record.full:
            return None
        if self.replaying or self.unfinished:
            return self.clock.now()
        waits = self.waits
        if self.steps_asked and not waits:
            return self.clock.now()
        due = min(self._attend_due, self.owed_at)
        if self.status is Status.RUNNING:
            due = min(due, math.inf if waits else self.pace.due, self.rest_due)
        return due if due < math.inf else None

    @property
    def _attend_due(self) -> float:
        """When there is something to do here that needs no step."""
        return min(self.schedule.next_due, self.keeper.proof_due)

    @property
    def owed_at(self) -> float:
        """When there is something to show that nothing has happened for: it came too early before."""
        if not self.shows:
            return math.inf
        owed_at = self.screen.owed_at
        return owed_at if self.meter is None else min(owed_at, self.meter.owed_at)

    def turn(self, now: float) -> None:
        """Make the step that is due, or none where nobody is watching and that has a consequence.

        `now` is when the supervisor's turn began: every sign of interest from before it has been taken.
        """
        if self.over or self.away or self.replaying:
            return
        if self.unfinished or self._attend_due <= now:
            self._guarded(self._attend)
        elif self.owed_at <= now:
            self._guarded(self._show_owed)
        elif self.status is Status.RUNNING and now >= self.rest_due:
            self._guarded(self._rest)
        elif self.moves and not self.waits:
            if self.speed > 0 and not self.steps_asked:
                self.effort.came(self.clock.now() - self.pace.due)
            self.stepped_last = self.steps_asked == 1
            self.steps_asked = max(0, self.steps_asked - 1)
            self._guarded(self._step)

    def play(self, seconds: float) -> None:
        """Play history again, for so long; what has come waits for the state that it is meant for."""
        if not self.over:
            self._guarded(lambda now: self._play(now + seconds))

    def _guarded(self, function: Callable[[float], None]) -> None:
        """The one place where an author's exception ends his run and nobody else's."""
        try:
            function(self.clock.now())
        except AUTHOR_ERRORS as exc:
            self.fail(exc)

    def _attend(self, now: float) -> None:
        attend(self, now)

    def _show_owed(self, now: float) -> None:
        self.report(now, owed=True)
        self.sample(now)

    def _step(self, now: float) -> None:
        """One step, and the boundary after it."""
        raise NotImplementedError

    def _play(self, until: float) -> None:
        """A slice of history."""
        raise NotImplementedError

    # -- nobody watches -----------------------------------------------------------------------

    @property
    def rest_due(self) -> float:
        """When it pauses or stops by itself, as far as is known now."""
        return self.unwatched.due

    def _rest(self, now: float) -> None:
        """Pause or stop: it has run unwatched for as long as it may."""
        if self.unwatched.stops:
            ending.end(self, Status.STOPPED, NOBODY)
        else:
            steering.turn_to(self, Status.PAUSED, unwatched=True)
            self.report(now)

    def _go_on(self, now: float) -> None:
        """Somebody watches again."""
        steering.turn_to(self, Status.RUNNING)
        self.screen.want()
        attend(self, now)

    # -- writes -------------------------------------------------------------------------------

    def take_write(self, *, patient: bool = False) -> Write | None:
        """What must be stored now, None for nothing; with `patient`, only what somebody waits for."""
        if reserving.is_short(self):
            self.record.reserve()
        if self.record.empty or (patient and not self.record.urgent):
            return None
        self.horizon.noted = self.shown_tick
        return self.record.take_write(self.shown_tick, reserving.ask(self), self.speed)

    def committed(self, write: Write) -> None:
        """A write of this runner has committed."""
        self.record.committed(write.number)
        self.grant(write.horizon)
        for verdict in write.verdicts:
            self.schedule.answered(verdict.entry)
