"""The checks of commands that wait for a group commit, in threads of their own.

The runs of all commands that wait are read in one query, then each command
is checked, one after the other, by one thread: the *leader*. A check may
ask what is the host's own, as a session, a permission or POLICY, and so may
hang. Another thread takes over then; only the commands of the same sender
wait on, so that they keep their order.

Who owns what: all fields of `Checkers` belong to its lock; a request that
was taken belongs to the thread that took it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from django_livesim import conf
from django_livesim.gateway.batching import LINGER, Batcher, Connections, batcher
from django_livesim.gateway.requests import Request, answer, problem
from django_livesim.models import Command, Run
from django_livesim.store.deadlines import ANSWER, within

THREADS = 8  # and so connections to the database, at most
PATIENCE = 0.05  # seconds that one check may take before another thread takes over
WAITING = 5000  # commands that may wait in a process, at most


class Checkers:
    """Threads that check commands and hand them on to be stored; there while there is work."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._changed = threading.Condition()
        self._new: deque[Request] = deque()  # their runs have not been read
        self._read: deque[Request] = deque()
        self._busy: set[object] = set()  # lanes of which a command is being checked
        self._reading = False
        self._threads = 0
        self._idle = 0
        self._leader: object = None
        self._since = 0.0

    def put(self, request: Request) -> bool:
        """Have a request checked and stored; False where too many wait. Never waits itself."""
        with self._changed:
            if len(self._new) + len(self._read) + self._batcher.waiting >= WAITING:
                return False
            if not self._threads:
                self._start()
            self._new.append(request)
            if self._leader is None:
                self._changed.notify()
            return True

    def _start(self) -> None:
        threading.Thread(target=self._work, name="livesim-checks", daemon=True).start()
        self._threads += 1

    def _work(self) -> None:
        held, me = Connections(), object()
        try:
            while (work := self._take(me)) is not None:
                held.renew()
                if isinstance(work, Request):
                    self._check(work)
                else:
                    self._read_runs(work)
        finally:
            connections.close_all()

    def _take(self, me: object) -> Request | list[Request] | None:
        """The next to be checked, or all whose runs are to be read; None where the thread is to end."""
        with self._changed:
            while True:
                if self._may_lead(me) and (work := self._next()):
                    self._leader, self._since = me, time.monotonic()
                    if not self._idle and self._threads < THREADS:
                        with contextlib.suppress(RuntimeError):  # no more threads are to be had
                            self._start()
                    return work
                if self._leader is me:
                    self._leader = None
                self._idle += 1
                woken = self._changed.wait(LINGER if self._leader is None else PATIENCE)
                self._idle -= 1
                if not woken and self._leader is None and not (self._new or self._read):
                    self._threads -= 1
                    return None

    def _may_lead(self, me: object) -> bool:
        """One leads at a time; a leader that has been at one thing for too long leads no more."""
        return self._leader in (None, me) or time.monotonic() - self._since > PATIENCE

    def _next(self) -> Request | list[Request] | None:
        for index, request in enumerate(self._read):
            if request.lane not in self._busy:
                del self._read[index]
                self._busy.add(request.lane)
                return request
        if self._new and not self._reading:
            self._reading = True
            new, self._new = list(self._new), deque()
            return new
        return None

    def _read_runs(self, requests: list[Request]) -> None:
        """Give each the row of its run, as it is now."""
        failed = None
        try:
            with within(ANSWER):
                rows = Run.objects.in_bulk({each.run_id for each in requests if each.run_id})
            for each in requests:
                each.run = rows.get(each.run_id)
        except BaseException as exc:
            failed = problem(exc)
            self._hang_up()
        with self._changed:
            self._reading = False
            if failed is None:
                self._read.extend(requests)
        if failed is not None:
            answer((each, failed) for each in requests)

    def _check(self, request: Request) -> None:
        """Check one; what is found goes to whoever waits, or to the batcher.

        What is raised is the host's own, and may be SystemExit: it ends no thread.
        """
        try:
            if not request.future.done():
                with within(ANSWER):
                    checked = request.checked()
                self._hand_on(request, checked)
        except BaseException as exc:
            if isinstance(exc, DatabaseError | InterfaceError):
                self._hang_up()
            answer([(request, problem(exc))])
        finally:
            with self._changed:
                self._busy.discard(request.lane)

    def _hang_up(self) -> None:
        """Close connections that failed; others are made when they are needed."""
        with contextlib.suppress(Exception):
            close_old_connections()

    def _hand_on(self, request: Request, found: Command | tuple[Run, Mapping[str, Any]]) -> None:
        if isinstance(found, Command):
            answer([(request, found)])
        else:
            request.run, request.wanted = found
            self._batcher.put(request)


_checkers: dict[str, Checkers] = {}


def checkers() -> Checkers:
    """Those of this process for the database in use."""
    alias = conf.settings.DATABASE
    found = _checkers.get(alias)
    return found or _checkers.setdefault(alias, Checkers(batcher(alias)))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_checkers.clear)  # the parent's threads are not in the child
