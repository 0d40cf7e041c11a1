"""A worker's step thread under the hand of a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from django_livesim.bus.loop_thread import LoopThread
from django_livesim.protocol.records import Held
from django_livesim.runtime import loops
from django_livesim.runtime.ports import Definition
from django_livesim.runtime.runner import Runner
from django_livesim.runtime.supervisor import Supervisor


class Loops(loops.LoopThread):
    """The event loop of all `async def` loops, in a thread that can be ended."""

    def __init__(self) -> None:
        super().__init__()
        self._thread: LoopThread | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        if self._thread is None:
            self._thread = LoopThread("livesim-loops")
        return self._thread.loop

    def stop(self, patience: float) -> None:
        """End it when its loops have ended, or after `patience` seconds."""
        until = time.monotonic() + patience
        while self.tasks and time.monotonic() < until:
            time.sleep(0.001)
        if self._thread is not None:
            self._thread.stop(patience)


class HandSupervisor(Supervisor):
    """The supervisor, stepped by whoever calls `settle`, and closed at the end.

    While `stepping` is off, everything happens but steps that are due.
    `taken_up` hears of each runner before it begins.
    """

    def __init__(self, *, taken_up: Callable[[Runner], None] = lambda runner: None, **ports: Any) -> None:
        super().__init__(**ports)
        self.stepping = True
        self._taken_up = taken_up
        self._programs: list[Any] = []
        self.loops = self._loops = Loops()

    def _runner(self, held: Held, definition: Definition) -> Runner:
        runner = super()._runner(held, definition)
        self._programs.append(runner.program)
        self._taken_up(runner)
        return runner

    def _step_due(self, now: float) -> None:
        if self.stepping:
            super()._step_due(now)

    @property
    def away(self) -> bool:
        """Whether a loop is in its author's code."""
        return any(runner.away for runner in self.runners.values())

    def settle(self, patience: float = 5.0) -> bool:
        """Do all that is due at this moment; loops that are away are waited for.

        False where that has no end within `patience` seconds of real time.
        """
        until = time.monotonic() + patience
        while time.monotonic() < until:
            wait = self.turn()
            if self.away:
                self._wait(0.05)
            elif self._inbox.empty() and not (self.stepping and wait == 0):
                return True
        return False

    def close(self, patience: float = 5.0) -> None:
        """Forget all runs without a word, and end their loops and threads."""
        for runner in list(self.runners.values()):
            runner.drop()
        self.runners.clear()
        self.loops.stop(patience)
        for program in self._programs:
            if (thread := getattr(program, "_thread", None)) is not None:
                thread.join(patience)
