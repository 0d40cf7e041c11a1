"""A run whose steps are made by a loop of the author's own, in another thread."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable

from django_livesim.protocol.names import Kind, Status, Verb
from django_livesim.protocol.records import Entry, Held
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.loops import AsyncLoop, BlockingLoop, Finished, LoopProgram, LoopThread
from django_livesim.runtime.ports import Catalogue, Options
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
        program: LoopProgram
        if definition.is_async:
            program = AsyncLoop(definition, host, catalogue, post, *turns, thread=loops)
        else:
            program = BlockingLoop(definition, host, catalogue, post, *turns)
        super().__init__(held, definition, host, program, clock, options)
        self._deadline: float | None = None  # by when a loop asked to end must be back

    def _whence(self) -> str:
        stored = self.held.stored
        if stored is None or not stored.data or self.held.tick <= stored.tick:
            return super()._whence()
        return f"recovered from tick {stored.tick}, {self.held.tick - stored.tick} ticks lost"

    def _begin_history(self) -> None:
        """Later messages come again, in order; the loop itself cannot be played again."""
        self._waiting.extend(entry for entry in self.held.journal if entry.kind is Kind.COMMAND)
        self._live(self.clock.now())

    def _close(self) -> None:
        self.program.close()

    def abandon(self) -> None:
        """Let the run go although its loop is still away; the stored state is all that remains."""
        logger.warning("loop did not come back run=%s epoch=%s; its state is lost", self.id, self.epoch)
        self.record.release()
        self.over = True
        self._close()

    def offer(self, entries: Iterable[Entry]) -> None:
        super().offer(entries)
        if self.away and not self.over and self._deadline is None and self._ending() is not None:
            self._deadline = self.clock.now() + self.options.grace
            self.status = Status.STOPPING
            self._say("waits for the loop to end its tick")

    def _ending(self) -> Entry | None:
        """The stop or restart that waits for the loop."""
        ends = (Verb.STOP, Verb.RESTART)
        return next((each for each in self._waiting if each.kind is Kind.CONTROL and each.name in ends), None)

    def next_due(self) -> float | None:
        return self._deadline if self.away and not self.over else super().next_due()

    def turn(self) -> None:
        if self.away and not self.over:
            self._overdue()
        else:
            super().turn()

    def _overdue(self) -> None:
        """Stop without a boundary: nothing of the loop's present state can be stored."""
        entry = self._ending()
        if entry is None or self._deadline is None or self.clock.now() < self._deadline:
            return
        logger.warning("loop ignored its stop run=%s epoch=%s", self.id, self.epoch)
        reason = "its loop did not come back in time; the state is the last one stored"
        self._stop_or_restart(entry, reason, store=False)

    def _applies_here(self, entry: Entry) -> bool:
        """Controls; messages wait for the loop."""
        return entry.kind is Kind.CONTROL and self._is_due(entry)

    def _step(self, now: float) -> None:
        self.away = True
        self.program.advance(self._take_messages())

    def _report(self, now: float) -> None:
        """Nothing to show before the function has been called."""
        if self.host.tick or self.program.sim.resumed:
            super()._report(now)

    def _take_messages(self) -> list[Entry]:
        """What the loop gets next: commands that are due, in order."""
        messages: list[Entry] = []
        kept: deque[Entry] = deque()
        for entry in self._waiting:
            (messages if entry.kind is Kind.COMMAND and self._is_due(entry) else kept).append(entry)
        self._waiting = kept
        return messages

    def _arrived(self, seconds: float) -> None:
        """The loop sleeps: the state is the step thread's again."""
        if self.over:
            return
        self.away, self._deadline = False, None
        self._collect_settled()
        self.host.tick += 1
        self.pace.slept(self.clock.now(), seconds, self.speed)
        self._guarded(self._attend)

    def _finished(self, finished: Finished) -> None:
        """The loop's function returned, raised, or was ended."""
        if self.over:
            return
        self.away = False
        self._collect_settled()
        if finished.error:
            self._end(Status.FAILED, finished.reason, error=finished.error)
        elif finished.exited:
            self._end(Status.FAILED, "its loop was cancelled from inside", error="the loop was cancelled")
        else:
            self.host.finished, self.host.result = True, finished.result
            self._guarded(self._attend)

    def _collect_settled(self) -> None:
        """Journal what became of the messages that the loop has moved past."""
        for settled in self.program.take_settled():
            self.record.verdict(
                settled.entry,
                self.host.tick,
                settled.outcome,
                code=settled.code,
                message=settled.message,
                result=settled.result,
            )
        if self.program.take_report():
            self.screen.by_itself = True
            self.screen.want()
