"""Questions to a database that may be away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connections

from django_livesim import conf

logger = logging.getLogger(__name__)

T = TypeVar("T")

ERRORS = (DatabaseError, InterfaceError)
COMPLAIN_EVERY = 60.0  # seconds between two log lines that the database is away


class Asking:
    """What one thread asks of the database, over its own connection."""

    def __init__(self) -> None:
        self._complained = 0.0

    def ask(self, function: Callable[[], T]) -> T | None:
        """What `function` gives; None where it raised, and then the connection is made anew next time."""
        try:
            return function()
        except ERRORS as exc:
            self._complain(exc)
        except Exception:
            logger.exception("the ledger failed")
        self.close()
        return None

    def close(self) -> None:
        """Have the connection made anew."""
        connections[conf.settings.DATABASE].close()

    def _complain(self, exc: Exception) -> None:
        """Once in COMPLAIN_EVERY: the database is away, and what follows from that."""
        now = time.monotonic()
        if now - self._complained >= COMPLAIN_EVERY:
            self._complained = now
            logger.warning("the database does not answer; commands wait, and are tried again", exc_info=exc)
