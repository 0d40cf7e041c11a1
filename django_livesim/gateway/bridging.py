"""Coroutines that sync code waits for, by `async_to_sync`: its thread may have a transaction open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asgiref.sync import AsyncToSync, sync_to_async
from channels.db import database_sync_to_async

from django_livesim.gateway.sending import is_pending


async def is_pending_here() -> bool:
    """Whether the sync code that waits for this has a transaction open.

    Code that began as a coroutine has none: in coroutines Django knows no transactions.
    """
    bridge = getattr(AsyncToSync.executors, "current", None)
    if bridge is None and asyncio.get_running_loop() not in AsyncToSync.loop_thread_executors:
        return False
    return await sync_to_async(is_pending)()


async def in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`function` in the thread of the database, and in the transaction that is open there.

    Channels' own closes a connection that is in a transaction.
    """
    to_async = sync_to_async if await is_pending_here() else database_sync_to_async
    return await to_async(function)(*args, **kwargs)
