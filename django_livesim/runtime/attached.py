"""An own loop whose code is the caller's: a block of a script that is attached to its run.

The turns are those of `loops`: in the block only it touches the state, from
its sleep to its next turn only the step thread does. What the caller's
thread is doing is known by `asleep`: the turn is the step thread's, and the
state whole, from when a sleep tells of itself until the turn comes back.
An interrupt that breaks a sleep off (Ctrl-C, a cancelled task) leaves it
so; the next sleep goes on waiting for the same turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from django_livesim.runtime.loops import LoopThread
from django_livesim.runtime.program import LoopProgram, failure
from django_livesim.simulation import Loop

Opened = Callable[["AttachedLoop | None"], None]
"""Gets the program once its run goes; None where that will not be."""

Why = Callable[[], BaseException]
"""Says, and may take its time, why there is no further turn: raised out of the sleep."""


class AttachedLoop(LoopProgram):
    """A block in whichever thread the caller has."""

    def __init__(self, *args: Any, opened: Opened, why: Why, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asleep = False
        self._opened = opened
        self._why = why
        self._begun = False
        self._turn = threading.Lock()  # free while a turn waits to be taken; whole, whenever Ctrl-C comes
        self._turn.acquire()

    def sleep(self, seconds: float) -> Any:
        if not self._closing:
            if not self.asleep:
                self._turn.acquire(blocking=False)  # of a sleep that was broken off as its turn came
                self._tell(seconds)
            self._turn.acquire()
        if self._closing:
            raise self._why()

    def _tell(self, seconds: float) -> None:
        """End the tick, and with it the block's turn."""
        seconds = self._end_tick(seconds)
        self.asleep = True
        self._post(self._arrived, seconds)

    def fail(self, exc: Exception) -> None:
        """The block raised: the run has failed. Nothing where it is over already."""
        if not self._closing:
            self._over(failure(exc))

    def _go(self) -> None:
        if self._begun:
            self._give_turn()
        else:
            self._begun = True
            self._opened(self)

    def _close(self) -> None:
        if self._begun:
            self._give_turn()
        else:
            self._opened(None)

    def _give_turn(self) -> None:
        self.asleep = False
        with contextlib.suppress(RuntimeError):  # a turn waits there already: the block is to end
            self._turn.release()


class AttachedAsyncLoop(AttachedLoop):
    """A block in a coroutine: its sleep is awaited, and holds up nobody."""

    def __init__(self, *args: Any, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loop = loop
        self._came = asyncio.Event()

    def sleep(self, seconds: float) -> Awaitable[None]:
        return self._sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        if not self._closing:
            if not self.asleep:
                self._tell(seconds)
            await self._came.wait()
            self._came.clear()
            self.asleep = False
        if self._closing:
            raise await asyncio.to_thread(self._why)

    def _give_turn(self) -> None:
        with contextlib.suppress(RuntimeError):  # the caller's event loop is closed: nobody waits there
            self._loop.call_soon_threadsafe(self._came.set)


class AttachedLoops(LoopThread):
    """Makes the one program of an attached process; `loop` is the caller's event loop, where it has one."""

    def __init__(self, *, opened: Opened, why: Why, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__()
        self._kind: Callable[..., AttachedLoop] = AttachedLoop
        self._given: dict[str, Any] = {"opened": opened, "why": why}
        if loop is not None:
            self._kind = AttachedAsyncLoop
            self._given["loop"] = loop

    def program(self, definition: Loop, *args: Any, **kwargs: Any) -> LoopProgram:
        return self._kind(definition, *args, **self._given, **kwargs)
