"""The ledger of a process that steps one run and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.models import Run, Worker
from django_livesim.protocol.errors import RunEnded, RunHeld
from django_livesim.protocol.records import Committed, Held, Write
from django_livesim.store import attaching, leases
from django_livesim.worker.ledger import Ledger


class OneRun(Ledger):
    """Claims one run, once: a block that has lost it cannot be called again from the top.

    `find` gives the row, in the thread of the database; what it raises, and
    why the run cannot be had, goes to `refused`, after which nothing is tried.
    """

    def __init__(
        self, *, find: Callable[[], Run], queue: str, refused: Callable[[Exception], None], **options: Any
    ) -> None:
        super().__init__(**options)
        self.run: Run | None = None
        self._find = find
        self._queue = queue
        self._refused = refused
        self._done = False
        self.let_go = False
        """Whether the run's last write has committed, by which it ended or was let go."""

    def write(self, write: Write, done: Callable[[Committed], None]) -> None:
        def noted(committed: Committed) -> None:
            self.let_go |= committed == Committed.YES and (write.ended or write.release)
            done(committed)

        super().write(write, noted)

    def _claim(self, worker: UUID, held: list[UUID]) -> list[Held]:
        if self._done:
            return []
        try:
            taken = self._have(worker)
        except Exception as exc:
            self._refuse(exc)
            return []
        self._done = self._done or taken is not None
        return [] if taken is None else [taken]

    def _have(self, worker: UUID) -> Held | None:
        """The run, loaded; None where it is not to be had now."""
        run = self.run = self.run or self._find()
        if not attaching.claim(worker, run.id, self._queue) and not self._claim_from_dead(worker, run):
            return None
        return self._load_run(run.id, worker)

    def _claim_from_dead(self, worker: UUID, run: Run) -> bool:
        """Claim it from a process that has ended; refuse where that lives, and wait where it is silent."""
        other = attaching.holder(run.id)
        if other is None:
            if not attaching.wants_worker(run.id):
                self._refuse(RunEnded(_("The run ended before this process had it. Attach again.")))
            return False
        if leases.has_ended(self._identity, other):
            self._peers.look(worker)
            return attaching.claim(worker, run.id, self._queue)
        if attaching.is_heard(other):
            self._refuse(self._held_by(other, run))
        return False

    @staticmethod
    def _held_by(other: Worker, run: Run) -> RunHeld:
        told = _(
            "The run %(run)s is held by process %(pid)s on %(host)s, which is alive."
            " Expected one that nobody has: end that process, or wait until it has let go."
        )
        places = {"run": run.id, "pid": other.pid, "host": other.host}
        return RunHeld(told % places, retry=conf.settings.LEASE_TTL)

    def _refuse(self, exc: Exception) -> None:
        self._done = True
        self._refused(exc)
