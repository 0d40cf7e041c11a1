"""Questions to PostgreSQL that are given up where nothing comes back, not even an end of the connection.

A network that loses packets is noticed by the kernel after a quarter of an hour, and not at all where
something between acknowledges them, as a pooler that hangs. libpq waits for as long, and so would a thread of
ours, with all its runs or commands. So one thread of the process looks at those that ask under a limit, and
shuts down the connection of one that is past it: it gets OperationalError, as where the server has gone.
Whether what was asked was done is not known then, as with any connection that breaks.

Only time that the database takes counts: none of what Python does between two statements, nor what passes
while this process stands still.

The list of limits belongs to its lock. A limit belongs to the thread that asks; the watching thread reads
whether it asks, and keeps for how long it has seen that. A process that ends leaves nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

from django_livesim import conf

logger = logging.getLogger(__name__)

CONNECT = 5  # seconds for a connection to be made, where neither the host nor its environment says
ANSWER = 5.0  # seconds for each question of somebody who waits for it
EVERY = 0.25  # seconds between two looks
LINGER = 5.0  # seconds without a question after which the watching thread ends

ACTIVE = 1  # PQTRANS_ACTIVE: https://www.postgresql.org/docs/current/libpq-status.html


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Each statement in this block, and its COMMIT, is answered within so many seconds, or given up.

    That of the database of runs, in this thread. Elsewhere than on PostgreSQL it limits nothing: SQLite
    has its own `timeout`. Gives up a quarter of a second late at most.
    """
    connection = connections[conf.settings.DATABASE]
    if connection.vendor != "postgresql":
        yield
        return
    _hurry_connecting(connection)
    limit = _Limit(connection, seconds)
    _watch.add(limit)
    connection.execute_wrappers.append(limit.executing)
    try:
        yield
    finally:
        # By itself, and not the last: a connection made meanwhile may have got the host's own wrappers.
        connection.execute_wrappers.remove(limit.executing)
        _watch.remove(limit)


def _hurry_connecting(connection: Any) -> None:
    """What a thread's connection is made with, the next time; psycopg's own limit is two minutes."""
    options = connection.settings_dict["OPTIONS"]
    if "PGCONNECT_TIMEOUT" not in os.environ and not {"connect_timeout", "pool"} & options.keys():
        own = {**options, "connect_timeout": CONNECT}
        connection.settings_dict = {**connection.settings_dict, "OPTIONS": own}


class _Limit:
    """For how long one thread's question has had no answer."""

    def __init__(self, connection: Any, seconds: float) -> None:
        self._connection, self.seconds = connection, seconds
        self._question, self._executing = 0, False  # which it is: the asking thread's
        self._seen: int | None = None  # the one without an answer at the last look: the watching thread's
        self._waited = 0.0  # seconds for which that has been seen

    def executing(self, execute: Callable[..., Any], *asked: Any) -> Any:
        """One of `execute_wrappers`: each statement has all the time, and so has the COMMIT after it."""
        self._question += 1
        self._executing = True
        try:
            return execute(*asked)
        finally:
            self._executing = False
            self._question += 1

    def look(self) -> bool:
        """Whether it has waited for too long, after one more interval of the watching thread.

        That counts for EVERY, however long it was: this process may have stood still.
        """
        question = self._question
        asking = self._is_asking()
        if not asking or question != self._seen:
            self._seen, self._waited = question if asking else None, 0.0
            return False
        self._waited += EVERY
        return self._waited >= self.seconds

    def give_up(self) -> bool:
        """Shut the connection down, if there is one; what is asked over the next one has its time too."""
        self._seen = None
        return _shut_down(self._connection.connection)

    def _is_asking(self) -> bool:
        """Whether a statement is under way, or what Django gives no wrapper for: a COMMIT or ROLLBACK.

        Of the latter libpq knows.
        """
        try:
            return self._executing or self._connection.connection.info.transaction_status == ACTIVE
        except Exception:  # of whichever psycopg: there is no connection, or it is being closed
            return False


def _shut_down(connection: Any) -> bool:
    """From another thread than the one that has it, and may be closing it at this moment.

    Its number is read before and after it is copied: if it is the same, the copy is of that connection, and
    not of a file that somebody has opened under that number since.
    """
    if connection is None:
        return False
    try:
        number = connection.fileno()
        with socket.socket(fileno=os.dup(number)) as copy:
            if connection.fileno() != number:
                return False
            copy.shutdown(socket.SHUT_RDWR)
    except Exception:  # of whichever psycopg: it was closed meanwhile, or never open
        return False
    return True


class _Watch:
    """All that is asked under a limit in this process, and the thread that looks at it meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: set[_Limit] = set()
        self._thread: threading.Thread | None = None

    def add(self, limit: _Limit) -> None:
        with self._lock:
            self._limits.add(limit)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="livesim-deadlines", daemon=True)
                with contextlib.suppress(RuntimeError):  # no more threads are to be had, or the process ends
                    thread.start()
                    self._thread = thread

    def remove(self, limit: _Limit) -> None:
        with self._lock:
            self._limits.discard(limit)

    def _run(self) -> None:
        asked = time.monotonic()
        while True:
            time.sleep(EVERY)
            now = time.monotonic()
            with self._lock:
                asked = now if self._limits else asked
                if now - asked > LINGER:
                    self._thread = None
                    return
                past = [limit for limit in self._limits if limit.look()]
                # Under the lock: none ends its block meanwhile, and asks something else.
                given_up = [limit.seconds for limit in past if limit.give_up()]
            for seconds in given_up:
                logger.warning("the database has not answered for %g s; a connection is given up", seconds)


_watch = _Watch()


def _forget() -> None:
    global _watch
    _watch = _Watch()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # the parent's threads are not in the child
