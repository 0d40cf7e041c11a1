"""A worker that steps nothing: it calls tasks and the handlers of authors' channels, in a few threads.

Who owns what: the thread that is in `run` has the database connection, the lease, the list of what is held
and what is to be written; each of the other threads has the call that it is at, and the connections that
this makes. They meet in a queue of calls and one of what became of them, into which rings come too: a queue
that signal handlers, too, may put something into.

A row is claimed when a thread is free for it, and not before: what the process has not begun when it dies
waits for another. Where it dies within a call, the row is freed once its worker is declared gone; and so it
is with what does not come back in time when it is told to leave, so that nobody handles the next message of
a channel beside it. Where the database is away, what has come back waits in memory until it is written;
nothing new is begun. A claim of which nothing was heard may have committed: before the next one, or in the
last turn, it is asked what it has claimed.

Who was declared gone though it lives has a new row, and handles nothing of a channel that it is at still.
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


@dataclass(frozen=True, kw_only=True, eq=False)
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
        self._out: set[Call] = set()  # not come back, those of a former worker of this process too
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
        if time.monotonic() >= self._beat_due and not self._beat(worker):
            return 0.0
        self._settle(worker)
        if self._leaves_at < math.inf:
            return self._leave(worker)
        if self._unsure:
            self._begin(worker, 0)
            self._unsure = False
        if not (goes_on and self._claim(worker)):
            self._look(worker)
        return self._left(min(self._beat_due, self._next_due))

    def _left(self, until: float) -> float:
        """Seconds until there is something to look for, if nobody rings; `until` then at most."""
        most = LOCKED if self._ended else conf.settings.POLL
        return max(0.0, min(most, until - time.monotonic()))

    def _settle(self, worker: UUID) -> None:
        """Write what has come back; what is locked is left for a further turn."""
        if self._ended:
            locked = tasks.settle(worker, self._ended.values())
            for task in self._ended.keys() - locked:
                del self._held[task], self._ended[task]

    def _have(self) -> UUID:
        if self._worker is None:
            began = clocks.lease_time()
            worker = leases.register(self._identity, self.queues, self._load())
            logger.info("task worker registered worker=%s queues=%s", worker, list(self.queues))
            self._worker, self._beat_due = worker, time.monotonic()  # and so frees what others had
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
        at_one = {call.row.name for call in self._out if call.handler.is_channel}
        channels = tuple(channel for channel in handlers.channels if channel not in at_one)
        return tasks.Able(queues=self.queues, tasks=tuple(handlers.tasks), channels=channels)

    def _look(self, worker: UUID) -> None:
        """See what there is, and claim it."""
        look = tasks.look(worker, self._able())
        seconds = math.inf if look.seconds is None else look.seconds
        if look.gone:
            self._lose(worker)
        elif look.told_to_leave:
            self.told = True
            self.drain()
        elif look.due and self._room() and not self._claim(worker):
            seconds = min(seconds, LOCKED)  # somebody has locked it, or was quicker
        self._next_due = time.monotonic() + seconds

    def _room(self) -> int:
        """Threads that are free."""
        return max(0, self._threads - len(self._out))

    def _claim(self, worker: UUID) -> bool:
        """Have what is due called, where a thread is free for it; whether there was any."""
        room = self._room()
        return bool(room) and self._begin(worker, room)

    def _begin(self, worker: UUID, room: int) -> bool:
        """Claim so many, and have them called, and what was claimed unheard; whether there was any."""
        claimed = tasks.claim(worker, list(self._held), self._able(), room)
        for row in claimed:
            known = handlers.channels if row.kind == Task.Kind.MESSAGE else handlers.tasks
            call = Call(row=row, handler=known[row.name], worker=worker)
            self._held[row.pk] = call
            self._out.add(call)
            self._calls.put(call)
        self._sign(worker)
        return bool(claimed)

    def _leave(self, worker: UUID) -> float:
        """Where nothing is being called, or it has waited for long enough, let go of everything."""
        self._doorbell.deafen()
        if self._unsure:
            tasks.give_back(worker, list(self._held))
            self._unsure = False
        if self._held and time.monotonic() < self._leaves_at:
            return self._left(min(self._beat_due, self._leaves_at))
        if self._held:  # its row is not gone before its process is, which ends now
            logger.warning("left with calls that take longer than GRACE worker=%s", worker)
            tasks.leave_behind(worker, self._held.keys() - self._ended.keys(), DIES_WITH)
        else:
            leases.leave(worker)
        self._held.clear()
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
            self._notes.sign(worker, self._beaten, len(self._out))

    def _load(self) -> dict[str, Any]:
        told = {"running": len(self._out), "threads": self._threads}
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
            self._out.remove(call)
            if self._is_held(call):
                self._ended[call.row.pk] = _called(call, error)

    def _call_all(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                error = _call(call) if self._is_held(call) else ""
            except BaseException as exc:  # of what a host has put around it, as into its logging
                error = f"What is around the call raised {type(exc).__name__}."
            self._inbox.put((call, error))

    def _is_held(self, call: Call) -> bool:
        """Any thread. False where its worker was declared gone since it was claimed."""
        return self._held.get(call.row.pk) is call


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
