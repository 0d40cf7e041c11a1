"""The socket `ws/livesim/runs/`: says that the list of runs may have changed, and nothing of any run.

So it asks nobody who they are: what they may see they are told when they ask for the list.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from django_livesim import conf
from django_livesim.bus.hubs import hubs
from django_livesim.consumers.inbox import Allowance
from django_livesim.consumers.socket import CLOSE_LIMIT, HOPELESS
from django_livesim.protocol import frames
from django_livesim.protocol.commands import size_of
from django_livesim.protocol.names import CloseCode

logger = logging.getLogger(__name__)

GAP = 1.0  # seconds between two messages to one socket

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class ListConsumer:
    """The ASGI application of one connection; takes no channel of the channel layer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._allowance = Allowance()

    async def serve(self) -> None:
        """Serve until the page leaves, or is closed."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        await self._send({"type": "websocket.accept"})
        bell = asyncio.Event()
        end = hubs().hear_lists(bell)
        tasks = [
            asyncio.create_task(self._listen(), name="livesim-list-ear"),
            asyncio.create_task(self._tell(bell), name="livesim-list-tell"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for code in results:
            if isinstance(code, CloseCode):
                await self._close(code)
            elif isinstance(code, Exception):
                logger.debug("the socket of a list is gone", exc_info=code)

    async def _listen(self) -> CloseCode | None:
        """Pass over what it says; the code to close with, None where it has left."""
        most: int = conf.settings.MAX_MESSAGE_BYTES * HOPELESS
        while (message := await self._receive())["type"] != "websocket.disconnect":
            if size_of(message.get("text") or message.get("bytes") or "") > most:
                return CloseCode.TOO_LARGE
            if not self._allowance.spend():
                return CloseCode.TOO_MANY
        return None

    async def _tell(self, bell: asyncio.Event) -> CloseCode:
        """Say so whenever there may be something else to see, once a second at most."""
        while True:
            await bell.wait()
            bell.clear()
            try:
                async with asyncio.timeout(conf.settings.SLOW_VIEWER):
                    await self._send({"type": "websocket.send", "text": frames.changed()})
            except TimeoutError:
                return CloseCode.TOO_SLOW
            await asyncio.sleep(GAP)

    async def _close(self, code: CloseCode) -> None:
        with contextlib.suppress(Exception):  # gone already, or too slow even for this
            async with asyncio.timeout(CLOSE_LIMIT):
                await self._send({"type": "websocket.close", "code": int(code)})
