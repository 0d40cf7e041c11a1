"""Logging of what goes wrong again and again: once a minute, with a count."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable

INTERVAL = 60.0  # seconds between two lines of one kind
KEPT = 1000  # kinds that are known before those of which nothing was said lately are forgotten


class Seldom:
    """Logs at most once a minute for each text; what it kept quiet about is counted."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._last: dict[Hashable, tuple[float, int]] = {}

    def warning(self, text: str, *args: object, exc_info: bool = False, of: Hashable = None) -> None:
        """With `of`, a run for example, once a minute for the text and each of these."""
        key = text, of
        with self._lock:
            logged_at, unsaid = self._last.get(key, (-INTERVAL, 0))
            now = time.monotonic()
            if now - logged_at < INTERVAL:
                self._last[key] = (logged_at, unsaid + 1)
                return
            if len(self._last) >= KEPT:
                self._last = {key: last for key, last in self._last.items() if now - last[0] < INTERVAL}
            self._last[key] = (now, 0)
        if unsaid:
            text = f"{text} (and {unsaid} times since this was last said)"
        self._logger.warning(text, *args, exc_info=exc_info)
