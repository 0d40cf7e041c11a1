"""Coroutines that sync code waits for, by `async_to_sync`: its thread may have a transaction open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import AsyncToSync, sync_to_async
from channels.db import database_sync_to_async
from django.db import connections

from django_livesim.gateway.committing import is_pending
from django_livesim.store.deadlines import ANSWER, within

ACT = 10.0  # seconds for each statement of an act on a run

P = ParamSpec("P")
T = TypeVar("T")


def may_hold_here() -> bool:
    """Whether sync code waits for this. Coroutines alone have no transaction: Django knows none there."""
    if asyncio.get_running_loop() in AsyncToSync.loop_thread_executors:
        return True
    return getattr(AsyncToSync.executors, "current", None) is not None


async def is_pending_here() -> bool:
    """Whether the sync code that waits for this has a transaction open in which runs are written."""
    return await _holds_here(is_pending)


async def is_in_transaction_here() -> bool:
    """Whether the sync code that waits for this has a transaction open, in whichever database."""
    return await _holds_here(_is_in_transaction)


async def _holds_here(condition: Callable[[], bool]) -> bool:
    return may_hold_here() and await sync_to_async(condition)()


def _is_in_transaction() -> bool:
    return any(each.in_atomic_block for each in connections.all(initialized_only=True))


async def in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`function` in the thread of the database, and in the transaction that is open there.

    Channels' own closes all connections of the thread, those that are in a transaction too.
    """
    to_async = sync_to_async if await is_in_transaction_here() else database_sync_to_async
    return await to_async(asked(function, ACT))(*args, **kwargs)


def asked(function: Callable[P, T], seconds: float = ANSWER) -> Callable[P, T]:
    """`function`, given up where the database does not answer a statement within so many seconds."""

    @wraps(function)
    def asking(*args: P.args, **kwargs: P.kwargs) -> T:
        with within(seconds):
            return function(*args, **kwargs)

    return asking
