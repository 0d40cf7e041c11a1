"""What a host's own code does beside a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections, transaction

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


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database answers nobody while the block lasts; on SQLite nobody who connects anew."""
    connection.close()
    if connection.vendor == "sqlite":
        with monkeypatch.context() as patch:
            patch.setitem(connection.settings_dict, "NAME", "/nowhere/db.sqlite3")
            yield
        return
    name = connection.settings_dict["NAME"]
    with connection._nodb_cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    try:
        yield
    finally:
        connection.close()
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
