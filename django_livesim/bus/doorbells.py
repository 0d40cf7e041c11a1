"""Doorbells: messages that say only "look in the database".

One may be lost, since whoever it is for looks by itself once a second; so
ringing never raises and never holds the caller up for long.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any
from uuid import UUID

from channels.exceptions import ChannelFull
from django.core.signals import setting_changed

from django_livesim.bus import local
from django_livesim.bus.layers import get_layer, is_local
from django_livesim.bus.loop_thread import LoopThread
from django_livesim.bus.seldom import Seldom
from django_livesim.protocol.names import RUNS_CHANNEL, TASKS_CHANNEL, run_group, worker_channel

__all__ = ["LIMIT", "aring", "is_local", "ring", "ring_tasks"]

LIMIT = 0.25  # seconds a ring may take
SULK = 5.0  # seconds after a failed ring in which nobody waits for one

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

RING = {"type": "livesim.ring"}
LOOK = {"type": "livesim.look"}


def unheard(exc: Exception) -> None:
    """Said once a minute, in a line: nothing is lost. Where the interpreter is ending, not at all."""
    if threading.main_thread().is_alive():
        what = f"{type(exc).__name__}: {exc}".strip(": ")
        seldom.warning("A doorbell was not heard (%s); workers find the work by polling", what)
        logger.debug("the doorbell that was not heard", exc_info=exc)


class _Ringer:
    """The thread that rings; one for each process, made at first use."""

    def __init__(self) -> None:
        self.thread = LoopThread("livesim-doorbell")
        self.under_way: set[concurrent.futures.Future[None]] = set()
        self.sulks_until = 0.0

    def submit(
        self, run_id: UUID | None, worker_id: UUID | None, look: bool
    ) -> concurrent.futures.Future[None]:
        return self._submit(partial(self._send, run_id, worker_id, look))

    def submit_tasks(self) -> concurrent.futures.Future[None]:
        return self._submit(self._send_tasks)

    def _submit(self, send: Callable[[], Awaitable[None]]) -> concurrent.futures.Future[None]:
        done = self.thread.submit(self._within_limit(send))
        self.under_way.add(done)
        done.add_done_callback(self.under_way.discard)
        return done

    async def _within_limit(self, send: Callable[[], Awaitable[None]]) -> None:
        """Begins it here: where this is never begun, as in a loop that is closed, nothing was."""
        try:
            async with asyncio.timeout(LIMIT):
                await send()
        except Exception as exc:
            self.sulks_until = time.monotonic() + SULK
            unheard(exc)

    async def _send(self, run_id: UUID | None, worker_id: UUID | None, look: bool) -> None:
        layer = get_layer()
        # Full: nobody takes the rings that are there, one more would change nothing.
        with contextlib.suppress(ChannelFull):
            await layer.send(worker_channel(worker_id) if worker_id else RUNS_CHANNEL, RING)
        if look and run_id:
            group = run_group(run_id)
            await layer.group_send(group, {**LOOK, "group": group})

    async def _send_tasks(self) -> None:
        with contextlib.suppress(ChannelFull):
            await get_layer().send(TASKS_CHANNEL, RING)


_lock = threading.Lock()
_ringer: _Ringer | None = None
_inherited: list[_Ringer | None] = []  # kept, since collecting the parent's event loop would close its files


def _get_ringer() -> _Ringer:
    """This process's ringer."""
    global _ringer
    with _lock:
        if _ringer is None or not _ringer.thread.alive:
            _ringer = _Ringer()
        return _ringer


def submit(sending: Coroutine[Any, Any, None]) -> concurrent.futures.Future[None]:
    """Have something else sent in the thread that rings."""
    return _get_ringer().thread.submit(sending)


def _forget_ringer() -> None:
    """In a forked child, where the parent's thread is not, and its lock may be held for ever."""
    global _lock, _ringer
    _inherited.append(_ringer)
    _lock, _ringer = threading.Lock(), None


def _finish() -> None:
    """Before the process ends: the rings under way, at most `LIMIT` seconds of them."""
    if _ringer is not None and _ringer.thread.alive:
        concurrent.futures.wait(list(_ringer.under_way), LIMIT)


def flush() -> None:
    """Wait until the rings under way have rung, at most `LIMIT` seconds.

    For processes that end right after: at exit the interpreter has no
    threads any more in which the name of a host could be looked up.
    """
    _finish()


atexit.register(_finish)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_ringer)


def _layer_changed(*, setting: str, **kwargs: Any) -> None:
    """Close the connections of a layer that is no more."""
    global _ringer
    if setting == "CHANNEL_LAYERS" and _ringer is not None:
        ringer, _ringer = _ringer, None
        ringer.thread.stop(1.0)


setting_changed.connect(_layer_changed, dispatch_uid="django_livesim.bus.doorbells")


def _ring_local(run_id: UUID | None, worker_id: UUID | None, look: bool) -> None:
    if worker_id is None or not local.send(worker_channel(worker_id), RING):
        local.send(RUNS_CHANNEL, RING)
    if look and run_id:
        local.send(run_group(run_id), LOOK)


def ring(run_id: UUID | None = None, worker_id: UUID | None = None, *, look: bool = False) -> None:
    """Ring the worker `worker_id`, or whoever may claim; with `look`, the run's viewers too.

    Rings beside the caller's work, so that nothing waits for it; a process
    that ends gives the rings under way `LIMIT` seconds. Never raises.
    """
    try:
        if is_local():
            _ring_local(run_id, worker_id, look)
            return
        _get_ringer().submit(run_id, worker_id, look)
    except Exception as exc:
        unheard(exc)


def ring_tasks() -> None:
    """Ring those who call tasks and handlers of channels; as `ring`."""
    try:
        if is_local():
            local.send(TASKS_CHANNEL, RING)
        else:
            _get_ringer().submit_tasks()
    except Exception as exc:
        unheard(exc)


async def aring(run_id: UUID | None = None, worker_id: UUID | None = None, *, look: bool = False) -> None:
    """`ring` for coroutines: the loop goes on meanwhile."""
    try:
        if is_local():
            _ring_local(run_id, worker_id, look)
            return
        ringer = _get_ringer()
        done = ringer.submit(run_id, worker_id, look)
        if time.monotonic() >= ringer.sulks_until:
            # Shielded: cancelling the caller, or the limit, does not cancel the ring itself.
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(done)), LIMIT)
    except Exception as exc:
        unheard(exc)
