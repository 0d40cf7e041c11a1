"""A message to ourselves through the channel layer: whether it comes back, and in what time."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

UNWIND = 0.2  # seconds that a layer which has not answered may take to give up


async def round_trip(layer: Any, limit: float) -> float:
    """Seconds that a message takes. Raises TimeoutError after `limit` seconds, and whatever the layer does.

    Cancelled, it gives up the message. Run it in an event loop of its own: what the layer has opened for it
    is closed with the loop.
    """
    task = asyncio.create_task(_there_and_back(layer), name="livesim round trip")
    try:
        await asyncio.wait({task}, timeout=limit)
        if task.done():
            return task.result()
        raise TimeoutError(f"the message did not come back within {limit:g} s")
    finally:
        # The pubsub layer unsubscribes while it is cancelled; cancelled a second time it gives that up too.
        for _ in range(2):
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=UNWIND)


async def _there_and_back(layer: Any) -> float:
    clock = asyncio.get_running_loop().time
    began = clock()
    text = uuid.uuid4().hex
    channel = await layer.new_channel("livesim.trip")
    receiving = asyncio.create_task(layer.receive(channel), name="livesim round trip, back")
    try:
        await layer.send(channel, {"type": "livesim.trip", "text": text})
        message = await receiving
    finally:
        receiving.cancel()
    if message.get("text") != text:
        raise RuntimeError("the channel layer brought back another message than was sent")
    return clock() - began
