"""`websockets.broadcast`, by which a server in Python is measured: one state to all, 20 times a second."""

from __future__ import annotations

import asyncio
import sys
import time

import orjson
from websockets.asyncio.server import broadcast, serve

from benchmarks.live.state import RATE, entities, turn


async def main(port: int, count: int, deflate: bool) -> None:
    state = {"time": 0, "entities": entities(count)}
    sockets = set()

    async def handle(socket) -> None:  # type: ignore[no-untyped-def]
        sockets.add(socket)
        try:
            await socket.wait_closed()
        finally:
            sockets.discard(socket)

    async with serve(handle, "127.0.0.1", port, compression="deflate" if deflate else None):
        due = time.monotonic()
        while True:
            state["time"] += 1
            turn(state)
            text = orjson.dumps({"type": "update", "sent": time.time() * 1000, "state": state}).decode()
            broadcast(sockets, text)
            due = max(due + 1 / RATE, time.monotonic())
            await asyncio.sleep(due - time.monotonic())


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), "--deflate" in sys.argv))
