"""A worker that steps nothing: it calls tasks and the handlers of authors' channels, in a few threads.

Who owns what: the thread that is in `run` has the database connection, the lease, the list of what is held
and what is to be written; each of the other threads has the call that it is at, and the connections that
this makes. They meet in a queue of calls and one of what became of them, into which rings come too: a queue
that signal handlers, too, may put something into.

A row is claimed when a thread is free for it, and not before: what the process has not begun when it dies
waits for another. Where it dies within a call, the row is freed once its worker is declared gone.
Where the database is away, what has come back waits in memory until it is written; nothing new is begun. A
claim of which nothing was heard may have committed: the next one, or the last turn, has what it has claimed.
"""

from __future__ import annotations

import inspect
import logging
import math
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import close_old_connections, connections

from django_livesim import conf
from django_livesim.background import Handler, handlers
from django_livesim.bus.seldom import Seldom
from django_livesim.models import Task
from django_livesim.protocol import plain
from django_livesim.protocol.names import TASKS_CHANNEL
from django_livesim.store import clocks, identity, leases, locks, tasks
from django_livesim.store.deadlines import within
from django_livesim.worker.doorbell import Doorbell
from django_livesim.worker.loads import Loads
from django_livesim.worker.notes import Notes

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

LOCKED = 0.2  # seconds before rows that somebody has locked are looked at again
RETRY = 1.0  # seconds before the database is asked again after an error
DIES_WITH = "It took longer than its worker could wait, which was told to end."


@dataclass(frozen=True, kw_only=True)
class Call:
    """One row that is called, for the worker that has claimed it."""

    row: Task
    handler: Handler
    worker: UUID


