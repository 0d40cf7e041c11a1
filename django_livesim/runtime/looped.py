"""A run whose steps are made by a loop of the author's own, in another thread."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from django_livesim.jobs import Job
from django_livesim.protocol.names import Kind, Status
from django_livesim.protocol.records import Entry, Held
from django_livesim.runtime import ending, taking_up
from django_livesim.runtime.boundary import attend
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.holding import step_timeout
from django_livesim.runtime.loops import LoopThread
from django_livesim.runtime.ports import Catalogue, FrameOut, Options
from django_livesim.runtime.program import Finished, LoopProgram, LoopSim
from django_livesim.runtime.runner import Runner
from django_livesim.simulation import Host, Loop

logger = logging.getLogger(__name__)


class LoopRunner(Runner):
    """Takes turns with a loop: `away` from `_step` until the loop's next sleep has `_arrived`."""

    program: LoopProgram

    def __init__(
        self,
        held: Held,
        definition: Loop,
        catalogue: Catalogue,
        clock: Clock,
        options: Options,
        *,
        post: Callable[..., None],
        loops: LoopThread,
    ) -> None:
        host = Host(run=held.info, live=False)
        turns = (self._arrived, self._finished)
        limit = step_timeout(definition, options)
        facts: dict[str, Any] = {"epoch": held.epoch, "limit": limit, "sim_class": self.sim_class(definition)}
        program = loops.program(definition, host, catalogue, post, *turns, **facts)
        super().__init__(held, definition, host, program, clock, options)
        self._again: list[int] = []  # places of the messages that came again and wait
        self._slept = False  # in this holding
        self._deadline = math.inf  # by when a loop asked to end must be back

    @staticmethod
    def sim_class(definition: Loop) -> Callable[[LoopProgram], LoopSim | Job]:
        """What makes the object that the author's function gets."""
        return LoopSim

    def whence(self) -> str:
        return taking_up.told(self.held, self.definition, loses_ticks=True)

    def begin_history(self) -> None:
        """Later messages come again, in order; the loop itself cannot be played again."""
        again = [entry for entry in self.held.journal if entry.kind is Kind.COMMAND]
        self.schedule.give_again(again)
        self._again = [entry.apply_seq or 0 for entry in again]
        self.go_live(self.clock.now())
        if self._untouched:
            self.keeper.count_from(-math.inf)  # at its first sleep there is something to store

    @property
    def applied_seq(self) -> int:
        """Messages that came again and that the loop has not moved past are not in its state yet."""
        return min(self._again) - 1 if self._again else super().applied_seq

    @property
    def _untouched(self) -> bool:
        """Whether the function has not come to its first sleep, so that there is no state yet."""
        return not (self.host.tick or self.program.sim.resumed)

    @property
    def _lacks(self) -> bool:
        """Whether its state is from before messages whose effects were shown; until it has slept once."""
        return bool(self._again) and not self._slept

    def checkpoint(self, final: bool = False) -> list[FrameOut]:
        return [] if self._untouched else super().checkpoint(final)

    def close(self) -> None:
        self.program.close()

    def abandon(self) -> None:
        """Let the run go although its loop is still away; the stored state is all that remains."""
        logger.warning("loop did not come back run=%s epoch=%s; its state is lost", self.id, self.epoch)
        self.program.abandoned = True
        self.record.release()
        self.over = True
        self.close()

    def offer(self, entries: Iterable[Entry]) -> None:
        super().offer(entries)
        if self.away and not self.over and self._deadline == math.inf and self._ending() is not None:
            self._deadline = self.clock.now() + self.options.grace
            self.status = Status.STOPPING
            self.say("waits for the loop to end its tick")

    def _ending(self) -> Entry | None:
        """The stop or restart that waits for the loop."""
        return self.schedule.first(lambda each: each.kind is Kind.CONTROL and each.name in ending.ENDS)

    def next_due(self) -> float | None:
        if self.away and not self.over:
            due = min(self._deadline, self.screen.kept_at)
            return due if due < math.inf else None
        if not self.over and self._messages_before_end():
            return None if self.waits else self.clock.now()
        return super().next_due()

    def turn(self, now: float) -> None:
        if self.away and not self.over:
            self._guarded(self._show_kept)
            self._overdue()
        elif not self.over and self._messages_before_end():
            if not self.waits:
                self._guarded(self._step)
        else:
            super().turn(now)

    @property
    def moves(self) -> bool:
        return super().moves or (not self.over and self.away)

    @property
    def ticks_asked(self) -> int:
        return max(super().ticks_asked, self._messages_before_end())

    def _messages_before_end(self) -> bool:
        """Whether a stop waits behind messages: the loop gets those first, in a tick of their own."""
        end = self._ending()
        return end is not None and any(self._before(end))

    @property
    def rest_due(self) -> float:
        """Not before the loop has had the messages that wait: it gets none while it is paused."""
        waiting = self.schedule.first(lambda each: each.kind is Kind.COMMAND)
        return math.inf if waiting else super().rest_due

    def _before(self, end: Entry) -> Iterable[Entry]:
        waiting = itertools.takewhile(lambda each: each is not end, self.schedule)
        return (each for each in waiting if each.kind is Kind.COMMAND)

    def _overdue(self) -> None:
        """Stop without a boundary: nothing of the loop's present state can be stored."""
        entry = self._ending()
        if entry is None or self.clock.now() < self._deadline:
            return
        logger.warning("loop ignored its stop run=%s epoch=%s", self.id, self.epoch)
        reason = "its loop did not come back in time; the state is the last one stored"
        ending.stop_or_restart(self, entry, reason, store=False)

    def applies_here(self, entry: Entry) -> bool:
        """Controls; messages wait for the loop."""
        if entry.kind is not Kind.CONTROL:
            return False
        return entry.name not in ending.ENDS or not self._messages_before_end()

    def _step(self, now: float) -> None:
        if self.shows:
            self.screen.keep(self.host.tick, now)
        self.away = True
        self.schedule.look(self.host.tick, now)
        self.program.advance(self.schedule.take_messages())

    def _show_kept(self, now: float) -> None:
        """The state is the loop's; what viewers are owed was encoded when it went."""
        for frame in self.screen.kept(now):
            self.record.out(frame)

    @property
    def shows(self) -> bool:
        """Not before the function has been called, or has had its first messages again."""
        return not (self._untouched or self._lacks)

    def _arrived(self, seconds: float) -> None:
        """The loop sleeps: the state is the step thread's again."""
        if self.over:
            return
        self.away, self._deadline = False, math.inf
        self._guarded(lambda now: self._end_tick(now, seconds))

    def _end_tick(self, now: float, seconds: float) -> None:
        """The boundary, and the next tick `seconds` of simulated time later."""
        self._collect_settled()
        self._slept = True
        self.host.tick += 1
        self.pace.slept(now, seconds, self.speed)
        attend(self, now)

    def _finished(self, finished: Finished) -> None:
        """The loop's function returned, raised, or was ended."""
        if self.over:
            return
        self.away = False
        self._guarded(lambda now: self._end_loop(now, finished))

    def _end_loop(self, now: float, finished: Finished) -> None:
        """The last boundary."""
        self._collect_settled()
        if finished.error:
            ending.end(self, Status.FAILED, finished.reason, error=finished.error)
        elif finished.exited:
            why, error = "its loop was cancelled from inside", "the loop was cancelled"
            ending.end(self, Status.FAILED, why, error=error)
        else:
            if not self.host.finished:
                self.host.finished, self.host.result = True, finished.result
            attend(self, now)

    def _collect_settled(self) -> None:
        """Journal what became of the messages that the loop has moved past."""
        for settled in self.program.take_settled():
            if settled.entry.apply_seq in self._again:
                self._again.remove(settled.entry.apply_seq)
            self.record.verdict(
                settled.entry,
                self.host.tick,
                settled.outcome,
                code=settled.code,
                message=settled.message,
                result=settled.result,
                params_set=settled.params_set,
            )
        if self.program.take_report():
            self.screen.reported()
