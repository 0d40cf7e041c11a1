"""Logging of what goes wrong again and again: once a minute, with a count."""

from __future__ import annotations

import logging
import threading
import time

INTERVAL = 60.0  # seconds between two lines of one kind


class Seldom:
    """Logs at most once a minute for each text; what it kept quiet about is counted."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, int]] = {}

    def warning(self, text: str, *args: object, exc_info: bool = False) -> None:
        with self._lock:
            logged_at, unsaid = self._last.get(text, (-INTERVAL, 0))
            now = time.monotonic()
            if now - logged_at < INTERVAL:
                self._last[text] = (logged_at, unsaid + 1)
                return
            self._last[text] = (now, 0)
        if unsaid:
            text = f"{text} (and {unsaid} times since this was last said)"
        self._logger.warning(text, *args, exc_info=exc_info)
