"""All runs of one process on one heap, in one thread.

Owner of every runner. Other threads reach it by `post` alone. The order of
a turn: what has come in, then the runs that are due, oldest first, each one
step; so a busy run delays the others by one step at most.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django_livesim.protocol.errors import UnknownSimulation
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Entry, Held, Poll, Position, Write
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.history import Histories
from django_livesim.runtime.looped import LoopRunner
from django_livesim.runtime.loops import LoopThread
from django_livesim.runtime.ports import Catalogue, Definition, Ledger, Options, Outlet
from django_livesim.runtime.runner import AUTHOR_ERRORS, Runner
from django_livesim.runtime.stepped import SteppedRunner

logger = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds beyond the grace for the last writes
RESERVE_EVERY = 0.5  # seconds that pass at least before the held runs ask again for further horizons
PLACES = 100  # answers after which a look that was full is made again: so many others can be read
HASHING = 0.01  # seconds for the hashes of one look, so that they cost one per cent of the time


class Supervisor:
    """Holds runs and gives each its turns."""

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
    ) -> None:
        """`tidy` is called in the step thread with every slow poll: what the host keeps by thread.

        `hears` says whether signs of interest arrive; while they do not, no run counts as unwatched.
        `leased` says whether the worker of the last look has its lease for certain; otherwise nothing leaves.
        `loops` makes the programs of own loops.
        """
        self.clock = clock
        self.ledger = ledger
        self.outlet = outlet
        self.catalogue = catalogue
        self.options = options
        self.runners: dict[UUID, Runner] = {}
        self.draining = False
        self._tidy = tidy
        self._hears = hears
        self._leased = leased
        self._worker: UUID | None = None
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._heap: list[tuple[float, int, Runner]] = []
        self._order = itertools.count()
        self._scheduled: dict[UUID, float] = {}
        self._histories = Histories()
        self._writing: set[UUID] = set()
        self._polling = False
        self._poll_again = False
        self._full = False  # whether the last look read as many commands as it may
        self._answered = 0  # how many have been answered since
        self._poll_due = clock.now()
        self._reserve_due = clock.now()
        self._hashed = 0  # states, and so where the next look begins: all runs come in turn
        self._drain_deadline = 0.0
        self._loops = loops or LoopThread()

    # -- from any thread ----------------------------------------------------------------------

    def post(self, function: Callable[..., None], *args: Any) -> None:
        """Have `function` called in the step thread, soon and in order."""
        self._inbox.put(partial(function, *args))

    def ring(self) -> None:
        """There is something to see in the database."""
        self.post(self._rung)

    def interest(self, run: UUID, roles: Sequence[str], keyframe: bool) -> None:
        """Somebody watches a run."""
        self.post(self._watch, run, roles, keyframe)

    def volatile(self, run: UUID, entry: Entry) -> None:
        """A command without a row has come; it is lost where the run is not held here any more."""
        self.post(self._offer, run, [entry])

    def drain(self, grace: float | None = None) -> None:
        """Take nothing new, store and let go what is held, then `run` returns.

        A loop that is away has `grace` seconds to come back, by default those of the options.
        """
        self.post(self._begin_drain, self.options.grace if grace is None else grace)

    # -- the step thread ----------------------------------------------------------------------

    def run(self) -> None:
        """Step runs until drained."""
        while not self._drained():
            seconds = self.turn()
            if not self._drained():
                self._wait(seconds)

    def _drained(self) -> bool:
        if not self.draining:
            return False
        if self.runners and self.clock.now() > self._drain_deadline + PATIENCE:
            logger.error("left with %s runs not stored: the database did not answer", len(self.runners))
            return True
        return not self.runners and not self._writing

    def _wait(self, seconds: float) -> None:
        try:
            first = self._inbox.get(timeout=seconds) if seconds > 0 else self._inbox.get_nowait()
        except queue.Empty:
            return
        first()

    def turn(self) -> float:
        """Do all that is due; the seconds until something is.

        What came in before the turn is taken before anything is judged by its time. So a long step, or
        a batch of slow setups, makes nobody look absent whose sign of interest waited meanwhile.
        """
        now = self.clock.now()
        if now >= self._poll_due:
            self._excuse_silence(now)
        for _ in range(self._inbox.qsize()):
            self._inbox.get_nowait()()
        if now >= self._poll_due:
            self._poll_due = now + self.options.poll
            self._tidy()
            self._poll()
        if self.draining:
            self._let_go(self.clock.now())
        self._step_due(now)
        if self._histories:
            return 0.0
        soonest = self._heap[0][0] if self._heap else self._poll_due
        return max(0.0, min(soonest, self._poll_due, now + self.options.poll) - self.clock.now())

    def _excuse_silence(self, now: float) -> None:
        """Where no sign of interest can come in, none is missed."""
        if not self._hears():
            for runner in list(self.runners.values()):
                self._give_time(runner, now)

    def _give_time(self, runner: Runner, now: float) -> None:
        """A full period in which nobody need watch it."""
        runner.unwatched.seen(now)
        self._after(runner)

    def _step_due(self, now: float) -> None:
        due: list[Runner] = []
        while self._heap and self._heap[0][0] <= now:
            at, _, runner = heapq.heappop(self._heap)
            if self._scheduled.get(runner.id) == at and self.runners.get(runner.id) is runner:
                del self._scheduled[runner.id]
                due.append(runner)
        began = self.clock.now()
        for runner in due:
            if self.runners.get(runner.id) is runner:
                self._touch(runner, runner.turn, now)
        self._play(self.clock.now() - began if due else None)

    def _play(self, spent: float | None) -> None:
        """A slice of one run's history; the live runs took `spent` in this turn, None where none was due."""
        run = self._histories.take()
        runner = None if run is None else self.runners.get(run)
        if runner is not None and runner.replaying:
            self._touch(runner, runner.play, self._histories.slice(spent))

    def _touch(self, runner: Runner, function: Callable[..., None], *args: Any) -> None:
        """Have a runner do something; what it lets escape ends its own run, and no worker."""
        try:
            function(*args)
        except AUTHOR_ERRORS as exc:
            runner.fail(exc)
        self._after(runner)

    def _after(self, runner: Runner) -> None:
        """Whatever touched a runner ends here: write, let out, schedule, forget."""
        if runner.status is Status.FAILED:
            self._tidy()  # what its code broke, the next must not find
        self._write(runner)
        self._let_out(runner)
        due = runner.next_due()
        if due is not None and runner.replaying:
            self._histories.add(runner.id)
        elif due is not None and self._scheduled.get(runner.id) != due:
            self._scheduled[runner.id] = due
            heapq.heappush(self._heap, (due, next(self._order), runner))

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
            self._poll_due = self.clock.now() + self.options.poll
            return
        runner.committed(write)
        self._expect_next(write)
        self._expect_more(runner, write)
        if write.ended or write.release:
            self._let_out(runner)
            self._forget(runner)
            return
        self._after(runner)

    def _expect_next(self, write: Write) -> None:
        """Look in time for the next of what is repeated, which the store has made with this write."""
        if periods := [each.entry.every for each in write.verdicts if each.entry.every]:
            self._poll_due = min(self._poll_due, self.clock.now() + min(periods) / 2)

    def _expect_more(self, runner: Runner, write: Write) -> None:
        """Look again once there is room for what a full look has left, or a run has used its share up.

        What nobody answers asks for none.
        """
        self._answered += len(write.verdicts)
        used_up = write.verdicts and runner.schedule.used_up
        if self._full and (used_up or self._answered >= PLACES):
            self._rung()

    def _forget(self, runner: Runner) -> None:
        runner.drop()
        self.runners.pop(runner.id, None)
        self._scheduled.pop(runner.id, None)

    # -- polls --------------------------------------------------------------------------------

    def _rung(self) -> None:
        """A ring during a look asks for one more: it may have looked before what it rang for."""
        self._poll_again = self._polling
        self._poll()

    def _poll(self) -> None:
        """Look into the database, unless a look is under way."""
        if self._polling:
            return
        self._polling, self._poll_again = True, False
        self._answered = 0
        self._poll_due = self.clock.now() + self.options.poll
        self.ledger.poll(self._positions(), not self.draining, self._polled)

    def _positions(self) -> dict[UUID, Position]:
        """How far the held runs are; at most every `RESERVE_EVERY` with what they ask for."""
        now = self.clock.now()
        if now < self._reserve_due:
            return {run: Position(runner.epoch, runner.shown_tick) for run, runner in self.runners.items()}
        self._reserve_due = now + RESERVE_EVERY
        for runner in self.runners.values():
            self._write(runner, patient=False)
        until, held = now + HASHING, {}
        for runner in self._in_turn():
            hashed = self.clock.now() < until
            self._hashed += hashed
            held[runner.id] = runner.position(hashed=hashed)
            if runner.over:
                self._after(runner)
        return held

    def _in_turn(self) -> list[Runner]:
        """All runners, those first whose state was not hashed at the last look."""
        runners = list(self.runners.values())
        first = self._hashed % max(1, len(runners))
        return runners[first:] + runners[:first]

    def _polled(self, poll: Poll | None) -> None:
        self._polling = False
        if poll is not None:
            self.take(poll)
            for runner in list(self.runners.values()):
                self._let_out(runner)  # what was held back while a beat was late
            self._poll_again = self._poll_again or poll.more
        if self._poll_again:
            self._poll()

    def take(self, poll: Poll) -> None:
        """What a look into the database found."""
        self._worker = poll.worker
        self._full = poll.full
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
        self.runners[runner.id] = runner
        runner.begin()
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

    def _runner(self, held: Held, definition: Definition) -> Runner:
        parts = (self.catalogue, self.clock, self.options)
        if isinstance(definition, type):
            return SteppedRunner(held, definition, *parts)
        return LoopRunner(held, definition, *parts, post=self._post_for(held), loops=self._loops)

    def _post_for(self, held: Held) -> Callable[..., None]:
        """How an own loop reaches its runner: in the step thread, and only while it is the one held."""

        def call(function: Callable[..., None], *args: Any) -> None:
            runner = self.runners.get(held.info.id)
            if runner is not None and runner.epoch == held.epoch:
                self._touch(runner, function, *args)

        return partial(self.post, call)

    def _offer(self, run: UUID, entries: Sequence[Entry]) -> None:
        if runner := self.runners.get(run):
            self._touch(runner, runner.offer, entries)

    def _watch(self, run: UUID, roles: Sequence[str], keyframe: bool) -> None:
        if runner := self.runners.get(run):
            self._touch(runner, runner.watch, roles, keyframe)

    # -- leaving ------------------------------------------------------------------------------

    def _begin_drain(self, grace: float) -> None:
        deadline = self.clock.now() + grace
        self._drain_deadline = min(self._drain_deadline, deadline) if self.draining else deadline
        self.draining = True

    def _let_go(self, now: float) -> None:
        for runner in list(self.runners.values()):
            if runner.over:
                continue
            if not runner.release() and isinstance(runner, LoopRunner) and now >= self._drain_deadline:
                runner.abandon()
            self._after(runner)