class TaskWorker:
    """`run` it in a thread of its own; `drain` from any thread, and from signal handlers."""

    def __init__(self, *, queues: Iterable[str] = ("default",), notes: Notes | None = None) -> None:
        """It calls what is in `queues`, TASK_THREADS at a time; its parent reads `notes`."""
        self.queues = tuple(queues)
        self._threads = conf.settings.TASK_THREADS
        self._notes = notes
        self._identity = identity.this_process()
        self._doorbell = Doorbell(self._hear, shared=[TASKS_CHANNEL])
        self._loads = Loads({}, deque(), lambda: ())
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[tuple[Call, str] | None] = queue.SimpleQueue()
        self._worker: UUID | None = None
        self._peers = leases.Peers(self._identity, conf.settings.LEASE_TTL)
        self._held: dict[int, Call] = {}  # what this worker has claimed, and not written the end of
        self._ended: dict[int, tasks.Called] = {}  # those of them that are to be written
        self._busy = 0  # calls that have not come back, those of a former worker of this process too
        self._beat_due = 0.0
        self._beaten = 0.0  # from before the last beat that committed, by `lease_time`
        self._unsure = False  # whether a claim may have committed, of which nothing was heard
        self._next_due = math.inf  # when the next is due that waits for its time, as of the last look
        self._leaves_at = math.inf  # by `time.monotonic`; finite once it was told to leave
        self.told = False
        """Whether it leaves because its row has told it to."""

    def drain(self) -> None:
        """Claim nothing more, wait for what is being called, GRACE seconds at most, and leave."""
        if self._leaves_at == math.inf:
            self._leaves_at = time.monotonic() + conf.settings.GRACE
        self._inbox.put(None)

    def run(self) -> None:
        """Call what is due, until it is told to leave and nothing is being called any more."""
        for number in range(self._threads):
            name = f"livesim-task-{number + 1}"
            threading.Thread(target=self._call_all, name=name, daemon=True).start()
        try:
            while not self._is_over():
                self._wait(self._turn())
        finally:
            self._doorbell.stop()
            for _ in range(self._threads):
                self._calls.put(None)
            connections.close_all()

    # -- a turn -------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        return self._worker is None and self._leaves_at < math.inf

    def _turn(self) -> float:
        """Do what is to be done; the seconds for which there is nothing more."""
        try:
            with within(conf.settings.LEASE_TTL / 2):
                return self._ask()
        except locks.Locked:
            return LOCKED
        except Exception as exc:  # the database, or what a host has put before it
            self._unsure = True
            seldom.warning("the database does not answer, tasks wait for it: %s", exc, exc_info=True)
            connections[conf.settings.DATABASE].close()
            if time.monotonic() > self._leaves_at:
                self._worker = None  # its rows are freed by whoever sees that this process is gone
            return RETRY

    def _ask(self) -> float:
        worker, goes_on = self._have(), bool(self._ended) or self._unsure
        self._sign(worker)
        if self._ended:
            tasks.settle(worker, self._ended.values())
            for task in self._ended:
                del self._held[task]
            self._ended.clear()
        if time.monotonic() >= self._beat_due and not self._beat(worker):
            return 0.0
        if self._leaves_at < math.inf:
            return self._leave(worker)
        if not (goes_on and self._claim(worker)):
            self._look(worker)
        return self._left()

    def _left(self) -> float:
        """Seconds until there is something to look for, if nobody rings."""
        return max(0.0, min(conf.settings.POLL, min(self._beat_due, self._next_due) - time.monotonic()))

    def _have(self) -> UUID:
        if self._worker is None:
            began = clocks.lease_time()
            worker = leases.register(self._identity, self.queues, self._load())
            logger.info("task worker registered worker=%s queues=%s", worker, list(self.queues))
            self._worker, self._beat_due = worker, time.monotonic() + conf.settings.BEAT
            self._beaten = began
            self._doorbell.listen(worker)
        return self._worker

    def _beat(self, worker: UUID) -> bool:
        """Say that it lives, and look at the others; False where it has been declared gone."""
        began = clocks.lease_time()
        if not leases.beat(worker, self._load()):
            self._lose(worker)
            return False
        self._beaten = began
        self._sign(worker)
        self._peers.look(worker)
        tasks.free()
        self._beat_due = time.monotonic() + conf.settings.BEAT
        return True

    def _able(self) -> tasks.Able:
        names, channels = tuple(handlers.tasks), tuple(handlers.channels)
        return tasks.Able(queues=self.queues, tasks=names, channels=channels)

    def _look(self, worker: UUID) -> None:
        """See what there is, and claim it."""
        look = tasks.look(worker, self._able())
        if look.gone:
            self._lose(worker)
        elif look.told_to_leave:
            self.told = True
            self.drain()
        elif look.due:
            self._claim(worker)
        self._next_due = math.inf if look.seconds is None else time.monotonic() + look.seconds

    def _claim(self, worker: UUID) -> bool:
        """Have what is due called, where a thread is free for it; whether there was any."""
        room = max(0, self._threads - self._busy)
        if not room and not self._unsure:
            return False
        claimed = tasks.claim(worker, list(self._held), self._able(), room)
        self._unsure = False
        for row in claimed:
            known = handlers.channels if row.kind == Task.Kind.MESSAGE else handlers.tasks
            call = Call(row=row, handler=known[row.name], worker=worker)
            self._held[row.pk] = call
            self._busy += 1
            self._calls.put(call)
        self._sign(worker)
        return bool(claimed)

    def _leave(self, worker: UUID) -> float:
        """Where nothing is being called, or it has waited for long enough, let go of everything."""
        self._doorbell.deafen()
        if self._unsure:
            tasks.give_back(worker, list(self._held))
            self._unsure = False
        left = self._leaves_at - time.monotonic()
        if self._held and left > 0:
            return min(left, max(0.0, self._beat_due - time.monotonic()))
        tasks.settle(worker, [_called(call, DIES_WITH) for call in self._held.values()])
        self._held.clear()
        leases.leave(worker)
        self._worker = None
        return 0.0

    def _lose(self, worker: UUID) -> None:
        logger.error("declared gone by a peer worker=%s; the tasks that it was at are not its own", worker)
        self._worker = None
        self._held.clear()
        self._ended.clear()
        self._peers = leases.Peers(self._identity, conf.settings.LEASE_TTL)
        self._inbox.put(None)

    def _sign(self, worker: UUID) -> None:
        """For the parent, which beats in its place while a task lets no other thread run."""
        if self._notes is not None:
            self._notes.sign(worker, self._beaten, self._busy)

    def _load(self) -> dict[str, Any]:
        told = {"running": self._busy, "threads": self._threads}
        names = {"names": sorted(handlers.tasks), "channels": sorted(handlers.channels)}
        return self._loads.tell() | {"simulations": {}, "blocking": {}, "tasks": told | names}

    def _hear(self, message: dict[str, Any]) -> None:
        """Any thread."""
        if message["type"] == "livesim.ring":
            self._inbox.put(None)

    # -- calls --------------------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        """Until somebody rings, or a call has come back; all that has is noted."""
        with suppress(queue.Empty):
            self._note(self._inbox.get(timeout=seconds))
            while True:
                self._note(self._inbox.get_nowait())

    def _note(self, came_back: tuple[Call, str] | None) -> None:
        if came_back is not None:
            call, error = came_back
            self._busy -= 1
            if self._held.get(call.row.pk) is call:
                self._ended[call.row.pk] = _called(call, error)

    def _call_all(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                error = _call(call)
            except BaseException as exc:  # of what a host has put around it, as into its logging
                error = f"What is around the call raised {type(exc).__name__}."
            self._inbox.put((call, error))


def _called(call: Call, error: str) -> tasks.Called:
    return tasks.Called(task=call.row.pk, attempt=call.row.attempts, error=error)


def _call(call: Call) -> str:
    """Make a call; the traceback, empty where it came back."""
    row, handler = call.row, call.handler
    close_old_connections()
    try:
        args, kwargs = ([row.args], {}) if handler.is_channel else row.args
        if inspect.iscoroutinefunction(handler.function):
            async_to_sync(handler.function)(*args, **kwargs)  # what it asks the ORM is asked in this thread
        else:
            handler.function(*args, **kwargs)
    except BaseException as exc:  # SystemExit too ends the call, and not the thread
        told = "will be tried again" if row.attempts <= row.retries else "has failed"
        logger.error("task %s %s task=%s attempt=%s", row.name, told, row.pk, row.attempts, exc_info=exc)
        return plain.storable(traceback.format_exc())
    finally:
        close_old_connections()
    return ""
