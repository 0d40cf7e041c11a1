"""The doorbell of lists: a run has begun, gone or changed its status, and a list may look other than it did.

As of any doorbell, whoever misses it looks by itself a moment later. What a process has to say within `GAP`
is one ring, so that a thousand runs that are taken up at once ring no more often than one.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from django_livesim.bus import doorbells, local
from django_livesim.bus.layers import get_layer, is_local
from django_livesim.protocol.names import LISTS_GROUP

GAP = 0.25  # seconds between two rings of one process
LOST = 5.0  # seconds after which a ring that was asked for, and has not begun, is asked for again

CHANGED = {"type": "livesim.changed", "group": LISTS_GROUP}

_asked_until = 0.0  # until then a ring that was asked for is still to come
_rung_at = -GAP


def ring(**_kwargs: Any) -> None:
    """Ring, now or when it may be again. Any thread; waits for nothing, and never raises."""
    global _asked_until
    try:
        if is_local():
            local.send(LISTS_GROUP, CHANGED)
        elif (now := time.monotonic()) >= _asked_until:
            _asked_until = now + LOST
            doorbells.submit(_ring())
    except Exception as exc:
        doorbells.unheard(exc)


async def _ring() -> None:
    global _asked_until, _rung_at
    try:
        await asyncio.sleep(_rung_at + GAP - time.monotonic())
        _asked_until, _rung_at = 0.0, time.monotonic()
        async with asyncio.timeout(doorbells.LIMIT):
            await get_layer().group_send(LISTS_GROUP, CHANGED)
    except Exception as exc:
        doorbells.unheard(exc)
