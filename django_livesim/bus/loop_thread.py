"""A daemon thread that runs an event loop, for work that must not hold anyone up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own; made to be stopped, and never waited for at exit."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self.loop.is_closed()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run `coroutine` there. Raises RuntimeError where the loop has been closed."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:
            coroutine.close()
            raise

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Call a plain function there. Raises RuntimeError where the loop has been closed."""
        self.loop.call_soon_threadsafe(function, *args)

    def stop(self, timeout: float) -> None:
        """Cancel what runs there and end the thread, waiting at most `timeout` seconds."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            if tasks := asyncio.all_tasks(self.loop):
                for task in tasks:
                    task.cancel()
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=1))
        finally:
            # Channel layers close their connections to Redis as the loop closes.
            with contextlib.suppress(Exception):
                self.loop.close()
