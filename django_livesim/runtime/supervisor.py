"""All runs of one process on one heap, in one thread.

Owner of every runner. Other threads reach it by `post` alone. The order of
a turn: what has come in, then the runs that are due, oldest first, each one
step; so a busy run delays the others by one step at most.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from uuid import UUID

from django_livesim.protocol.records import Entry
from django_livesim.runtime.looped import LoopRunner
from django_livesim.runtime.runner import Runner
from django_livesim.runtime.runs import Runs

logger = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds beyond the grace for the last writes


class Supervisor(Runs):
    """Holds runs and gives each its turns."""

    _drain_deadline = 0.0
    """By when a loop that is away must be back, while draining."""

    # -- from any thread ----------------------------------------------------------------------

    def ring(self) -> None:
        """There is something to see in the database."""
        self.post(self.looking.ring)

    def interest(
        self,
        run: UUID,
        roles: Sequence[str],
        keyframe: bool,
        *,
        hub: str = "",
        rates: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """A hub's viewers watch a run in these roles; one with a rate wants so many frames a second."""
        self.post(self._watch, run, roles, keyframe, hub, rates)

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
        left = self.runners.keys() | self._writing
        if left and self.clock.now() > self._drain_deadline + PATIENCE:
            logger.error("left with %s runs not stored: the database did not answer", len(left))
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
        if now >= self.looking.due:
            self._excuse_silence(now)
        for _ in range(self._inbox.qsize()):
            self._inbox.get_nowait()()
        if now >= self.looking.due:
            self.looking.postpone()
            self._tidy()
            self.looking.look()
        if self.draining:
            self._let_go(self.clock.now())
        self._step_due(now)
        if self._histories:
            return 0.0
        soonest = min(self._turns.soonest, self.looking.due, now + self.options.poll)
        return max(0.0, soonest - self.clock.now())

    def _excuse_silence(self, now: float) -> None:
        """Where no sign of interest can come in, none is missed."""
        if not self._hears():
            for runner in list(self.runners.values()):
                self._give_time(runner, now)

    def _step_due(self, now: float) -> None:
        due = self._turns.take(now)
        began = self.clock.now()
        for runner in due:
            if self.draining and not isinstance(runner, LoopRunner):
                continue  # it has been let go, or is about to be
            if self.runners.get(runner.id) is runner:
                self._turn(runner, now)
        self._play(self.clock.now() - began if due else None)

    def _play(self, spent: float | None) -> None:
        """A slice of one run's history; the live runs took `spent` in this turn, None where none was due."""
        run = self._histories.take()
        runner = None if run is None else self.runners.get(run)
        if runner is not None and runner.replaying:
            self._touch(runner, runner.play, self._histories.slice(spent))

    # -- leaving ------------------------------------------------------------------------------

    def _begin_drain(self, grace: float) -> None:
        deadline = self.clock.now() + grace
        self._drain_deadline = min(self._drain_deadline, deadline) if self.draining else deadline
        self.draining = True

    def _let_go(self, now: float) -> None:
        for runner in list(self.runners.values()):
            if runner.over:
                continue
            self._call(runner, partial(self._let_go_of, runner, now))
            self._after(runner)

    def _let_go_of(self, runner: Runner, now: float) -> None:
        if not runner.release() and isinstance(runner, LoopRunner) and now >= self._drain_deadline:
            runner.abandon()

    def _broken_off(self) -> None:
        """Whatever that has left behind: nothing is stepped here any more, all is stored and let go."""
        if not self.draining:
            self._begin_drain(self.options.grace)
            self._spoiled()
