"""Makes the k-th call of the database fail, as its driver would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from unittest.mock import patch

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

OUTAGE_CALLS = 6


class Kind(StrEnum):
    """How a call fails."""

    BEFORE = "error, not done"
    AFTER = "error, but done"
    DROPPED = "connection dropped, not done"
    DROPPED_AFTER = "connection dropped, but done"
    OUTAGE = "error, and so for the next calls"
    KILLED = "backend terminated by PostgreSQL"


KINDS = {"sqlite": (Kind.BEFORE, Kind.AFTER, Kind.OUTAGE), "postgresql": tuple(Kind)}
"""What can be; no connection to a file is dropped."""

DONE = (Kind.AFTER, Kind.DROPPED_AFTER)


class What(StrEnum):
    """What a call asks of the database."""

    CONNECT = "connect"
    BEGIN = "begin"  # savepoints too
    READ = "read"
    WRITE = "write"
    COMMIT = "commit"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Point:
    """A call that can fail."""

    what: What
    sql: str = ""
    within: bool = False
    """Whether a transaction is open, so that nothing is committed by the call itself."""

    def fails_by(self, kind: Kind) -> bool:
        """Whether that failure differs from all others here, and can be."""
        match self.what:
            case What.CONNECT:
                return kind in (Kind.BEFORE, Kind.OUTAGE)
            case What.BEGIN | What.READ:
                return kind not in DONE
            case What.ROLLBACK:
                return kind in (Kind.BEFORE, Kind.DROPPED)
            case What.WRITE:
                return not self.within or kind is not Kind.DROPPED_AFTER
            case What.COMMIT:
                return True


BEGINNING = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET")


def _statement(sql: str, within: bool) -> Point:
    verb = sql.split(None, 1)[0].upper()
    what = What.READ if verb == "SELECT" else What.BEGIN if verb in BEGINNING else What.WRITE
    return Point(what, sql, within)


class Injector:
    """Counts the calls of all connections but those of `spared`, and makes the k-th fail.

    It counts only while it is `armed`. The calls may come from several
    threads; which is the k-th is then for the scenario to make sure of.
    """

    def __init__(self, k: int = 0, kind: Kind = Kind.BEFORE) -> None:
        self.k, self.kind = k, kind
        self.armed = False
        self.points: list[Point] = []
        self.fired: Point | None = None
        self.spared: set[BaseDatabaseWrapper] = set()
        self._lock = threading.Lock()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """In every connection of this process."""
        methods = {"connect": What.CONNECT, "_commit": What.COMMIT, "_rollback": What.ROLLBACK}
        with ExitStack() as stack:
            for name, what in methods.items():
                stack.enter_context(patch.object(BaseDatabaseWrapper, name, self._around(name, what)))
            for name in ("_execute", "_executemany"):
                stack.enter_context(patch.object(CursorWrapper, name, self._executing(name)))
            yield

    def _around(self, name: str, what: What) -> Callable[[BaseDatabaseWrapper], None]:
        original = getattr(BaseDatabaseWrapper, name)

        def call(connection: BaseDatabaseWrapper) -> None:
            if what is What.CONNECT or connection.connection is not None:
                self._call(Point(what), connection, lambda: original(connection))

        return call

    def _executing(self, name: str) -> Callable[..., Any]:
        original = getattr(CursorWrapper, name)

        def execute(cursor: CursorWrapper, sql: str, params: Any, *ignored: Any) -> Any:
            point = _statement(sql, cursor.db.in_atomic_block)
            return self._call(point, cursor.db, lambda: original(cursor, sql, params))

        return execute

    def _call(self, point: Point, connection: BaseDatabaseWrapper, act: Callable[[], Any]) -> Any:
        if not self.armed or connection in self.spared or not self._fires(point):
            return act()
        if self.kind is Kind.KILLED:
            _terminate(connection)
            return act()
        if self.kind in DONE:
            act()
        if dropped := self.kind in (Kind.DROPPED, Kind.DROPPED_AFTER):
            connection.connection.close()
        with connection.wrap_database_errors:
            errors = connection.Database
            raise (errors.InterfaceError if dropped else errors.OperationalError)(f"injected: {self.kind}")

    def _fires(self, point: Point) -> bool:
        with self._lock:
            self.points.append(point)
            number = len(self.points)
            if self.kind is Kind.OUTAGE and self.k < number < self.k + OUTAGE_CALLS:
                return self.fired is not None
            if number == self.k and point.fails_by(self.kind):
                self.fired = point
                return True
            return False


def _terminate(connection: BaseDatabaseWrapper) -> None:
    """End the server's side of a connection, and wait until it has ended."""
    pid = connection.connection.info.backend_pid
    other = connections.create_connection(connection.alias)
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            assert cursor.fetchone() == (True,)
    finally:
        other.close()
