"""Runs an author's own loop, beside the step thread.

The loop and the step thread take turns: while the loop is *away* (in the
author's code) only it touches the state; from the moment it sleeps until it
is advanced, only the step thread does. A blocking loop has a thread to
itself, `async def` loops share one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django_livesim.protocol import plain
from django_livesim.protocol.errors import Code, LivesimError, raised
from django_livesim.protocol.names import Outcome
from django_livesim.protocol.records import Entry
from django_livesim.runtime.ports import Catalogue
from django_livesim.runtime.taking_up import upgraded
from django_livesim.simulation import Host, Hosted, Loop

logger = logging.getLogger(__name__)


class LoopExit(BaseException):
    """Raised out of `sim.sleep()` where a blocking loop is to end; let it pass."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A message that the loop has moved past."""

    entry: Entry
    outcome: Outcome
    code: str = ""
    message: str = ""
    result: bytes = b"null"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The loop's function is over: returned, raised (`error` is the traceback) or was ended."""

    result: Any = None
    error: str = ""
    reason: str = ""
    exited: bool = False


class Message:
    """What somebody asked of an own loop.

    `name`, `args` (a dict), `user` (primary key of the sender as text, None
    where no user sent it), `id` (the sender's own id for it). It counts as
    applied when the loop moves on past it.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.name = entry.name
        self.args = entry.args
        self.id = entry.client_id
        self.user = entry.sender[2:] if entry.sender.startswith("u:") else None
        self._result = b"null"
        self._refused: tuple[str, str] | None = None

    def reply(self, data: Any) -> None:
        """Answer the sender alone with plain JSON `data`; the last reply counts."""
        self._result = plain.encode_answer(data)

    def refuse(self, why: str, code: Code = Code.REFUSED) -> None:
        """Decline the message; the sender is told why."""
        self._refused = (str(code), why)

    def settled(self) -> Settled:
        if self._refused is None:
            return Settled(entry=self.entry, outcome=Outcome.APPLIED, result=self._result)
        code, why = self._refused
        return Settled(entry=self.entry, outcome=Outcome.REFUSED, code=code, message=why)


class LoopSim(Hosted):
    """`sim`: what an own loop holds of its run.

    `state` is the run's dict. `resumed` is True where the function is called
    again from the top with the state of the last checkpoint.
    """

    def __init__(self, program: LoopProgram) -> None:
        self._program = program
        self._host = program.host
        self.state: dict[str, Any] = {}
        self.resumed = False

    def messages(self) -> Iterator[Message]:
        """What has come since the last look, in order. New ones become available in `sleep` only."""
        return self._program.messages()

    def report(self) -> None:
        """Send the state, as it is at the next `sleep`, to everyone watching."""
        self._program.reports = True

    def sleep(self, seconds: float) -> Any:
        """End this tick and go on `seconds` of simulated time later. Await it in an `async def` loop."""
        return self._program.sleep(seconds)


class LoopProgram:
    """The turn-taking that blocking and async loops share."""

    def __init__(
        self,
        definition: Loop,
        host: Host,
        catalogue: Catalogue,
        post: Callable[..., None],
        arrived: Callable[[float], None],
        finished: Callable[[Finished], None],
        *,
        epoch: int,
    ) -> None:
        self.definition = definition
        self.host = host
        self.epoch = epoch
        self.catalogue = catalogue
        self._post = post
        self._arrived = arrived
        self._finished = finished
        self.sim = LoopSim(self)
        self.reports = False
        self.settled: list[Settled] = []
        self._closing = False
        self._mailbox: deque[Message] = deque()
        self._current: Message | None = None
        self._params: dict[str, Any] = {}

    def begin(self, state: dict[str, Any] | None, version: int) -> None:
        """Take up a state that `version` has stored. The function itself starts at the first `advance`."""
        self._params = self.catalogue.bind_params(self.definition, self.host.run.params)
        if state is not None:
            definition = self.definition
            self.sim.state = upgraded(definition, state, version, definition.upgrade_function)
            self.sim.resumed = True

    def advance(self, entries: Iterable[Entry]) -> None:
        """Hand over messages and the state, and let the loop go on. Step thread only."""
        self._mailbox.extend(Message(entry) for entry in entries)
        self._go()

    def take_settled(self) -> list[Settled]:
        """The messages moved past since the last call. Step thread only, while the loop sleeps."""
        settled, self.settled = self.settled, []
        return settled

    def take_report(self) -> bool:
        wanted, self.reports = self.reports, False
        return wanted

    def dump(self) -> dict[str, Any]:
        return self.sim.state

    def view(self, role: str) -> dict[str, Any]:
        function = self.definition.view_function
        return self.sim.state if function is None else function(self.sim, role)

    def metrics(self) -> dict[str, float]:
        function = self.definition.metrics_function
        return {} if function is None else function(self.sim)

    def messages(self) -> Iterator[Message]:
        self._settle()
        while self._mailbox:
            message = self._current = self._mailbox.popleft()
            if self._handle(message):
                yield message
            self._settle()

    def close(self) -> None:
        """Ask the loop to end: its sleep raises. `finished` is posted when it has."""
        if not self._closing:
            self._closing = True
            self._close()

    def _close(self) -> None:
        raise NotImplementedError

    def sleep(self, seconds: float) -> Any:
        raise NotImplementedError

    def _go(self) -> None:
        raise NotImplementedError

    def _handle(self, message: Message) -> bool:
        """Run the declared function, if there is one. False where it declined."""
        spec = self.definition.commands.get(message.name)
        if spec is None:
            return True
        try:
            result = spec.function(self.sim, **self.catalogue.bind_args(spec, message.args))
            if result is not None:
                message.reply(result)
        except LivesimError as exc:
            message.refuse(exc.message, exc.code)
        except Exception as exc:
            run, epoch = self.host.run.id, self.epoch
            logger.exception("command failed run=%s epoch=%s command=%s", run, epoch, message.name)
            message.refuse(raised(exc), Code.ERROR)
        return message._refused is None

    def _settle(self) -> None:
        if self._current is not None:
            self.settled.append(self._current.settled())
            self._current = None

    def _end_tick(self, seconds: float) -> float:
        """Close the tick: messages with a declared function do not wait for the loop to ask."""
        if not seconds >= 0:
            raise ValueError(f"sim.sleep() takes seconds of 0 or more; got {seconds!r}")
        self._settle()
        if self.definition.commands:
            for _ in self.messages():
                pass
        return float(seconds)

    def _over(self, finished: Finished) -> None:
        if finished.error and self._current is not None:
            self._current.refuse(f"While it was handled, {finished.reason}.", Code.ERROR)
        self._settle()
        self._post(self._finished, finished)


def failure(exc: BaseException) -> Finished:
    """The end of a loop whose code raised."""
    error = "".join(traceback.format_exception(exc))
    return Finished(error=error, reason=f"its code raised {type(exc).__name__}")


class BlockingLoop(LoopProgram):
    """A `def` loop, in a daemon thread of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn = threading.Semaphore(0)
        self._told = False
        self._thread: threading.Thread | None = None

    def sleep(self, seconds: float) -> None:
        if not self._closing:
            seconds = self._end_tick(seconds)
            self._post(self._arrived, seconds)
            self._turn.acquire()
        if self._closing:
            self._exit()

    def _exit(self) -> None:
        """End the loop; one that catches even that is put to sleep for good."""
        if self._told:
            run, epoch = self.host.run.id, self.epoch
            logger.error("loop catches LoopExit run=%s epoch=%s; its thread is left asleep", run, epoch)
            threading.Event().wait()
        self._told = True
        raise LoopExit

    def _close(self) -> None:
        if self._thread is None:
            self._post(self._finished, Finished(exited=True))
        self._turn.release()

    def _go(self) -> None:
        if self._thread is not None:
            self._turn.release()
            return
        self._thread = threading.Thread(
            target=self._run, name=f"livesim-loop-{self.host.run.id.hex[:8]}", daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        try:
            result = self.definition.function(self.sim, **self._params)
        except LoopExit:
            self._over(Finished(exited=True))
        except BaseException as exc:  # whatever ends the thread ends the run
            self._over(failure(exc))
        else:
            self._over(Finished(result=result))


class LoopThread:
    """The event loop that all `async def` loops of a process share, in a thread made at first use.

    It makes the program of each own loop, the blocking ones too, which need no event loop.
    """

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()  # asyncio itself keeps weak references only
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="livesim-loops", daemon=True).start()
            return self._loop

    def program(self, definition: Loop, *args: Any, **kwargs: Any) -> LoopProgram:
        """Whatever plays the loop `definition`; the rest is for `LoopProgram`."""
        if definition.is_async:
            return AsyncLoop(definition, *args, thread=self, **kwargs)
        return BlockingLoop(definition, *args, **kwargs)


