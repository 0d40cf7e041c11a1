"""Commands on their way to the database: each is waited for by a coroutine, and done by threads.

A request refers to its check, and its check not to the request: a hundred
thousand cycles a minute would be left to the garbage collector.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from asgiref.sync import _restore_context  # no public name

from django_livesim.models import Command, Run

Check = Callable[["Request"], Command | tuple[Run, Mapping[str, Any]]]
"""From `run`, the row as read after the command came: what to store for which run, or the row there is."""


class Request:
    """One command and whoever waits for it.

    Made in the event loop of the one who waits; `future` belongs to that
    loop, all else to the thread that has the request. `claim` decides between
    the thread that is about to store it and the one who no longer waits: only
    one of them gets it.
    """

    __slots__ = (
        "_claimed",
        "_context",
        "check",
        "future",
        "lane",
        "loop",
        "run",
        "run_id",
        "wanted",
    )

    def __init__(self, run_id: UUID | None, lane: object, check: Check) -> None:
        """`run_id` is that of the row which `check` is to be given; those of one `lane` are kept in order."""
        self.run_id = run_id
        self.lane = lane
        self.check = check
        self._context = contextvars.copy_context()  # what is counted as one
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.run: Run | None = None
        self.wanted: Mapping[str, Any] = {}
        self._claimed = threading.Lock()

    def checked(self) -> Command | tuple[Run, Mapping[str, Any]]:
        """What its check says, in the context of the one who waits; raises what it raises."""
        return self._context.run(self._check)

    def _check(self) -> Command | tuple[Run, Mapping[str, Any]]:
        """Each `Local` of asgiref is as it would be by `sync_to_async`: language, zone, a host's tenant.

        With asgiref 3.13 the context alone does not do that in a thread that is not its own.
        """
        _restore_context(self._context)
        return self.check(self)

    def claim(self) -> bool:
        """Whether it is the caller's now: to be stored, or never to be."""
        return self._claimed.acquire(blocking=False)

    def put_back(self) -> None:
        """Give up a claim: nothing was stored, and it may be tried again."""
        self._claimed.release()


def problem(raised: BaseException) -> Exception:
    """What is told of it to who waits, whose event loop a SystemExit would end."""
    if isinstance(raised, Exception):
        return raised
    told = RuntimeError(f"{type(raised).__name__} was raised while a command was checked or stored")
    told.__cause__ = raised
    return told


def answer(answers: Iterable[tuple[Request, Any]]) -> None:
    """Tell those who wait, each in its own loop; one wake-up for all of a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Request, Any]]] = {}
    for each in answers:
        by_loop.setdefault(each[0].loop, []).append(each)
    for loop, told in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_tell, told)


def _tell(answers: list[tuple[Request, Any]]) -> None:
    for request, told in answers:
        if not request.future.done():
            request.future.set_result(told)
