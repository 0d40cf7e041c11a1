"""What a socket says: read a little ahead, so that its leaving is noticed whatever we wait for."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from django_livesim.protocol.commands import size_of

TURN = 32  # messages after which everybody else has a turn
AHEAD = 64  # messages read ahead, at most
AHEAD_BYTES = 256 * 1024  # bytes after which no more is read ahead
LEAVE_LIMIT = 1.0  # seconds in which what a socket said before it left is still taken

MESSAGE_RATE = 200.0  # messages a second that one socket may send for long
MESSAGE_BURST = 1000.0  # messages that it may send at once


class Inbox:
    """The messages of one socket, in order.

    `heed`, where it is set, is asked about each that comes while none waits; what it says that it has taken
    is not given out. It saves the many that say little a wait for their turn.
    """

    def __init__(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self.heed: Callable[[str | bytes], bool] | None = None
        self._receive = receive
        self._waiting: deque[str | bytes] = deque()
        self._bytes = 0
        self._left = False
        self._filled = asyncio.Event()
        self._roomy = asyncio.Event()

    async def listen(self) -> None:
        """Read until the socket has left, and had a moment more for what it said before."""
        heeded = count(1)
        while (message := await self._receive())["type"] != "websocket.disconnect":
            said = message.get("text")
            if said is None:
                said = message.get("bytes") or b""
            if self._waiting or self.heed is None or not self.heed(said):
                await self._put(said)
            elif next(heeded) % TURN == 0:
                await asyncio.sleep(0)  # where many wait, receiving is no wait
        self._left = True
        self._filled.set()
        await asyncio.sleep(LEAVE_LIMIT)

    async def _put(self, message: str | bytes) -> None:
        self._waiting.append(message)
        self._bytes += size_of(message)
        self._filled.set()
        while len(self._waiting) >= AHEAD or self._bytes > AHEAD_BYTES:
            self._roomy.clear()
            await self._roomy.wait()

    async def take(self) -> str | bytes | None:
        """The next message, None where the socket has left."""
        while not self._waiting:
            if self._left:
                return None
            self._filled.clear()
            await self._filled.wait()
        message = self._waiting.popleft()
        self._bytes -= size_of(message)
        self._roomy.set()
        return message


class Allowance:
    """How many messages a socket may still send: a bucket that fills as time goes by."""

    def __init__(self) -> None:
        self._left = MESSAGE_BURST
        self._at = time.monotonic()

    def spend(self) -> bool:
        """Whether there was one more."""
        now = time.monotonic()
        self._left = min(MESSAGE_BURST, self._left + (now - self._at) * MESSAGE_RATE)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
