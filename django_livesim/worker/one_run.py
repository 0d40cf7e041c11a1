"""The ledger of a process that steps one run and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.models import Run, Worker
from django_livesim.protocol.errors import Code, LivesimError, RunEnded, RunHeld
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Held, Write
from django_livesim.simulation import Loop
from django_livesim.store import attaching, leases
from django_livesim.store.looking import Look
from django_livesim.worker.ledger import Ledger


class OneRun(Ledger):
    """Claims one run, once: a block that has lost it cannot be called again from the top.

    `find` gives the row, in the thread of the database; what it raises, and
    why the run cannot be had, goes to `refused`, after which nothing is tried.
    """

    def __init__(
        self,
        *,
        find: Callable[[], Run],
        definition: Loop,
        refused: Callable[[Exception], None],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.run: Run | None = None
        self._find = find
        self._definition = definition
        self._refused = refused
        self._done = False
        self._former: attaching.Before | None = None
        self.let_go = False
        """Whether the run's last write has committed, by which it ended or was let go."""

    def write(self, write: Write, done: Callable[[Committed], None]) -> None:
        def noted(committed: Committed) -> None:
            self.let_go |= committed == Committed.YES and (write.ended or write.release)
            done(committed)

        super().write(write, noted)

    def give_back(self) -> None:
        """Where the block never began: who could claim the run before may do so again. In any thread."""
        if self.run is not None and self._former is not None:
            attaching.give_back(self.run.id, self._former)

    def _claim(self, worker: UUID, held: list[UUID], seen: Look | None = None) -> list[Held]:
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
        if not self._claim_it(worker, run) and not self._claim_from_dead(worker, run):
            return None
        held = self._load_run(run.id, worker)
        if self._loading.is_hopeless(run.id):
            told = _("The run %(run)s cannot be loaded; the log says why. What is stored of it is unchanged.")
            self._refuse(LivesimError(told % {"run": run.id}))
        return held

    def _claim_it(self, worker: UUID, run: Run) -> bool:
        definition = self._definition
        before = attaching.claim(worker, run.id, definition.queue, definition.version)
        if before is not None:
            first = self._former or before
            self._former = replace(first, epoch=before.epoch)
        return before is not None

    def _claim_from_dead(self, worker: UUID, run: Run) -> bool:
        """Claim it from a process that has ended; refuse where that lives, and wait where it is silent."""
        if (refusal := self._refusal(attaching.look(run.id))) is not None:
            self._refuse(refusal)
            return False
        other = attaching.holder(run.id)
        if other is None:
            return False
        if leases.has_ended(self._lease.identity, other):
            self._lease.peers.look(worker)
            return self._claim_it(worker, run)
        if attaching.is_heard(other):
            self._refuse(self._held_by(other, run))
        return False

    def _refusal(self, row: Run | None) -> LivesimError | None:
        """Why this process cannot have the run, whoever holds it."""
        if row is None:
            return RunEnded(_("The run was deleted before this process had it. Attach again."))
        places = {"run": row.id, "simulation": row.simulation, "version": row.version}
        if row.version > self._definition.version:
            told = _(
                "The run %(run)s was stepped by version %(version)s of %(simulation)s, and this process has"
                " version %(mine)s. Expected that version or a newer one: update its code."
            )
            return LivesimError(told % (places | {"mine": self._definition.version}), code=Code.REFUSED)
        if row.status == Status.QUARANTINED:
            told = _("The run %(run)s is quarantined. An administrator must release it; then attach again.")
            return RunEnded(told % places, code=Code.QUARANTINED)
        if row.ended:
            return RunEnded(_("The run ended before this process had it. Attach again."))
        return None

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
