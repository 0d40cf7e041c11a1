"""Which channel layer is used, or whether this process talks to itself alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from channels.layers import InMemoryChannelLayer, get_channel_layer

from django_livesim import conf


def get_layer() -> Any:
    """The channel layer of `LIVESIM["CHANNEL_LAYER"]`, or None where there is none."""
    return get_channel_layer(conf.settings.CHANNEL_LAYER)


HANG_UP = 1.0  # seconds that closing connections may take
HANG_UP_AGAIN = 5.0  # seconds for connections to be made anew, before they are closed once more


async def hang_up(layer: Any) -> None:
    """Close the connections to Redis that the running loop has, whoever waits for an answer there.

    For who has heard nothing for too long: a connection may be silent for ever, since its other end is no
    more and nobody has said so. Who waits gets an error, as from a connection that was cut; the layers of
    channels_redis then connect and subscribe anew. Another layer is left as it is. Never raises.
    """
    with contextlib.suppress(Exception):
        async with asyncio.timeout(HANG_UP):
            closing = (client.connection_pool.disconnect() for client in _clients(layer))
            await asyncio.gather(*closing, return_exceptions=True)


def _clients(layer: Any) -> list[Any]:
    """One for each server, as far as it was used."""
    if hasattr(layer, "ring_size"):
        return [layer.connection(index) for index in range(layer.ring_size)]
    return [shard._redis for shard in getattr(layer, "_shards", ()) if shard._redis is not None]


def is_local() -> bool:
    """Whether messages reach this process alone.

    So it is with no channel layer, and with the in-memory one, which does not
    wake a receiver on another thread and so is not used.
    """
    layer = get_layer()
    return layer is None or isinstance(layer, InMemoryChannelLayer)


_home: asyncio.AbstractEventLoop | None = None


def set_home() -> None:
    """Note the running event loop as the server's, where consumers wait on the in-memory layer."""
    global _home
    _home = asyncio.get_running_loop()


async def at_home(layer: Any, sending: Coroutine[Any, Any, None]) -> None:
    """Await `sending`, in the server's loop where `layer` is the in-memory one.

    That one keeps asyncio queues, and putting into one from another thread
    does not wake the consumer that waits there.
    """
    home = _home
    away = home is not None and home is not asyncio.get_running_loop() and not home.is_closed()
    if away and isinstance(layer, InMemoryChannelLayer):
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sending, home))  # type: ignore[arg-type]
    else:
        await sending
