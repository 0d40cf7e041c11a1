"""Messages within one process: what stands in for the channel layer where there is none."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger(__name__)

Listener = Callable[[dict[str, Any]], None]

_lock = threading.Lock()
_listeners: dict[str, tuple[Listener, ...]] = {}


def subscribe(name: str, listener: Listener) -> Callable[[], None]:
    """Have `listener` called with each message sent to `name`; returns what ends that.

    It is called in the sender's thread and must hop to its own.
    """
    with _lock:
        _listeners[name] = (*_listeners.get(name, ()), listener)

    def unsubscribe() -> None:
        with _lock:
            left = tuple(each for each in _listeners.get(name, ()) if each is not listener)
            if left:
                _listeners[name] = left
            else:
                _listeners.pop(name, None)

    return unsubscribe


def send(name: str, message: Mapping[str, Any]) -> int:
    """Give a copy of `message` to each listener of `name`; returns how many there are. Never raises."""
    listeners = _listeners.get(name, ())
    for listener in listeners:
        try:
            listener(dict(message))
        except Exception:
            logger.exception("A listener to %s failed", name)
    return len(listeners)
