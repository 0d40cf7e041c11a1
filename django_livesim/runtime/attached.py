"""An own loop whose code is the caller's: a block of a script that is attached to its run.

The turns are those of `loops`: in the block only it touches the state, from
its sleep to its next turn only the step thread does. What the caller's
thread is doing is known by `asleep`: the turn is the step thread's, and the
state whole, from when a sleep tells of itself until the turn comes back.
A Ctrl-C that breaks a blocking sleep off leaves it so; the next sleep goes
on waiting for the same turn. An awaited sleep that is cancelled ends with
its turn, or with the run let go: whoever catches that has the state alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from django_livesim.runtime.loops import LoopThread
from django_livesim.runtime.program import LoopProgram, LoopSim, failure
from django_livesim.simulation import Loop

HOLD = 1.0  # seconds for which a cancelled sleep waits for its turn, before the run is let go

Opened = Callable[["AttachedLoop | None"], None]
"""Gets the program once its run goes; None where that will not be."""

Why = Callable[[], BaseException]
"""Says, and may take its time, why there is no further turn: raised out of the sleep."""


class AttachedLoop(LoopProgram):
    """A block in whichever thread the caller has."""

    sim: LoopSim

    def __init__(self, *args: Any, opened: Opened, why: Why, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asleep = False
        self._opened = opened
        self._why = why
        self._begun = False
        self._turn = threading.Lock()  # free while a turn waits to be taken; whole, whenever Ctrl-C comes
        self._turn.acquire()

    def sleep(self, seconds: float) -> Any:
        if not (self._closing or self.asleep):
            self._turn.acquire(blocking=False)  # of a sleep that was broken off as its turn came
            if not self._closing:  # else that may have been the turn that ends the block
                self._tell(seconds)
        if not self._closing:
            self._turn.acquire()
        if self._closing:
            raise self._why()

    def _tell(self, seconds: float) -> None:
        """End the tick, and with it the block's turn."""
        seconds = self._end_tick(seconds)
        self.asleep = True
        self._post(self._arrived, seconds)

    def put_back(self, exc: BaseException) -> bool:
        """Whether the state is as the last sleep left it, now that `exc` has ended the block."""
        return self.asleep

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
    """A block in a coroutine: its sleep is awaited, and holds up nobody.

    A cancellation of the sleep is held until the turn comes, as that of every own loop is: `asyncio.timeout`
    around it ends with the block alone at the state. Where the turn is far, or the run is paused, the run is
    stored and let go after `HOLD` seconds, lest a cancelled task waits for that: the next sleep says so.
    """

    def __init__(self, *args: Any, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loop = loop
        self._came = asyncio.Event()
        self._waits = False
        self._cut: BaseException | None = None  # what broke the last sleep off, with the turn come

    def sleep(self, seconds: float) -> Awaitable[None]:
        return self._sleep(seconds)

    async def _sleep(self, seconds: float) -> None:
        if self._waits:
            raise RuntimeError("sim.sleep() is awaited twice at once; a block has one sleep for each tick")
        self._cut = None
        if not self._closing:
            self._tell(seconds)
            self._waits = True
            try:
                self._cut = await self._turn_comes()
            finally:
                self._waits = False
            if self._cut is not None:
                raise self._cut
        if self._closing:
            raise await asyncio.to_thread(self._why)

    async def _turn_comes(self) -> BaseException | None:
        """Wait for the turn, or the end; the cancellation that came meanwhile.

        Each await here may be cancelled, as often as it may be: the turn is waited for in a task of its own.
        """
        came = asyncio.ensure_future(self._came.wait())
        cancelled: BaseException | None = None
        patience: float | None = None
        while not came.done():
            try:
                await asyncio.wait([came], timeout=patience)
            except asyncio.CancelledError as exc:
                cancelled, patience = cancelled or exc, HOLD
                continue
            if not came.done():
                self.abandoned, patience = True, None
                self._loop.run_in_executor(None, self._why)
        self._came.clear()
        self.asleep = False
        return cancelled

    def put_back(self, exc: BaseException) -> bool:
        if exc is not self._cut or self._closing:
            return False
        self._tell(0)
        return True

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
