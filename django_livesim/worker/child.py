"""A process that steps runs, or calls tasks, as the child of a parent that watches it.

Who owns what: the child owns its runs, its row, its lease and its beats, as any worker does. The parent
owns its place, and replaces whoever has died in it.

What happens when the parent dies, on any line of its own: the kernel kills the child where it can (Linux),
and a thread here sees the pipe's other end close and ends the process, which is as SIGKILL to the runs. A
parent that died before the child could ask for that is found by its process id.

SIGTERM is held back by the parent until there is a handler for it here. Until the worker is put together it
ends the process at once, for it holds nothing; from then on it drains, however often it comes: a service
manager sends it to all processes, and the parent once more. SIGINT, which a terminal sends to all, is left
to the parent.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING
from uuid import UUID

from django_livesim.worker.garbage import look_as_set
from django_livesim.worker.notes import Notes
from django_livesim.worker.order import Order, Spawned

if TYPE_CHECKING:
    from django_livesim.worker.engine import Engine

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # linux/prctl.h
HELD_BACK = (signal.SIGTERM, signal.SIGINT)
"""What the parent blocks while it spawns, so that it meets a handler."""
AGAIN = 76
"""The status of a child that has left in good order, and in whose place another is to come."""
NOT_HAD = 75
"""The status of a child whose one run was not to be had: another worker was quicker, or it has ended."""
LAST = 5.0  # seconds in which a child whose run is over must have ended


def main(text: str) -> int:
    """Step runs as `text`, an encoded `Spawned`, says; the exit status. In the main thread."""
    spawned = Spawned.decode(text)
    _die_with(spawned.parent, spawned.alive)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    _say_where_it_died(spawned.stack)
    notes = Notes(spawned.notes)
    os.close(spawned.notes)
    sys.argv = spawned.arguments
    _set_up(spawned.order)
    return _call_tasks(spawned.order, notes) if spawned.tasks else _step(spawned, notes)


def serve(*, queues: Iterable[str] = ("default",), max_runs: int | None = None) -> int:
    """Step runs in this thread, the main one, until SIGTERM or SIGINT; the exit status. No parent watches.

    The first signal finishes the steps under way, stores every run and lets
    it go, within the GRACE setting. A second one ends the process at once;
    runs then go on from what was stored.
    """
    from django_livesim.worker.background import start_tasks
    from django_livesim.worker.engine import Engine

    engine = Engine(queues=queues, max_runs=max_runs)
    look_as_set()
    start_tasks(queues)
    with signals(engine.drain):
        engine.run()
    return 0


@contextmanager
def signals(drain: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT call `drain`; the handlers before are put back at the end."""
    told = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if told:
            os._exit(128 + number)
        told = True
        drain()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _set_up(order: Order) -> None:
    import django

    django.setup()
    if order.memory is not None:
        _limit_memory(order.memory)


def _call_tasks(order: Order, notes: Notes) -> int:
    from django_livesim.worker.tasking import TaskWorker

    worker = TaskWorker(queues=order.queues, notes=notes)
    signal.signal(signal.SIGTERM, lambda number, frame: worker.drain())
    worker.run()
    _end_by(LAST, status := 0 if worker.told else AGAIN)
    return status


def _step(spawned: Spawned, notes: Notes) -> int:
    from django_livesim.worker.engine import Engine
    from django_livesim.worker.own_run import OwnRun

    order, run = spawned.order, None if spawned.run is None else UUID(spawned.run)
    engine = Engine(queues=order.queues, max_runs=order.max_runs, notes=notes, run=run)
    signal.signal(signal.SIGTERM, _once(engine))
    look_as_set()
    engine.run()
    notes.loops.leave()  # a loop that has ignored its end does not harm this process by going on until then
    ledger = engine.ledger
    if run is None:
        return 0 if engine.told else AGAIN
    status = NOT_HAD if isinstance(ledger, OwnRun) and not ledger.had else 0
    _end_by(LAST, status)
    return status


def _end_by(seconds: float, status: int) -> None:
    """End this process then, where threads of its author's keep it from ending by itself."""
    timer = threading.Timer(seconds, os._exit, (status,))
    timer.daemon = True
    timer.start()


def _once(engine: Engine) -> Callable[[int, FrameType | None], None]:
    """A handler that has the engine leave, the first time that it is called."""
    told = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            engine.drain()

    return handle


def _die_with(parent: int, alive: int) -> None:
    """End this process, at once and whatever it is doing, when the parent has died."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)
    os.set_inheritable(alive, False)
    threading.Thread(target=_wait_for_end, args=(alive,), name="livesim-parent", daemon=True).start()


def _wait_for_end(alive: int) -> None:
    with suppress(OSError):
        os.read(alive, 1)
    os._exit(1)


def _say_where_it_died(stack: int) -> None:
    """Have the stacks of all threads written there when the process crashes; no core is left on the disk."""
    import resource

    os.set_inheritable(stack, False)
    faulthandler.enable(stack, all_threads=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _limit_memory(megabytes: int) -> None:
    """What is asked for beyond it raises MemoryError, where the system knows such a limit: on Linux."""
    import resource

    if sys.platform != "linux":
        logger.warning("--memory has no effect on %s; it needs Linux", sys.platform)
        return
    limit, (_, hard) = megabytes * 2**20, resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
