"""Rows that somebody else's transaction has locked: a worker passes them over, and does the rest.

A view of the host's that shares or deletes a run holds its row until the request ends. The worker has one
connection for all its runs and for its lease, so it may not wait there. On SQLite, where one writes at a
time and no row is locked, there is nothing to pass over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import OperationalError, connections, transaction
from django.db.models import QuerySet

from django_livesim import conf
from django_livesim.models import Run

PATIENCE = 500  # milliseconds for a lock that `taken` does not foresee
LOCK_NOT_AVAILABLE = "55P03"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


class Locked(OperationalError):
    """The lock was not to be had in time; the transaction has changed nothing."""


@contextmanager
def brief(patience: int = PATIENCE) -> Iterator[None]:
    """A transaction that waits `patience` milliseconds for a lock and no longer; raises `Locked` then.

    Where this process stands still within it, PostgreSQL ends it after LEASE_TTL, with the connection: what
    it has locked would keep the heirs of its runs waiting until it goes on.

    Within a transaction of the caller's, such as a test's, neither is so: both settings would last to the end
    of that one, and be those of all else that it does.
    """
    connection = connections[conf.settings.DATABASE]
    outermost = not connection.in_atomic_block
    try:
        with transaction.atomic(using=conf.settings.DATABASE):
            if outermost and connection.vendor == "postgresql":
                idle = max(1, round(1000 * conf.settings.LEASE_TTL))
                with connection.cursor() as cursor:
                    cursor.execute(
                        f"SET LOCAL lock_timeout = {patience};"
                        f" SET LOCAL idle_in_transaction_session_timeout = {idle}"
                    )
            yield
    except OperationalError as exc:
        if _code(exc) == LOCK_NOT_AVAILABLE:
            raise Locked(*exc.args) from exc
        raise


def taken(runs: Collection[UUID]) -> frozenset[UUID]:
    """Those of the runs that another transaction has locked; the others are this one's until its end.

    A command that is being inserted counts for nothing: it locks its run against a change of the id alone.
    """
    if connections[conf.settings.DATABASE].vendor != "postgresql":
        return frozenset()
    rows = Run.objects.select_for_update(skip_locked=True, no_key=True)
    free = set(_ids(rows, runs))
    left = [run for run in runs if run not in free]
    return frozenset(_ids(Run.objects.all(), left)) if left else frozenset()  # a deleted one is nobody's


def _ids(rows: QuerySet[Run], runs: Collection[UUID]) -> Collection[UUID]:
    return list(rows.filter(id__in=list(runs)).values_list("id", flat=True))


def _code(exc: OperationalError) -> str | None:
    """What PostgreSQL calls it: `sqlstate` of psycopg 3, `pgcode` of psycopg 2."""
    code: str | None = getattr(exc.__cause__, "sqlstate", None) or getattr(exc.__cause__, "pgcode", None)
    return code
