"""What a host's own code does beside a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction

DEADLINE = 20.0  # seconds


@contextmanager
def host_view(act: Callable[[], Any]) -> Iterator[None]:
    """A view under `ATOMIC_REQUESTS` that has acted, and whose transaction is open while the block lasts."""
    acted, leave = threading.Event(), threading.Event()

    def view() -> None:
        try:
            with transaction.atomic():
                act()
                acted.set()
                leave.wait(DEADLINE)
        finally:
            connections.close_all()

    thread = threading.Thread(target=view)
    thread.start()
    try:
        assert acted.wait(DEADLINE)
        yield
    finally:
        leave.set()
        thread.join()
