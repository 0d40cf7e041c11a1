"""Workers and a client in one thread, each with its own connection, under a clock that is moved by hand."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from unittest.mock import patch

from django.db import InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.runtime.clock import ManualClock
from django_livesim.store import clocks
from django_livesim.worker import engine

ALIAS = "default"
SPINS = 200
"""Looks into the inbox without the clock moving, after which a ledger counts as spinning."""
TURNS = 100
"""Of a step thread without the clock moving: a history that is played again is of fewer ticks."""
ATTEMPTS = 12
"""Times a client tries; an outage is shorter."""
TIMED = "django_livesim.worker."
"""Modules that time something in the thread of the database."""


class Violation(AssertionError):
    """A promise was broken."""


class Actor:
    """Somebody with a connection of their own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.connection: BaseDatabaseWrapper = connections.create_connection(ALIAS)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Within, the database is asked over this connection; it must be left in order."""
        before = connections[ALIAS]
        connections[ALIAS] = self.connection
        try:
            yield
        finally:
            connections[ALIAS] = before
        self.check_clean()

    def check_clean(self) -> None:
        connection = self.connection
        if connection.in_atomic_block or connection.run_on_commit or _is_in_transaction(connection):
            raise Violation(f"{self.name} leaves a transaction open")

    def close(self) -> None:
        self.connection.close()


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    raw = connection.connection
    if raw is None:
        return False
    if connection.vendor == "postgresql":
        return raw.info.transaction_status.name not in ("IDLE", "UNKNOWN")
    return bool(raw.in_transaction)


class Idle(BaseException):
    """A ledger has nothing to do before the clock moves."""


class Inbox(queue.SimpleQueue):  # type: ignore[type-arg]
    """The ledger's queue: who would wait on it is done for now."""

    def __init__(self) -> None:
        self.looks = 0

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self.looks += 1
        if self.looks > SPINS:
            raise Violation("the ledger spins")
        try:
            return super().get_nowait()
        except queue.Empty:
            if timeout is not None and timeout <= 0:
                raise
            raise Idle from None


class NoThread:
    """In place of the ledger's thread: `HandWorker.turn` runs what it would."""

    def start(self) -> None: ...

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool:
        return False


class Silent:
    """In place of what has a thread of its own and does not ask the database: says yes to everything."""

    dropped = refused = 0  # that the beats tell of

    def __init__(self, *args: Any, **options: Any) -> None: ...

    def __getattr__(self, name: str) -> Callable[..., bool]:
        return lambda *args, **options: True


class HandWorker(Actor):
    """A whole worker but for its threads: supervisor and ledger take turns when told to."""

    def __init__(self, name: str, clock: ManualClock, outlet: Any) -> None:
        """`outlet` gets what leaves, and its method `tell` what has become of runs."""
        super().__init__(name)
        self.awake = True
        parts = {"MonotonicClock": lambda: clock, "Outlet": lambda publisher: outlet}
        parts |= {"Announcer": lambda: outlet, "Publisher": Silent, "Doorbell": Silent}
        with patch.multiple(engine, **parts):
            self.engine = engine.Engine()
        self.ledger, self.supervisor = self.engine.ledger, self.engine.supervisor
        self.ledger._jobs, self.ledger._thread = Inbox(), NoThread()  # type: ignore[assignment]
        self.ledger.start(self.supervisor.post, self.engine._dead, self.engine.drain)

    def turn(self) -> None:
        """What is due in the step thread, what is due in the database's, and its answers."""
        self.step()
        self.write()
        self.step()

    def step(self) -> None:
        """The step thread alone, until nothing is due."""
        for _ in range(TURNS):
            if self.supervisor.turn() > 0:
                return

    def write(self) -> None:
        """The thread of the database alone, until it would wait."""
        self.ledger._jobs.looks = 0  # type: ignore[attr-defined]
        with self.acting(), suppress(Idle):
            self.ledger._run()

    @property
    def drained(self) -> bool:
        return self.supervisor.draining and self.supervisor._drained()

    def go(self) -> None:
        """End the ledger as the engine does once the supervisor has drained."""
        self.ledger.stop(0)
        self.write()
        self.awake = False


class Client(Actor):
    """Somebody who tries again, with the same ids, until there is an answer."""

    def __init__(self, name: str, between: Callable[[], None]) -> None:
        super().__init__(name)
        self._between = between
        self.failures = 0

    def ask(self, act: Callable[[], Any]) -> Any:
        for _attempt in range(ATTEMPTS):
            try:
                with self.acting():
                    return act()
            except (OperationalError, InterfaceError) as exc:
                self._failed(exc)
            except LivesimError as exc:
                if exc.code not in (Code.BUSY, Code.DB_DOWN):
                    raise
                self._failed(exc)
            self._between()
        raise Violation("the database is there, and a client gets no answer")

    def _failed(self, exc: Exception) -> None:
        """As at the end of a request that failed: a connection that cannot be used is made anew."""
        self.failures += 1
        self.connection.close_if_unusable_or_obsolete()
        self.check_clean()


class HandTime:
    """The module `time`, with a monotonic clock that is moved by hand."""

    def __init__(self, clock: ManualClock) -> None:
        self.monotonic = clock.now

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextmanager
def timed_by(clock: ManualClock) -> Iterator[None]:
    """Within, what times anything in a ledger's thread goes by this clock."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(clocks, "lease_time", clock.now))
        for name, module in list(sys.modules.items()):
            if not name.startswith(TIMED):
                continue
            for attribute, value in list(vars(module).items()):
                if value is time:
                    stack.enter_context(patch.object(module, attribute, HandTime(clock)))
                elif value is time.monotonic:
                    stack.enter_context(patch.object(module, attribute, clock.now))
        yield
