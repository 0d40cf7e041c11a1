"""A whole worker in a thread of the process that tests."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections

from django_livesim import conf
from django_livesim.testing.hand import Loops
from django_livesim.testing.waiting import wait_until

if TYPE_CHECKING:
    from django_livesim.worker import Engine

LEAVE = 10.0  # seconds beyond the grace for the worker to end


@contextmanager
def worker_in_process(
    *, queues: Iterable[str] = ("default",), max_runs: int | None = None
) -> Iterator[Engine]:
    """A worker that steps runs while the block lasts, then stores them and leaves no connection.

    Over the database of the test, which another connection must be able to
    see: raises RuntimeError inside a transaction, for SQLite in memory, and
    where the test does not name the alias of LIVESIM["DATABASE"].
    """
    from django_livesim.worker import Engine

    _refuse_what_it_cannot_see()
    engine = Engine(queues=queues, max_runs=max_runs)
    engine.supervisor._loops = loops = Loops()
    worker = _Thread(engine)
    before = set(threading.enumerate())
    worker.start()
    try:
        wait_until(lambda: engine.ledger.worker or not worker.is_alive())
        worker.check_started()
        yield engine
    finally:
        engine.drain()
        worker.join(conf.settings.GRACE + LEAVE)
        loops.stop(LEAVE)
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith("livesim-loop-"):
                thread.join(LEAVE)
    worker.check()


class _Thread(threading.Thread):
    """The worker's step thread."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(name="livesim-steps", daemon=True)
        self._engine = engine
        self._raised: BaseException | None = None

    def run(self) -> None:
        try:
            self._engine.run()
        except BaseException as exc:
            self._raised = exc
        finally:
            connections.close_all()

    def check_started(self) -> None:
        """Raise where it has ended already."""
        if self._raised is not None:
            raise RuntimeError("The worker could not start.") from self._raised

    def check(self) -> None:
        """Raise where it has not ended in good order."""
        if self.is_alive():
            raise RuntimeError(
                "The worker has not ended: a step or a loop of one of its runs does not return."
            )
        if self._raised is not None:
            raise RuntimeError("The worker ended by itself.") from self._raised


def _refuse_an_alias_not_allowed(connection: Any) -> None:
    """Django's and pytest's tests reach those databases only that they name."""
    try:
        connection.cursor().close()
    except AssertionError as exc:
        alias = connection.alias
        named = ", ".join(f'"{each}"' for each in sorted({DEFAULT_DB_ALIAS, alias}))
        raise RuntimeError(
            f'worker_in_process() works on LIVESIM["DATABASE"], {alias!r}, which this test does not name.'
            f" Say databases = {{{named}}} in its class; with pytest,"
            f" @pytest.mark.django_db(transaction=True, databases=[{named}])."
        ) from exc


def _refuse_what_it_cannot_see() -> None:
    connection = connections[conf.settings.DATABASE]
    _refuse_an_alias_not_allowed(connection)
    if connection.in_atomic_block:
        raise RuntimeError(
            "worker_in_process() is used inside a transaction, of whose rows the worker sees none."
            " Use TransactionTestCase in place of TestCase; with pytest,"
            " @pytest.mark.django_db(transaction=True)."
        )
    if connection.vendor == "sqlite" and connection.is_in_memory_db():  # type: ignore[attr-defined]
        raise RuntimeError(
            "worker_in_process() needs an SQLite database in a file: two threads cannot write to one in"
            f' memory. Add to the settings: DATABASES["{connection.alias}"]["TEST"] ='
            f' {{"NAME": BASE_DIR / "test-{connection.alias}.sqlite3"}}'
        )
