"""Questions of one kind, asked together: what comes while one is under way waits for it, and is the next.

Hundreds of runs that change hands at once would each have their row read by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

K = TypeVar("K")
V = TypeVar("V")

MOST = 200  # keys in one question
LIMIT = 10.0  # seconds for one: a statement is given up before that


class Together(Generic[K, V]):
    """Answers by key: called with one, it gives what `ask` gives for it, None where that gives nothing.

    No answer is older than the call. `ask` gets up to `MOST` keys. What it raises, each call raises that
    waits for it, or TimeoutError after `LIMIT`; but where that is none of `common`, one key may be at fault,
    and each is asked by itself.
    May be called in several event loops, each of which asks its own. A call that is cancelled leaves the
    question to the others.
    """

    def __init__(
        self, ask: Callable[[list[K]], Awaitable[Mapping[K, V]]], common: tuple[type[Exception], ...]
    ) -> None:
        self._ask = ask
        self._common = common
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Asking[K, V]] = WeakKeyDictionary()

    async def __call__(self, key: K) -> V | None:
        loop = asyncio.get_running_loop()
        asking = self._loops.get(loop)
        if asking is None:
            asking = self._loops[loop] = _Asking(self._ask, self._common)
        return await asking.answer(key)


class _Asking(Generic[K, V]):
    """Of one event loop."""

    def __init__(
        self, ask: Callable[[list[K]], Awaitable[Mapping[K, V]]], common: tuple[type[Exception], ...]
    ) -> None:
        self._ask = ask
        self._common = common
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def answer(self, key: K) -> V | None:
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
        answer = self._waiting[key]
        if self._task is None:
            self._task = asyncio.create_task(self._go_on(), name="livesim-together")
        return await asyncio.shield(answer)

    async def _go_on(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[:MOST]
                await self._answer({key: self._waiting.pop(key) for key in keys})
        finally:
            self._task = None
            for answer in self._waiting.values():
                answer.cancel()
            self._waiting.clear()

    async def _answer(self, asked: dict[K, asyncio.Future[V | None]]) -> None:
        try:
            async with asyncio.timeout(LIMIT):
                found = await self._ask(list(asked))
        except asyncio.CancelledError:
            for answer in asked.values():
                answer.cancel()
            raise
        except Exception as exc:
            if len(asked) > 1 and not isinstance(exc, self._common):
                for key, answer in asked.items():
                    await self._answer({key: answer})
                return
            for answer in asked.values():
                answer.set_exception(exc)
                answer.exception()  # it may be that nobody waits any more
        else:
            for key, answer in asked.items():
                answer.set_result(found.get(key))
