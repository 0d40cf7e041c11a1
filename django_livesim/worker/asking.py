"""Questions to a database that may be away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connections

from django_livesim import conf
from django_livesim.store.deadlines import within

logger = logging.getLogger(__name__)

T = TypeVar("T")

ERRORS = (DatabaseError, InterfaceError)
COMPLAIN_EVERY = 60.0  # seconds between two log lines that the database is away


class Asking:
    """What one thread asks of the database, over its own connection.

    Each statement is given up after half a lease without an answer: so one connection that has gone silent
    does not cost the lease.
    """

    def __init__(self) -> None:
        self.failed = False
        """Whether the database has failed at what was asked last."""
        self._complained = -COMPLAIN_EVERY
        self._away_since: float | None = None
        self._said = False  # in this outage

    def ask(self, function: Callable[[], T]) -> T | None:
        """What `function` gives; None where it raised, and then the connection is made anew next time."""
        self.failed = False
        try:
            with within(conf.settings.LEASE_TTL / 2):
                answer = function()
        except ERRORS as exc:
            self.failed = True
            self._complain(exc)
        except Exception:
            logger.exception("the ledger failed")
        else:
            self._rejoice()
            return answer
        self.close()
        return None

    def close(self) -> None:
        """Have the connection made anew."""
        connections[conf.settings.DATABASE].close()

    def _complain(self, exc: Exception) -> None:
        """Once in COMPLAIN_EVERY: the database is away, and what follows from that."""
        now = time.monotonic()
        self._away_since = self._away_since or now
        if now - self._complained >= COMPLAIN_EVERY:
            self._complained, self._said = now, True
            away = isinstance(exc, OperationalError | InterfaceError)
            text = "the database does not answer; commands wait, and are tried again: %s"
            logger.warning(text, " ".join(str(exc).split()), exc_info=None if away else exc)

    def _rejoice(self) -> None:
        if self._said and self._away_since is not None:
            logger.info("the database answers again, after %.1f s", time.monotonic() - self._away_since)
        self._away_since, self._said = None, False
