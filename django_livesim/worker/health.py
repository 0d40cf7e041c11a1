"""A file that says how a parent and its children are, replaced again and again while the parent lives.

A probe looks at the file's age: one that was not replaced for ten seconds is of a parent that hangs or is no
more. A reader never finds half a file. At the parent's end in good order it is removed.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django_livesim.bus.seldom import Seldom

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

EVERY = 1.0  # seconds


class HealthFile:
    """Written by the parent's main thread, for that is what it tells of."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where it cannot be written."""
        self._path = path
        self._new = path.with_name(f"{path.name}.new")
        self._due = 0.0
        self._new.touch()

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._due

    def write(self, facts: Mapping[str, Any]) -> None:
        self._due = time.monotonic() + EVERY
        text = json.dumps({"pid": os.getpid(), "time": time.time(), **facts})
        try:
            self._new.write_text(text + "\n")
            self._new.replace(self._path)
        except OSError as exc:
            seldom.warning("The health file cannot be written: %s", exc)

    def remove(self) -> None:
        for path in (self._new, self._path):
            path.unlink(missing_ok=True)
