"""Sockets in Python, which say things and note what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.live.processes import CROWD
from benchmarks.live.servers import Site

LEAVING = 1.0  # seconds for a socket to be closed

Heard = Callable[[dict[str, Any]], None]


@contextlib.contextmanager
def on_their_core() -> Iterator[None]:
    """This process is where viewers are, and not where servers are."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CROWD)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.asynccontextmanager
async def sockets(site: Site, count: int, heard: Heard) -> AsyncIterator[list[ClientConnection]]:
    """So many, of which `heard` gets each message; where one is closed by the server it hears no more."""
    url = f"ws://127.0.0.1:{site.port}{site.path}"
    opened: list[ClientConnection] = []
    listening: list[asyncio.Task[None]] = []
    try:
        for _ in range(count):
            socket = await connect(
                url, max_size=None, ping_interval=None, close_timeout=LEAVING, compression=None
            )
            opened.append(socket)
            listening.append(asyncio.create_task(_listen(socket, heard), name="listening"))
        yield opened
    finally:
        await asyncio.gather(*(each.close() for each in opened))
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)


async def _listen(socket: ClientConnection, heard: Heard) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for text in socket:
            heard(json.loads(text))


async def until(ready: Callable[[], bool], seconds: float) -> bool:
    """Whether it came to be within that time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not ready():  # noqa: ASYNC110 - of what other processes do
                await asyncio.sleep(0.005)
    return ready()
