"""A worker in a thread of a process that does other things too: `runworker`, or the server itself."""

from __future__ import annotations

import logging
import threading

from django_livesim.worker.engine import Engine

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_engine: Engine | None = None


def start_background() -> Engine:
    """The engine of this process, started at the first call.

    It has no isolation and does not drain: when the process ends, its runs
    go on elsewhere from what was stored.
    """
    global _engine
    with _lock:
        if _engine is None:
            _engine = Engine()
            threading.Thread(target=_engine.run, name="livesim-steps", daemon=True).start()
        return _engine


def ensure_engine() -> None:
    """Start an engine where a doorbell is heard in a process that has none."""
    from django_livesim.worker import doorbell

    if not doorbell._hearings:
        start_background()
