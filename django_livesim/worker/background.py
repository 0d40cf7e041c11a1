"""A worker in a thread of a process that does other things too: `runworker`, or the server itself."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Iterable

from django_livesim.background import handlers
from django_livesim.worker.engine import Engine
from django_livesim.worker.tasking import TaskWorker

LEAVE = 5.0  # seconds that a process which ends gives its worker to store what it holds

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_engine: Engine | None = None


def start_background(queues: Iterable[str] = ("default",)) -> Engine:
    """The engine of this process, started at the first call; it and its tasks are of these `queues`.

    When the interpreter ends, by Ctrl-C, `sys.exit` or a reload, it stores its
    runs and lets them go. After a signal that kills, they go on elsewhere from
    what was stored before.
    """
    global _engine
    with _lock:
        if _engine is None:
            queues = tuple(queues)
            _engine = Engine(queues=queues)
            thread = threading.Thread(target=_engine.run, name="livesim-steps", daemon=True)
            thread.start()
            atexit.register(_leave, _engine, thread)
            start_tasks(queues)
        return _engine


def start_tasks(queues: Iterable[str] = ("default",)) -> None:
    """Have tasks called in threads of this process, where the code has any."""
    if handlers:
        worker = TaskWorker(queues=queues)
        thread = threading.Thread(target=worker.run, name="livesim-tasks", daemon=True)
        thread.start()
        atexit.register(_leave, worker, thread)


def _leave(worker: Engine | TaskWorker, thread: threading.Thread) -> None:
    worker.drain()
    thread.join(LEAVE)
    if thread.is_alive():
        logger.warning("the worker in this process did not end in time; what it had goes on as it was stored")


def ensure_engine() -> None:
    """Start an engine where a doorbell is heard in a process that has none."""
    from django_livesim.worker import doorbell

    if not doorbell._hearings:
        start_background()
