"""Threads in which templates are rendered: a slow one holds up neither sockets nor other simulations."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
Job = tuple[Callable[[], T], asyncio.AbstractEventLoop, "asyncio.Future[T | None]"]

logger = logging.getLogger(__name__)


class Brush(Generic[T]):
    """A daemon thread that does one piece of work after the other: one that never ends holds up no exit."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Job[T]] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def do(self, work: Callable[[], T]) -> asyncio.Future[T | None]:
        """What `work` gives, None where it raises. Who stops waiting leaves it to end by itself."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T | None] = loop.create_future()
        self._jobs.put((work, loop, done))
        return done

    def _run(self) -> None:
        while True:
            work, loop, done = self._jobs.get()
            result: T | None = None
            if not done.cancelled():
                try:
                    result = work()
                except BaseException:  # whatever code of the host raises, SystemExit too
                    logger.exception("%s failed", threading.current_thread().name)
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(_tell, done, result)
            del work, loop, done, result  # nothing is kept while it waits for the next


def _tell(done: asyncio.Future[T | None], result: T | None) -> None:
    if not done.done():
        done.set_result(result)


@cache
def brush(simulation: str, what: str) -> Brush[object]:
    """That of a simulation's frames, or of its other messages, for the life of the process."""
    return Brush(f"livesim-html-{what}-{simulation}")
