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

import orjson

from django_livesim.protocol import plain
from django_livesim.protocol.errors import BadState, Code, LivesimError
from django_livesim.protocol.names import ENDED, INSPECT, Kind, Outcome, Role, Status, Verb
from django_livesim.protocol.records import Entry, Held, Stored, Verdict, Write
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.draft import Draft
from django_livesim.runtime.gate import Gate
from django_livesim.runtime.loops import AsyncLoop, BlockingLoop, Finished, LoopProgram, LoopThread
from django_livesim.runtime.pace import Pace
from django_livesim.runtime.ports import (
    Catalogue,
    Definition,
    EndOut,
    EventOut,
    FrameOut,
    Options,
    Output,
    SendOut,
    StatusOut,
    VerdictOut,
)
from django_livesim.runtime.stepped import Stepped
from django_livesim.simulation import Host, Send

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
        self.next_seq = held.next_seq
        self.draft = Draft()
        self.gate = Gate()
        self.pace = Pace(definition.tick_rate)
        self.away = False
        self.over = False
        self.steps_asked = 0
        self.deadline: float | None = None  # by when a loop asked to end must be back
        self._waiting: deque[Entry] = deque()
        self._known: dict[int, None] = {}  # in order of arrival
        self._replay: deque[Entry] = deque()
        self._replay_until = held.tick
        self._watched: dict[str, float] = {}
        self._frame_wanted = False
        self._frame_due = 0.0
        self._reports_by_itself = False
        self._bodies: dict[str, bytes] = {}
        self._checkpoint_due = 0.0
        self._state_checked = False
        self._stopping: Entry | None = None

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
        self.status_changed("" if stored is None else f"goes on from tick {stored.tick}")
        try:
            state = None
            if stored is not None and stored.data:
                document = orjson.loads(stored.data)
                state = document["state"]
                self.host.restore_random(document["random"])
                self.host.tick = stored.tick
            self.program.begin(state)
            self._begin_history()
            if not self._replay and self.host.tick >= self._replay_until:
                self._live(now)
        except Exception as exc:
            self._fail(exc)
        self.pace.start(now)

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
        self._frame_wanted = True
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
            self.draft.release = True
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
        self.draft.release = True
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
            self.status_changed("waits for the loop to end its tick")

    @staticmethod
    def _ends(entry: Entry) -> bool:
        return entry.kind is Kind.CONTROL and entry.name in (Verb.STOP, Verb.RESTART)

    def watch(self, roles: Iterable[str], keyframe: bool) -> None:
        """Somebody watches in these roles; a keyframe is wanted at once where one is missing."""
        until = self.clock.now() + self.options.interest_ttl
        for role in roles:
            self._watched[role if self.definition.views_by_role else ALL] = until
        if keyframe:
            self._frame_wanted = True
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
        outcome, code, message, result = self._run_command(entry)
        self._record(entry, outcome, code, message, result)
        if self.status is not Status.RUNNING:
            self._frame_wanted = True

    def _run_command(self, entry: Entry) -> tuple[Outcome, str, str, bytes]:
        try:
            return Outcome.APPLIED, "", "", self.program.apply(entry)  # type: ignore[union-attr]
        except LivesimError as exc:
            return Outcome.REFUSED, str(exc.code), exc.message, b"null"
        except Exception as exc:
            logger.exception("command failed run=%s epoch=%s command=%s", self.id, self.epoch, entry.name)
            return Outcome.REFUSED, str(Code.ERROR), f"{type(exc).__name__}: {exc}", b"null"

    def _record(
        self, entry: Entry, outcome: Outcome, code: str = "", message: str = "", result: bytes = b"null"
    ) -> None:
        """Journal what became of an entry, and tell its sender once that has committed."""
        if entry.apply_seq is not None:
            return  # played again to a loop; its verdict stands
        verdict = Verdict(
            entry=entry,
            apply_seq=self.next_seq,
            apply_tick=self.host.tick,
            outcome=outcome,
            code=code,
            message=message,
            result=result,
        )
        self.next_seq += 1
        self.draft.verdicts.append(verdict)
        self._out(VerdictOut(verdict=verdict))

    def _collect_settled(self) -> None:
        assert isinstance(self.program, LoopProgram)
        for settled in self.program.take_settled():
            self._record(settled.entry, settled.outcome, settled.code, settled.message, settled.result)
        if self.program.take_report():
            self._reports_by_itself = self._frame_wanted = True

    def _collect_effects(self) -> None:
        for name, data in self.host.events:
            self._out(EventOut(name=name, data=data, tick=self.host.tick))
        for send in self.host.sends:
            self._out(SendOut(send=send))
        self._discard_effects()

    def _discard_effects(self) -> None:
        self.host.events.clear()
        self.host.sends.clear()

    def _out(self, output: Output) -> None:
        self.gate.hold(self.draft.gating_number, output)

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
            self.status_changed("")
        elif entry.name == Verb.RESUME and self.status is not Status.RUNNING:
            self.status = Status.RUNNING
            self.pace.start(self.clock.now())
            self.status_changed("")
        elif entry.name == Verb.STEP:
            self._ask_steps(int(entry.args.get("n", 1)))
        elif entry.name == Verb.SPEED:
            self.speed = float(entry.args["x"])
            self.pace.start(self.clock.now())
            self.status_changed("")
        self._record(entry, Outcome.APPLIED)
        self._frame_wanted = True

    def _ask_steps(self, count: int) -> None:
        """Steps are made from a pause: a running run is paused first."""
        if self.status is not Status.PAUSED:
            self.status = Status.PAUSED
            self.status_changed("")
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

    def status_changed(self, reason: str) -> None:
        """Journal the status and tell viewers once that has committed."""
        self.draft.status, self.draft.reason = self.status, reason
        self._out(StatusOut(status=self.status, tick=self.host.tick, speed=self.speed, reason=reason))

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
        if store and status is not Status.FAILED:
            try:
                self._checkpoint(final=True)
            except Exception as exc:
                return self._fail(exc)
            for role in self._roles():
                self._out(FrameOut(role=role, tick=self.host.tick, body=self._bodies[role]))
        encoded = plain.encode_answer(result)
        self.status = status
        self.draft.result, self.draft.error, self.draft.ended = encoded, error, True
        self.draft.successor = successor
        self.status_changed(reason)
        self._out(EndOut(status=status, result=encoded, next=successor))
        self.over = True
        self._close_loop()
        return None

    # -- what is stored and shown -------------------------------------------------------------

    def _checkpoint(self, final: bool = False) -> None:
        """Put the present state into the draft; with `final`, what each role sees of it too."""
        self._checkpoint_due = self.clock.now() + self.options.checkpoint_seconds
        data = b""
        if self.definition.recovery == "checkpoint":
            data = self._encode_state()
        elif not final:
            return
        views = self._encode_views() if final else None
        self.draft.checkpoint = Stored(
            tick=self.host.tick,
            apply_seq=self.next_seq - 1,
            version=self.definition.version,
            data=data,
            hash=plain.digest(data),
            views=views,
        )

    def _encode_state(self) -> bytes:
        state = self.program.dump()
        if self.options.always_check_state or not self._state_checked:
            if difference := plain.first_difference(state):
                raise BadState(f"The state does not equal its stored form: {difference}.")
            self._state_checked = True
        try:
            data = plain.encode({"state": state, "random": self.host.random_state()})
        except ValueError as exc:
            raise BadState(f"The state does not equal its stored form: {exc}.") from exc
        if len(data) > self.options.max_state_bytes:
            raise BadState(
                f"The state takes {len(data)} bytes stored, more than MAX_STATE_BYTES"
                f" = {self.options.max_state_bytes}; make it smaller or raise the setting."
            )
        return data

    def _roles(self) -> list[str]:
        return [str(role) for role in Role] if self.definition.views_by_role else [ALL]

    def _encode_views(self) -> bytes:
        for role in self._roles():
            self._bodies[role] = self._encode_view(role)
        pairs = (orjson.dumps(role) + b":" + body for role, body in self._bodies.items())
        return b"{" + b",".join(pairs) + b"}"

    def _encode_view(self, role: str) -> bytes:
        view = self.program.view(str(Role.OWNER) if role == ALL else role)
        try:
            return orjson.dumps(view, option=orjson.OPT_SERIALIZE_NUMPY)
        except TypeError as exc:
            difference = plain.first_difference(view, "view") or str(exc)
            raise BadState(f"The view cannot be sent: {difference}.") from exc

    def _report(self, now: float) -> None:
        """Encode a frame where one is due and somebody watches."""
        if not self._frame_wanted and not self._frame_is_due(now):
            return
        self._frame_wanted = False
        self._watched = {role: until for role, until in self._watched.items() if until > now}
        for role in self._watched:
            self._out(FrameOut(role=role, tick=self.host.tick, body=self._encode_view(role)))
        if self.definition.report_to:
            self._out(SendOut(send=self._update_for(self.definition.report_to)))

    def _frame_is_due(self, now: float) -> bool:
        if self._reports_by_itself:
            return False
        every = self.definition.report_every or self.options.report_every
        if every and (self.definition.report_every or self.definition.frame_rate is None):
            return self.host.tick % every == 0
        rate = self.definition.frame_rate or self.options.frame_rate
        if rate is None:
            return True
        period = 1.0 / rate
        if now < self._frame_due - period / 4:
            return False
        self._frame_due = max(self._frame_due + period, now + period / 2)
        return True

    def _update_for(self, group: str) -> Send:
        state = orjson.loads(self._encode_view(ALL))
        message = {"type": "simulation.update", "run": str(self.id), "tick": self.host.tick, "state": state}
        return Send(to_group=True, target=group, message=message)

    def take_write(self) -> Write | None:
        """The draft as a write, None where nothing has happened that must be stored."""
        if self.draft.empty:
            return None
        draft, self.draft = self.draft, self.draft.next()
        return draft.write(self.id, self.epoch, self.host.tick, self.next_seq, self.speed)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def facts(self) -> dict[str, Any]:
        """What `inspect` tells of a run in memory."""
        metrics = {} if self.away else self.program.metrics()
        return {"tick": self.host.tick, "late": self.pace.late, "metrics": metrics}
