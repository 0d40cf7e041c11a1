"""Threads in which templates are rendered: a slow one holds up neither sockets nor other simulations."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Generic, TypeVar

from django_livesim.bus.seldom import Seldom

T = TypeVar("T")

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

SHARE = 0.25  # of a core, that one thread takes at most


class Brush(Generic[T]):
    """A daemon thread that does one piece of work after the other: one that never ends holds up no exit.

    After each it rests, for so long that it computes for no more than its share of the time.
    """

    def __init__(self, name: str) -> None:
        self._jobs: dict[asyncio.Future[T | None], Callable[[], T]] = {}  # that wait, in order
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def do(self, work: Callable[[], T]) -> asyncio.Future[T | None]:
        """What `work` gives, None where it raises. Cancelled, it is not begun, or ends by itself."""
        done: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(self._forget)
        with self._changed:
            self._jobs[done] = work
            self._changed.notify()
        return done

    def _forget(self, done: asyncio.Future[T | None]) -> None:
        with self._changed:
            self._jobs.pop(done, None)

    def _run(self) -> None:
        while True:
            computed = self._work()
            time.sleep(computed * (1 / SHARE - 1))

    def _work(self) -> float:
        """Do the next piece of work; the seconds that were computed for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs)
            done = next(iter(self._jobs))
            work = self._jobs.pop(done)
        began, result = time.thread_time(), None
        try:
            result = work()
        except BaseException:  # whatever code of the host raises, SystemExit too
            seldom.warning("%s failed", threading.current_thread().name, exc_info=True)
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            done.get_loop().call_soon_threadsafe(_tell, done, result)
        return time.thread_time() - began


def _tell(done: asyncio.Future[T | None], result: T | None) -> None:
    if not done.done():
        done.set_result(result)


@cache
def brush(simulation: str, what: str) -> Brush[object]:
    """That of a simulation's frames, or of its other messages, for the life of the process."""
    return Brush(f"livesim-html-{what}-{simulation}")
