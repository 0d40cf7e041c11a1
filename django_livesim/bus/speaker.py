"""This process's own loudspeaker, for what is told of runs by no worker: made when it is first needed.

The lock is held for a moment; the publisher has a thread of its own. A forked child makes another, since the
parent's thread is not there. At the end of the process what waits is sent, for at most `LIMIT` seconds; what
is lost by a process that dies before is found in the rows.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any

from django.core.signals import setting_changed

from django_livesim.bus.publisher import Publisher

LIMIT = 0.25  # seconds that somebody waits, at most, for what was said to be sent

_lock = threading.Lock()
_publisher: Publisher | None = None
_inherited: list[Publisher | None] = []  # kept: collecting the parent's event loop would close its files


def publisher() -> Publisher:
    """The one of this process, started. Any thread."""
    global _publisher
    with _lock:
        if _publisher is None:
            started = Publisher()
            started.start()
            _publisher = started
        return _publisher


def _forget() -> None:
    """In a forked child, where the lock may be held for ever."""
    global _lock, _publisher
    _inherited.append(_publisher)
    _lock, _publisher = threading.Lock(), None


def _finish() -> None:
    """Send what waits, and begin anew where more is said."""
    global _publisher
    with _lock:
        ended, _publisher = _publisher, None
    if ended is not None:
        ended.stop(LIMIT)


def _layer_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in ("CHANNEL_LAYERS", "LIVESIM"):
        _finish()


atexit.register(_finish)
setting_changed.connect(_layer_changed, dispatch_uid="django_livesim.bus.speaker")

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
