"""The hubs of one event loop, over one receiver that lives while any of them does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django_livesim.bus.hub import Hub
from django_livesim.bus.receiver import Receiver, make_receiver
from django_livesim.bus.rows import Facts, Rows
from django_livesim.bus.viewer import Viewer
from django_livesim.protocol.names import LISTS_GROUP


class Hubs:
    """One for each event loop: under tests and daphne a process may have several in turn."""

    def __init__(self) -> None:
        self._hubs: dict[UUID, Hub] = {}
        self._bells: set[asyncio.Event] = set()
        self._receiver: Receiver | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._hubs)

    def join(self, run_id: UUID, viewer: Viewer, facts: Facts, rows: Rows) -> Hub:
        """The run's hub with `viewer` in it, which gets what there is at once."""
        hub = self._hubs.get(run_id)
        if hub is None:
            hub = self._hubs[run_id] = Hub(run_id, rows, self._ear(), on_close=self._closed)
        hub.join(viewer, facts)
        return hub

    def hear_lists(self, bell: asyncio.Event) -> Callable[[], None]:
        """Have `bell` set now, and whenever a list of runs may look other than before; what ends that."""
        if not self._bells:
            self._ear().join(LISTS_GROUP, self._ring, self._ring)
        self._bells.add(bell)
        bell.set()

        def end() -> None:
            self._bells.discard(bell)
            if not self._bells and self._receiver is not None:
                self._receiver.leave(LISTS_GROUP)
            self._close_unused()

        return end

    def _ring(self, message: dict[str, Any] | None = None) -> None:
        for bell in self._bells:
            bell.set()

    def _ear(self) -> Receiver:
        if self._receiver is None:
            self._receiver = make_receiver()
        return self._receiver

    def _closed(self, hub: Hub) -> None:
        if self._hubs.get(hub.run_id) is hub:
            del self._hubs[hub.run_id]
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._hubs and not self._bells and self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            task = asyncio.create_task(receiver.close(), name="livesim-receiver-close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


_all_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hubs] = WeakKeyDictionary()


def hubs() -> Hubs:
    """The running event loop's hubs."""
    return _all_hubs.setdefault(asyncio.get_running_loop(), Hubs())
