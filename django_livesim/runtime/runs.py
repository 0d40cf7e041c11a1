"""The runs that a process holds: taken up, told what has come, written, shown, let go.

Owned by the step thread; other threads reach it by `post` alone. When all
of this happens is the supervisor's to say.
"""

from __future__ import annotations

import logging
import queue
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django_livesim.protocol.errors import UnknownSimulation
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Entry, Held, Poll, Position, Write
from django_livesim.runtime import ending, reserving
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.effort import TICKS
from django_livesim.runtime.harm import Harm, StepTimeout
from django_livesim.runtime.history import Histories
from django_livesim.runtime.holding import Holding
from django_livesim.runtime.jobbed import JobRunner
from django_livesim.runtime.looking import Looked, Looking
from django_livesim.runtime.looped import LoopRunner
from django_livesim.runtime.loops import LoopThread
from django_livesim.runtime.ports import (
    AUTHOR_ERRORS,
    Catalogue,
    Definition,
    Ledger,
    Options,
    Outlet,
    Unnoticed,
    Watch,
)
from django_livesim.runtime.reserving import Reserving
from django_livesim.runtime.runner import Runner
from django_livesim.runtime.stepped import SteppedRunner
from django_livesim.runtime.turns import Turns

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Runs:
    """Holds runners, and does after each touch what follows from it."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        outlet: Outlet,
        catalogue: Catalogue,
        options: Options,
        tidy: Callable[[], None] = lambda: None,
        hears: Callable[[], bool] = lambda: True,
        leased: Callable[[UUID | None], bool] = lambda worker: True,
        loops: LoopThread | None = None,
        watch: Watch | None = None,
        spoiled: Callable[[], None] = lambda: None,
    ) -> None:
        """`tidy` is called in the step thread with every slow poll: what the host keeps by thread.

        `hears` says whether signs of interest arrive; while they do not, no run counts as unwatched.
        `leased` says whether the worker of the last look has its lease for certain; otherwise nothing leaves.
        `loops` makes the programs of own loops. `watch` is told whose code this thread calls.
        `spoiled` is called where code was broken off, and this process is about to leave for it.
        """
        self.clock = clock
        self.ledger = ledger
        self.outlet = outlet
        self.catalogue = catalogue
        self.options = options
        self.runners: dict[UUID, Runner] = {}
        self.lateness: deque[float] = deque(maxlen=TICKS)
        """How late the last ticks have come, of all runs, in seconds."""
        self.draining = False
        self._tidy = tidy
        self._hears = hears
        self._leased = leased
        self._worker: UUID | None = None
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._turns = Turns()
        self._histories = Histories()
        self._writing: set[UUID] = set()
        self.looking = Looking(clock, options.poll, self._look, self._looked)
        self._reserving = Reserving(clock, self._position)
        self._watched: Watch = watch or Unnoticed()
        self._spoiled = spoiled
        self._loops = loops or LoopThread()

    def post(self, function: Callable[..., None], *args: Any) -> None:
        """Have `function` called in the step thread, soon and in order."""
        self._inbox.put(partial(function, *args))

    # -- what a look finds --------------------------------------------------------------------

    def _look(self, looked: Looked) -> None:
        self.ledger.poll(self._positions(), not self.draining, looked)

    def _positions(self) -> dict[UUID, Position]:
        """How far the held runs are, now and then with what they ask for."""
        if not self._reserving.is_due:
            return {run: Position(runner.epoch, runner.shown_tick) for run, runner in self.runners.items()}
        for runner in self.runners.values():
            self._write(runner, patient=False)
        positions = self._reserving.positions(self.runners.values())
        for runner in list(self.runners.values()):
            if runner.over:
                self._after(runner)
        return positions

    def _position(self, run: Holding) -> Position:
        found = self._call(run, partial(reserving.position, run, hashed=True))
        return found or Position(run.epoch, run.shown_tick)

    def _looked(self, poll: Poll) -> None:
        self.take(poll)
        for runner in list(self.runners.values()):
            self._let_out(runner)  # what was held back while a beat was late

    def take(self, poll: Poll) -> None:
        """What a look into the database found."""
        self._worker = poll.worker
        self.looking.full = poll.full
        for run in list(self.runners) if poll.dead else poll.lost:
            if runner := self.runners.get(run):
                logger.warning("lost run=%s epoch=%s to another worker", run, runner.epoch)
                self._forget(runner)
        for held in poll.claimed:
            self._hold(held)
        now = self.clock.now()
        for held in poll.claimed:  # before this, nobody was told who holds it
            if runner := self.runners.get(held.info.id):
                self._give_time(runner, now)
        for run, entries in poll.entries.items():
            self._offer(run, entries)
        for runner in list(self.runners.values()):
            if runner.leave(poll.left.get(runner.id)):
                self._after(runner)
        for run, horizon in poll.horizons.items():
            if (runner := self.runners.get(run)) and runner.grant(horizon):
                self._after(runner)

    def _give_time(self, runner: Runner, now: float) -> None:
        """A full period in which nobody need watch it."""
        runner.unwatched.seen(now)
        self._after(runner)

    # -- runs that come and go ----------------------------------------------------------------

    def _hold(self, held: Held) -> None:
        try:
            definition = self.catalogue.find(held.info.simulation)
        except UnknownSimulation:
            run, simulation = held.info.id, held.info.simulation
            logger.error(
                "claimed without its code run=%s epoch=%s simulation=%s", run, held.epoch, simulation
            )
            return
        if old := self.runners.get(held.info.id):
            self._forget(old)
        runner = self._runner(held, definition)
        runner.effort.lateness = self.lateness
        self.runners[runner.id] = runner
        self._call(runner, runner.begin, limited=False)
        if runner.unusable is not None:
            passed = (*held.passed, runner.unusable)
            self.ledger.load_again(runner.id, passed, partial(self._loaded_again, runner))
            return
        self._after(runner)

    def _loaded_again(self, runner: Runner, held: Held | None) -> None:
        """The run with an older checkpoint; where it could not be read, it is claimed once more."""
        if self.runners.get(runner.id) is not runner:
            return
        self._forget(runner)
        if held is not None and held.epoch == runner.epoch and not self.draining:
            self._hold(held)
            if again := self.runners.get(runner.id):
                again.leave(again.host.tick)  # until the look tells what waits for it
                self.looking.ring()

    def _runner(self, held: Held, definition: Definition) -> Runner:
        parts = (self.catalogue, self.clock, self.options)
        if isinstance(definition, type):
            return SteppedRunner(held, definition, *parts)
        kind = JobRunner if definition.is_job else LoopRunner
        return kind(held, definition, *parts, post=self._post_for(held), loops=self._loops)

    def _post_for(self, held: Held) -> Callable[..., None]:
        """How an own loop reaches its runner: in the step thread, and only while it is the one held."""

        def call(function: Callable[..., None], *args: Any) -> None:
            runner = self.runners.get(held.info.id)
            if runner is not None and runner.epoch == held.epoch:
                self._touch(runner, function, *args)

        return partial(self.post, call)

    def _forget(self, runner: Runner) -> None:
        runner.drop()
        self.runners.pop(runner.id, None)
        self._turns.forget(runner)

    # -- what they do -------------------------------------------------------------------------

    def _offer(self, run: UUID, entries: Sequence[Entry]) -> None:
        if runner := self.runners.get(run):
            self._touch(runner, runner.offer, entries)

    def _watch(
        self, run: UUID, roles: Sequence[str], keyframe: bool, hub: str, rates: Mapping[str, float]
    ) -> None:
        if runner := self.runners.get(run):
            self._touch(runner, runner.watch, roles, keyframe, hub, rates)

    def _turn(self, runner: Runner, now: float) -> None:
        """Its turn has come: one step, and where there may be something to do, all that."""
        quiet = runner.quiet
        if quiet is None or runner.host.tick >= quiet.tick or now >= quiet.until or runner.over:
            self._touch(runner, runner.turn, now)
            return
        try:
            if self._call(runner, runner.step_quietly):
                self._turns.put(runner, min(runner.pace.due, quiet.wake))
                return
        except AUTHOR_ERRORS as exc:
            runner.fail(exc)
        self._after(runner)

    def _touch(self, runner: Runner, function: Callable[..., Any], *args: Any) -> None:
        """Have a runner do something; what it lets escape ends its own run, and no worker."""
        try:
            self._call(runner, partial(function, *args))
        except AUTHOR_ERRORS as exc:
            runner.fail(exc)
        self._after(runner)

    def _call(self, run: Holding, function: Callable[[], T], *, limited: bool = True) -> T | None:
        """Have a runner do what may call its author's code. None where that was broken off: it is over then.

        `StepTimeout` may come at any instruction between `enter` and `leave`, of `leave` too, which is called
        again then. What it leaves half done is the runner's own, which nobody uses any more, or of the host's
        and the interpreter's: a connection, a lock. So no more code is called in this process: it leaves.
        """
        try:
            try:
                self._watched.enter(run.id, run.epoch, run.step_timeout if limited else 0.0)
                run.effort.enter()
                return function()
            finally:
                run.effort.leave()
                self._watched.leave()
        except StepTimeout as exc:
            self._watched.leave()
            ending.harm(run, str(exc), exc)
            self._broken_off()
            return None

    def _broken_off(self) -> None:
        """Code was broken off in the midst."""
        raise NotImplementedError

    def _after(self, runner: Runner) -> None:
        """Whatever touched a runner ends here: write, let out, schedule, forget."""
        if runner.harm is not None:
            self._strike(runner, runner.harm)
            return
        if runner.status is Status.FAILED:
            self._tidy()  # what its code broke, the next must not find
        self._write(runner)
        self._let_out(runner)
        runner.look_ahead()
        due = runner.next_due()
        if due is not None and runner.replaying:
            self._histories.add(runner.id)
        elif due is not None:
            self._turns.put(runner, due)

    def _strike(self, runner: Runner, harm: Harm) -> None:
        """What it did since its last write never was. It is claimed again once it is held back no more."""
        if self.runners.get(runner.id) is runner:
            logger.error("run=%s epoch=%s %s; dropped from memory", runner.id, runner.epoch, harm.why)
            self.ledger.strike(runner.id, runner.epoch, harm)
            self._forget(runner)
            self._tidy()

    def _let_out(self, runner: Runner) -> None:
        if self._leased(self._worker) and (outputs := runner.record.leaving()):
            self.outlet.put(runner.id, runner.epoch, outputs)

    # -- writes -------------------------------------------------------------------------------

    def _write(self, runner: Runner, *, patient: bool = True) -> None:
        """Send the draft off; one write of a run is under way at a time.

        What nobody waits for goes with the next look that reserves, so that the checkpoints of many runs
        are one transaction, or with what somebody does wait for.
        """
        if runner.id in self._writing:
            return
        write = runner.take_write(patient=patient)
        if write is None:
            return
        self._writing.add(runner.id)
        self.ledger.write(write, partial(self._written, runner, write))

    def _written(self, runner: Runner, write: Write, committed: Committed) -> None:
        self._writing.discard(runner.id)
        current = self.runners.get(runner.id)
        if current is not runner:
            if current is not None:
                self._after(current)  # its own draft waited for this one
            return
        if committed is not Committed.YES:
            logger.warning(
                "write %s run=%s epoch=%s; dropped from memory", committed, runner.id, runner.epoch
            )
            self._forget(runner)
            self.looking.postpone()
            return
        runner.committed(write)
        self.looking.written(write, used_up=runner.schedule.used_up)
        if write.ended or write.release:
            self._let_out(runner)
            self._forget(runner)
            return
        self._after(runner)
