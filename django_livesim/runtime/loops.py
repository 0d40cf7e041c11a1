"""The two kinds of own loops that a worker calls, beside the step thread.

A blocking loop has a thread to itself, `async def` loops share one event
loop. How they take turns with the step thread is in `program`.

Where a parent watches the process, the thread that calls an author's code
notes whose it is: a blocking loop between two sleeps, an async one in each
advance of its coroutine. The notes are of one slot, for one thread: a
process in which blocking loops are noted has no other loops.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable
from typing import Any

from django_livesim.runtime.noted import Noted
from django_livesim.runtime.ports import Unnoticed, Watch
from django_livesim.runtime.program import Finished, LoopProgram, failure
from django_livesim.simulation import Loop

logger = logging.getLogger(__name__)


class LoopExit(BaseException):
    """Raised out of `sim.sleep()` where a blocking loop is to end; let it pass."""


class BlockingLoop(LoopProgram):
    """A `def` loop, in a daemon thread of its own."""

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch = watch
        self._turn = threading.Semaphore(0)
        self._told = False
        self._thread: threading.Thread | None = None

    def sleep(self, seconds: float) -> None:
        if not self._closing:
            seconds = self._end_tick(seconds)
            self._watch.leave()
            self._post(self._arrived, seconds)
            self._turn.acquire()
        if self._closing:
            self._exit()
        self._note()

    def passing(self) -> None:
        if self._closing:
            self._exit()

    def _note(self) -> None:
        self._watch.enter(self.host.run.id, self.epoch, self.limit)

    def _exit(self) -> None:
        """End the loop; one that catches even that is put to sleep for good."""
        self._watch.leave()  # what it does from here on is no longer the run's
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
        self._note()
        finished = self._call()
        self._watch.leave()
        self._over(finished)

    def _call(self) -> Finished:
        try:
            return Finished(result=self.definition.function(self.sim, **self._params))
        except LoopExit:
            return Finished(exited=True)
        except BaseException as exc:  # whatever ends the thread ends the run
            return failure(exc)


class LoopThread:
    """The event loop that all `async def` loops of a process share, in a thread made at first use.

    It makes the program of each own loop, the blocking ones too, which need no event loop. `watch` is told
    whose code runs in the threads of loops.
    """

    def __init__(self, watch: Watch | None = None) -> None:
        self.watch: Watch = watch or Unnoticed()
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
        return BlockingLoop(definition, *args, watch=self.watch, **kwargs)


class AsyncLoop(LoopProgram):
    """An `async def` loop: a task on the shared event loop."""

    def __init__(self, *args: Any, thread: LoopThread, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loop = thread.loop
        self._tasks = thread.tasks
        self._watch = thread.watch
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

    def passing(self) -> Awaitable[None]:
        return asyncio.sleep(0)

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
            coroutine = self.definition.function(self.sim, **self._params)
            return await Noted(coroutine, self._watch, self.host.run.id, self.epoch, self.limit)
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