class AsyncLoop(LoopProgram):
    """An `async def` loop: a task on the shared event loop."""

    def __init__(self, *args: Any, thread: LoopThread, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loop = thread.loop
        self._tasks = thread.tasks
        self._task: asyncio.Task[Any] | None = None
        self._turn: asyncio.Future[None] | None = None

    def sleep(self, seconds: float) -> Awaitable[None]:
        return self._sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        """The state is the step thread's until the turn comes, so a cancellation waits for it too."""
        if self._turn is not None and not self._turn.done():
            raise RuntimeError("sim.sleep() is awaited twice at once; a loop has one sleep for each tick")
        seconds = self._end_tick(seconds)
        turn = self._turn = self._loop.create_future()
        self._post(self._arrived, seconds)
        cancelled: asyncio.CancelledError | None = None
        while not turn.done():
            try:
                await asyncio.shield(turn)
            except asyncio.CancelledError as exc:
                if self._closing:
                    raise
                cancelled = exc
        if cancelled is not None:
            raise cancelled

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is None:
            self._post(self._finished, Finished(exited=True))
        else:
            self._task.cancel()

    def _go(self) -> None:
        self._loop.call_soon_threadsafe(self._resume)

    def _resume(self) -> None:
        if self._task is None:
            name = f"livesim-loop-{self.host.run.id.hex[:8]}"
            self._task = self._loop.create_task(self._call(), name=name)
            self._tasks.add(self._task)
            self._task.add_done_callback(self._done)
        elif self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    async def _call(self) -> Any:
        """The author's function; what would end the event loop of all ends this loop alone."""
        try:
            return await self.definition.function(self.sim, **self._params)
        except (SystemExit, KeyboardInterrupt) as exc:
            raise RuntimeError(f"the loop raised {type(exc).__name__}") from exc

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._over(Finished(exited=True))
        elif (exc := task.exception()) is not None:
            self._over(failure(exc))
        else:
            self._over(Finished(result=task.result()))
