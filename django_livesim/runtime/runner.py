"""One held run in memory: its position, its waiting commands, its next step.

A runner is owned by the step thread; every method is called there. It moves
from boundary to boundary. At a boundary commands apply in order, frames are
encoded, checkpoints taken; between two boundaries there is one step. What
it did since its last write is in its draft; what viewers are to get is
behind its gate.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django_livesim.protocol import plain
from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.protocol.names import ENDED, INSPECT, Kind, Outcome, Status, Verb
from django_livesim.protocol.records import Entry, Held, Write
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.keeper import Keeper
from django_livesim.runtime.loops import AsyncLoop, BlockingLoop, Finished, LoopProgram, LoopThread
from django_livesim.runtime.pace import Pace
from django_livesim.runtime.ports import (
    Catalogue,
    Definition,
    EventOut,
    FrameOut,
    Options,
    SendOut,
)
from django_livesim.runtime.record import Record
from django_livesim.runtime.screen import Screen, views
from django_livesim.runtime.stepped import Stepped
from django_livesim.simulation import Host

logger = logging.getLogger(__name__)

ALL = "all"
KNOWN = 10_000  # applied entries remembered, lest a look that began before their write gives them again
REPLAY_SLICE = 0.05  # seconds of history played again before others get a turn


class Runner:
    """A run that this process holds."""

    def __init__(
        self,
        held: Held,
        definition: Definition,
        *,
        catalogue: Catalogue,
        clock: Clock,
        options: Options,
        post: Callable[..., None],
        loops: LoopThread,
    ) -> None:
        self.id: UUID = held.info.id
        self.epoch = held.epoch
        self.held = held
        self.definition = definition
        self.clock = clock
        self.options = options
        self.host = Host(run=held.info, live=False)  # until history has been played
        self.program = self._program(catalogue, post, loops)
        self.status = Status.PAUSED if held.status is Status.PAUSED else Status.RUNNING
        self.speed = held.speed
        self.record = Record(self.id, held.epoch, held.next_seq)
        self.screen = Screen(definition, options, self.program, held.info)
        self.keeper = Keeper(definition, options, self.host)
        self.pace = Pace(definition.tick_rate)
        self.away = False
        self.over = False
        self.steps_asked = 0
        self.deadline: float | None = None  # by when a loop asked to end must be back
        self._waiting: deque[Entry] = deque()
        self._known: dict[int, None] = {}  # in order of arrival
        self._replay: deque[Entry] = deque()
        self._replay_until = held.tick
        self._checkpoint_due = 0.0

    def _program(
        self, catalogue: Catalogue, post: Callable[..., None], loops: LoopThread
    ) -> Stepped | LoopProgram:
        if isinstance(self.definition, type):
            return Stepped(self.definition, self.host, catalogue)
        arguments = (self.definition, self.host, catalogue, post, self._arrived, self._loop_over)
        if self.definition.is_async:
            return AsyncLoop(*arguments, thread=loops)
        return BlockingLoop(*arguments)

    # -- life ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Set up or load, and get ready to go on. A failure ends the run, not the worker."""
        now = self.clock.now()
        stored = self.held.stored
        self._say(self._whence())
        try:
            state = self.keeper.take_up(stored)
            self.program.begin(state)
            self._begin_history()
            if not self._replay and self.host.tick >= self._replay_until:
                self._live(now)
        except Exception as exc:
            self._fail(exc)
        self.pace.start(now)

    def _whence(self) -> str:
        """The reason of the status with which a run is taken up."""
        stored = self.held.stored
        if stored is None or not stored.data:
            return ""
        lost = self.held.tick - stored.tick
        if isinstance(self.program, LoopProgram) and lost > 0:
            return f"recovered from tick {stored.tick}, {lost} ticks lost"
        return f"goes on from tick {self.held.tick}"

    def _begin_history(self) -> None:
        if isinstance(self.program, LoopProgram):
            self._replay_until = self.host.tick
            self._waiting.extendleft(reversed(self.held.journal))
        else:
            self._replay.extend(self.held.journal)
            last = self.held.journal[-1].apply_tick if self.held.journal else 0
            self._replay_until = max(self.held.tick, self.held.horizon, last or 0)

    @property
    def replaying(self) -> bool:
        return not self.host.live

    def _live(self, now: float) -> None:
        """History has been played: from here on effects count."""
        self.host.live = True
        self._discard_effects()
        self.screen.want()
        self._checkpoint_due = now + self.options.checkpoint_seconds
        if self.held.stored is None or not self.held.stored.data:
            self._checkpoint()
        self._attend(now)

    def drop(self) -> None:
        """Forget everything without a word: another holds the run, or it will be loaded again."""
        self.over = True
        self._close_loop()

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
        except Exception as exc:
            self._fail(exc)
        self.over = True
        self._close_loop()
        return True

    def abandon(self) -> None:
        """Let the run go although its loop is still away; the stored state is all that remains."""
        logger.warning(
            "loop did not come back run=%s epoch=%s; let go without its state", self.id, self.epoch
        )
        self.record.release()
        self.over = True
        self._close_loop()

    def _close_loop(self) -> None:
        if isinstance(self.program, LoopProgram):
            self.program.close()

    # -- what comes in ------------------------------------------------------------------------

    def offer(self, entries: Iterable[Entry]) -> None:
        """Take waiting commands, each once, and apply at once what may be."""
        for entry in entries:
            if entry.id not in self._known:
                self._known[entry.id] = None
                self._waiting.append(entry)
        while len(self._known) > KNOWN + len(self._waiting):
            self._known.pop(next(iter(self._known)))
        if not self._waiting or self.over or self.replaying:
            return
        if self.away:
            self._hurry()
        else:
            self._guarded(self._attend)

    def _hurry(self) -> None:
        """A stop has come while the loop is away: say so, and give it the grace."""
        if self.deadline is None and any(self._ends(entry) for entry in self._waiting):
            self.deadline = self.clock.now() + self.options.grace
            self.status = Status.STOPPING
            self._say("waits for the loop to end its tick")

    @staticmethod
    def _ends(entry: Entry) -> bool:
        return entry.kind is Kind.CONTROL and entry.name in (Verb.STOP, Verb.RESTART)

    def watch(self, roles: Iterable[str], keyframe: bool) -> None:
        """Somebody watches in these roles; a keyframe is wanted at once where one is missing."""
        self.screen.watch(roles, self.clock.now() + self.options.interest_ttl)
        if keyframe:
            self.screen.want()
            if not (self.over or self.away or self.replaying):
                self._guarded(self._report)

    # -- time ---------------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """When `turn` wants to be called, None for not before something comes in."""
        if self.over:
            return None
        if self.away:
            return self.deadline
        if self.replaying or self.steps_asked:
            return self.clock.now()
        return self.pace.due if self.status is Status.RUNNING else None

    def turn(self) -> None:
        """Make the step that is due."""
        if self.over:
            return
        if self.away:
            self._overdue()
        elif self.replaying:
            self._guarded(self._play)
        elif self.steps_asked or self.status is Status.RUNNING:
            self.steps_asked = max(0, self.steps_asked - 1)
            self._guarded(self._step)

    def _overdue(self) -> None:
        if self.deadline is not None and self.clock.now() >= self.deadline:
            logger.warning("loop ignored its stop run=%s epoch=%s", self.id, self.epoch)
            self.deadline = None
            self.away = False
            self._apply_ending("its loop did not come back in time; the state is the last one stored")

    def _guarded(self, function: Callable[[float], None]) -> None:
        """The one place where an author's exception ends his run and nobody else's."""
        try:
            function(self.clock.now())
        except Exception as exc:
            self._fail(exc)

    def _step(self, now: float) -> None:
        if isinstance(self.program, LoopProgram):
            self.away = True
            self.program.advance(self._take_messages())
            return
        self.program.step()
        self.host.tick += 1
        self.pace.stepped(self.clock.now(), self.speed)
        self._attend(now)

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
        self.away, self.deadline = False, None
        now = self.clock.now()
        self._guarded(lambda now: self._collect_settled())
        self.host.tick += 1
        self.pace.slept(now, seconds, self.speed)
        self._guarded(self._attend)

    def _loop_over(self, finished: Finished) -> None:
        """The loop's function returned, raised, or was ended."""
        if self.over:
            return
        self.away = False
        self._guarded(lambda now: self._collect_settled())
        if finished.error:
            self._end(Status.FAILED, "its code raised", error=finished.error)
        elif finished.exited:
            self._end(Status.FAILED, "its loop was cancelled from inside", error="the loop was cancelled")
        else:
            self.host.finished, self.host.result = True, finished.result
            self._guarded(self._attend)

    def _play(self, now: float) -> None:
        """Play history again for a while: journaled commands where they acted, steps between."""
        while True:
            while self._replay and (self._replay[0].apply_tick or 0) <= self.host.tick:
                self._apply_again(self._replay.popleft())
            if self.host.finished or (not self._replay and self.host.tick >= self._replay_until):
                return self._live(self.clock.now())
            self.program.step()  # type: ignore[union-attr]
            self.host.tick += 1
            self._discard_effects()
            if self.clock.now() - now >= REPLAY_SLICE:
                return None

    def _apply_again(self, entry: Entry) -> None:
        if entry.kind is Kind.COMMAND:
            self._run_command(entry)

    # -- the boundary -------------------------------------------------------------------------

    def _attend(self, now: float) -> None:
        """Everything that happens between two steps."""
        self._collect_effects()
        while not self.over and not self.host.finished and (entry := self._next_entry()):
            self._apply(entry)
            self._collect_effects()
        if self.host.finished and not self.over:
            self._end(Status.FINISHED, "", result=self.host.result)
        if self.over:
            return
        if now >= self._checkpoint_due:
            self._checkpoint()
        if self.status is Status.PAUSED and not self.steps_asked:
            self.screen.want()
        self._report(now)

    def _next_entry(self) -> Entry | None:
        """The oldest entry that may apply here; an own loop's messages wait for the loop."""
        for index, entry in enumerate(self._waiting):
            mine = entry.kind is Kind.CONTROL or isinstance(self.program, Stepped)
            if mine and self._is_due(entry):
                del self._waiting[index]
                return entry
        return None

    def _is_due(self, entry: Entry) -> bool:
        return entry.due_tick is None or entry.due_tick <= self.host.tick

    def _apply(self, entry: Entry) -> None:
        if entry.kind is Kind.CONTROL:
            self._control(entry)
            return
        outcome, answer = self._run_command(entry)
        self._record(entry, outcome, **answer)
        if self.status is not Status.RUNNING:
            self.screen.want()

    def _run_command(self, entry: Entry) -> tuple[Outcome, dict[str, Any]]:
        try:
            return Outcome.APPLIED, {"result": self.program.apply(entry)}  # type: ignore[union-attr]
        except LivesimError as exc:
            return Outcome.REFUSED, {"code": str(exc.code), "message": exc.message}
        except Exception as exc:
            logger.exception("command failed run=%s epoch=%s command=%s", self.id, self.epoch, entry.name)
            return Outcome.REFUSED, {"code": str(Code.ERROR), "message": f"{type(exc).__name__}: {exc}"}

    def _record(self, entry: Entry, outcome: Outcome, **answer: Any) -> None:
        self.record.verdict(entry, self.host.tick, outcome, **answer)

    def _collect_settled(self) -> None:
        assert isinstance(self.program, LoopProgram)
        for settled in self.program.take_settled():
            answer = {"code": settled.code, "message": settled.message, "result": settled.result}
            self._record(settled.entry, settled.outcome, **answer)
        if self.program.take_report():
            self.screen.by_itself = True
            self.screen.want()

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
        if entry.name in (Verb.STOP, Verb.RESTART):
            self._stop_or_restart(entry)
            return
        if entry.name == INSPECT:
            self._checkpoint(final=True)
            self._record(entry, Outcome.APPLIED, result=plain.encode(self.facts()))
            return
        if entry.name == Verb.PAUSE and self.status is not Status.PAUSED:
            self.status = Status.PAUSED
            self._checkpoint(final=True)
            self._say()
        elif entry.name == Verb.RESUME and self.status is not Status.RUNNING:
            self.status = Status.RUNNING
            self.pace.start(self.clock.now())
            self._say()
        elif entry.name == Verb.STEP:
            self._ask_steps(int(entry.args.get("n", 1)))
        elif entry.name == Verb.SPEED:
            self.speed = float(entry.args["x"])
            self.pace.start(self.clock.now())
            self._say()
        self._record(entry, Outcome.APPLIED)
        self.screen.want()

    def _ask_steps(self, count: int) -> None:
        """Steps are made from a pause: a running run is paused first."""
        if self.status is not Status.PAUSED:
            self.status = Status.PAUSED
            self._say()
        self.steps_asked += count

    def _stop_or_restart(self, entry: Entry) -> None:
        self._record(entry, Outcome.APPLIED)
        successor = UUID(entry.args["next"]) if entry.name == Verb.RESTART else None
        self._end(Status.STOPPED, "restarted" if successor else "stopped", successor=successor)

    def _apply_ending(self, reason: str) -> None:
        """Stop without a boundary: nothing of the loop's present state can be stored."""
        entry = next(entry for entry in self._waiting if self._ends(entry))
        self._record(entry, Outcome.APPLIED)
        successor = UUID(entry.args["next"]) if entry.name == Verb.RESTART else None
        self._end(Status.STOPPED, reason, successor=successor, store=False)

    def _say(self, reason: str = "") -> None:
        """Journal the status and tell viewers once that has committed."""
        self.record.status(self.status, self.host.tick, self.speed, reason)

    # -- the end ------------------------------------------------------------------------------

    def _fail(self, exc: Exception) -> None:
        """The run's own code, or its state, is at fault."""
        if self.over:
            return
        if isinstance(exc, LivesimError):
            error, reason = exc.message, exc.message
        else:
            error = "".join(traceback.format_exception(exc))
            reason = f"{type(exc).__name__}: {exc}"
            logger.error("run failed run=%s epoch=%s", self.id, self.epoch, exc_info=exc)
        self._end(Status.FAILED, reason[:500], error=error)

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
            except Exception as exc:
                return self._fail(exc)
            for frame in frames:
                self.record.out(frame)
        self.status = status
        self._say(reason)
        self.record.end(status, result=encoded, error=error, successor=successor)
        self.over = True
        self._close_loop()
        return None

    # -- what is stored and shown -------------------------------------------------------------

    def _checkpoint(self, final: bool = False) -> list[FrameOut]:
        """Record the present state; with `final`, what each role sees of it too, which is given."""
        self._checkpoint_due = self.clock.now() + self.options.checkpoint_seconds
        frames = self.screen.all_frames(self.host.tick) if final else []
        if final or self.keeper.stores_state:
            seen = views(frames) if final else None
            self.record.checkpoint(self.keeper.store(self.program.dump(), self.record.next_seq - 1, seen))
        return frames

    def _report(self, now: float) -> None:
        for output in self.screen.frames(self.host.tick, now):
            self.record.out(output)

    def take_write(self) -> Write | None:
        """What must be stored now, None for nothing."""
        return self.record.take_write(self.host.tick, self.speed)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def shown_tick(self) -> int:
        """How far the run has come: while history is played again, how far it had."""
        return max(self.host.tick, self._replay_until)

    def facts(self) -> dict[str, Any]:
        """What `inspect` tells of a run in memory."""
        metrics = {} if self.away else self.program.metrics()
        return {"tick": self.host.tick, "late": self.pace.late, "metrics": metrics}
