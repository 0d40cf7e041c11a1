"""A worker in a thread of a process that does other things too: `runworker`, or the server itself."""

from __future__ import annotations

import atexit
import logging
import threading

from django_livesim.worker.engine import Engine

LEAVE = 5.0  # seconds that a process which ends gives its worker to store what it holds

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_engine: Engine | None = None


def start_background() -> Engine:
    """The engine of this process, started at the first call.

    When the interpreter ends, by Ctrl-C, `sys.exit` or a reload, it stores its
    runs and lets them go. After a signal that kills, they go on elsewhere from
    what was stored before.
    """
    global _engine
    with _lock:
        if _engine is None:
            _engine = Engine()
            thread = threading.Thread(target=_engine.run, name="livesim-steps", daemon=True)
            thread.start()
            atexit.register(_leave, _engine, thread)
        return _engine


def _leave(engine: Engine, thread: threading.Thread) -> None:
    engine.drain()
    thread.join(LEAVE)
    if thread.is_alive():
        logger.warning("the worker in this process did not end in time; its runs go on from what was stored")


def ensure_engine() -> None:
    """Start an engine where a doorbell is heard in a process that has none."""
    from django_livesim.worker import doorbell

    if not doorbell._hearings:
        start_background()
