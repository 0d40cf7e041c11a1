"""A coroutine that is begun without a task: most sends of a server are over before they wait for anything.

A task for each frame and viewer costs more than the sending.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator
from functools import partial
from typing import Any

BLOCKING = "_asyncio_future_blocking"  # by which a future that is awaited tells the task so


def started(work: Awaitable[None]) -> Coroutine[Any, Any, None] | None:
    """Begin it here and now; None where it is over, else the rest, for a task. Raises what it raises.

    Called in the event loop's thread, outside of all tasks. What is begun so must not ask, before it first
    waits, in which task it is, as `asyncio.timeout` does.
    """
    steps = work.__await__()
    try:
        waits_for = next(steps)
    except StopIteration:
        return None
    if getattr(waits_for, BLOCKING, False):  # a future, for whose sake the task will wait; others may, too
        setattr(waits_for, BLOCKING, False)
    return _finish(_Rest(steps, waits_for))


async def _finish(rest: _Rest) -> None:
    await rest


class _Rest:
    """An awaitable that has been begun, with what it waits for."""

    def __init__(self, steps: Generator[Any, Any, None], waits_for: Any) -> None:
        self._steps = steps
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        steps, waits_for = self._steps, self._waits_for
        if getattr(waits_for, BLOCKING, None) is False:
            setattr(waits_for, BLOCKING, True)
        while True:
            try:
                got = yield waits_for
            except BaseException as exc:
                resume = partial(steps.throw, exc)
            else:
                resume = partial(steps.send, got)
            try:
                waits_for = resume()
            except StopIteration:
                return
