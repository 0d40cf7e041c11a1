"""Group commits: while one batch of commands is being stored, those that come meanwhile are the next.

Who owns what: the requests that wait belong to the lock, those of the batch
under way to the thread, the connection to the thread. One batch is under
way for each process and database, so ids ascend in the order of `put`.

A process that dies before COMMIT has stored nothing of its batch, after it
all; nobody has been answered yet in either case, and who sends again under
the same id gets the same row.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from django.db import close_old_connections, connections

from django_livesim.bus import doorbells
from django_livesim.gateway.requests import Request, answer, problem
from django_livesim.store import batch
from django_livesim.store.deadlines import ANSWER, within

logger = logging.getLogger(__name__)

AT_MOST = 500  # commands in one batch, those put off aside
LINGER = 0.5  # seconds without work after which a thread ends, and its connection with it
AGAIN = 0.1  # seconds before commands for a run that somebody has locked are tried again
RENEW = 1.0  # seconds between two looks whether a connection is too old, as CONN_MAX_AGE says


class Connections:
    """The database connections of a thread that works without a pause: looked at now and then."""

    def __init__(self) -> None:
        self._looked_at = time.monotonic()

    def renew(self) -> None:
        """Close those that are too old or broken, once a second at most. Never raises."""
        if time.monotonic() - self._looked_at > RENEW:
            self._looked_at = time.monotonic()
            with contextlib.suppress(Exception):  # the next question tells those who wait
                close_old_connections()


class Batcher:
    """Stores commands in batches, in a thread of its own that is there while there is work."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Request] = deque()
        self._later: list[Request] = []  # of runs that somebody has locked; the thread's own
        self._at_work = False

    @property
    def waiting(self) -> int:
        """How many requests it has, those of the batch under way aside."""
        return len(self._waiting) + len(self._later)

    def put(self, request: Request) -> None:
        """Have a request stored whose `run` and `wanted` are there; from any thread."""
        with self._changed:
            if not self._at_work:
                threading.Thread(target=self._work, name="livesim-commands", daemon=True).start()
                self._at_work = True
            self._waiting.append(request)
            if len(self._waiting) == 1:
                self._changed.notify()

    def _work(self) -> None:
        """Until nothing comes any more. Whatever is raised is told to those who wait, and ends nothing."""
        held = Connections()
        try:
            while (requests := self._take()) is not None:
                held.renew()
                claimed = [each for each in requests if each.claim()]
                if claimed:
                    self._store(claimed)
        finally:
            connections.close_all()

    def _take(self) -> list[Request] | None:
        """What waits, those put off first; None where there has been nothing, and the thread is to end."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(AGAIN if self._later else LINGER)
            taken = [self._waiting.popleft() for _ in range(min(AT_MOST, len(self._waiting)))]
            requests, self._later = [*self._later, *taken], []
            if not requests:
                self._at_work = False
                return None
            return requests

    def _store(self, requests: Sequence[Request]) -> None:
        try:
            with within(ANSWER):
                outcomes: Sequence[Any] = batch.insert_commands([each.wanted for each in requests])
        except BaseException as exc:
            logger.exception("%s commands could not be stored", len(requests))
            outcomes = [problem(exc)] * len(requests)
        self._ring(requests, outcomes)
        self._put_off(each for each, told in zip(requests, outcomes, strict=True) if _is_locked(told))
        answer(each for each in zip(requests, outcomes, strict=True) if not _is_locked(each[1]))

    def _ring(self, requests: Sequence[Request], outcomes: Sequence[Any]) -> None:
        """Tell the workers, and viewers where there is none; each run once."""
        new = {
            each.run.id: each.run.worker_id
            for each, told in zip(requests, outcomes, strict=True)
            if each.run is not None and isinstance(told, batch.Stored) and told.created
        }
        for run, worker in new.items():
            doorbells.ring(run, worker, look=worker is None)

    def _put_off(self, requests: Any) -> None:
        """Have them tried again, except those whose senders have been told meanwhile that nobody knows."""
        for each in requests:
            if not each.future.done():
                each.put_back()
                self._later.append(each)


def _is_locked(outcome: Any) -> bool:
    return isinstance(outcome, batch.RunLocked)


_batchers: dict[str, Batcher] = {}


def batcher(alias: str) -> Batcher:
    """The one of this process for a database."""
    return _batchers.get(alias) or _batchers.setdefault(alias, Batcher())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_batchers.clear)  # the parent's threads are not in the child
