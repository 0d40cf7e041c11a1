"""Which channel layer is used, or whether this process talks to itself alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from channels.layers import InMemoryChannelLayer, get_channel_layer

from django_livesim import conf


def get_layer() -> Any:
    """The channel layer of `LIVESIM["CHANNEL_LAYER"]`, or None where there is none."""
    return get_channel_layer(conf.settings.CHANNEL_LAYER)


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
