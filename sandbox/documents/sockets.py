"""What the sockets of the examples share: tasks that end with them, JSON in, errors to whoever asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from django_livesim import LivesimError
from django_livesim.permissions import Actor

MOST = 16_384  # characters of one message
WAITING = 20  # answers that one socket waits for at once

logger = logging.getLogger(__name__)


def named(value: Any) -> str:
    """A JSON value in an error, in at most 80 characters; of what holds others the brackets alone.

    A `repr` goes as deep as the client has nested it, which may be deeper than Python goes.
    """
    match value:
        case dict():
            return "{...}"
        case list():
            return "[...]"
    return repr(value)[:80]


class Accompanied(AsyncWebsocketConsumer):
    """A consumer with tasks beside it, which are cancelled when it ends, however it ends.

    `disconnect` is not called where a handler raises, nor where the server cancels the consumer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._beside: set[asyncio.Task[None]] = set()

    async def __call__(self, *args: Any) -> None:
        try:
            await super().__call__(*args)
        finally:
            for task in self._beside:
                task.cancel()

    def beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)


class JsonSocket(Accompanied):
    """An ordinary Channels consumer: `take` gets each JSON object, as sent by `actor`.

    What is no such object, and what `take` refuses by a LivesimError, is told to its sender alone,
    as `{"error": "..."}`.
    """

    actor: Actor

    async def connect(self) -> None:
        self.actor = await database_sync_to_async(Actor.from_scope)(self.scope)
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if len(text_data or "") > MOST:
            await self.tell(error=f"A message has at most {MOST} characters; got {len(text_data or '')}.")
            return
        try:
            message = orjson.loads(text_data or "")
        except orjson.JSONDecodeError:
            await self.tell(error="Invalid JSON")
            return
        await self._guarded(self._take(message))

    async def _take(self, message: Any) -> None:
        if not isinstance(message, dict):
            raise LivesimError(f'Expected a JSON object, such as {{"a": 1}}; got {named(message)}.')
        await self.take(message)

    async def take(self, message: dict[str, Any]) -> None:
        """Do what it asks; raise a LivesimError where that cannot be."""
        raise NotImplementedError

    async def later(self, answer: Awaitable[None]) -> None:
        """Go on listening while `answer` is waited for. It is cancelled when the socket ends."""
        while len(self._beside) >= WAITING:
            await asyncio.wait(self._beside, return_when=asyncio.FIRST_COMPLETED)
        self.beside(self._logged(answer), name=f"answer-{self.channel_name}")

    async def _logged(self, answer: Awaitable[None]) -> None:
        try:
            await self._guarded(answer)
        except Exception:
            logger.exception("An answer could not be given")

    async def _guarded(self, act: Awaitable[None]) -> None:
        try:
            await act
        except LivesimError as problem:
            await self.tell(error=problem.message)

    async def tell(self, **message: Any) -> None:
        """Send this to the browser at the other end, and to nobody else."""
        await self.send(orjson.dumps(message).decode())
