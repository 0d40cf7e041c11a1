"""The ledger of a child that its parent has for one run, and that ends with it.

The run is a blocking loop, or one that was struck: it harms nobody but itself there. Once that has come
further than where it was struck, and some time has passed, it is stored and let go, for any worker.

The claim decides between two parents that have each begun a child for a run: the one that does not get it
ends without a word. One whose run is over, was let go, dropped or struck ends too, so that nothing of the
loop goes on: not its thread, whatever that is doing. Its row is gone before, or where the database is away
its peers see that the process is; so the run is free, if it wants a worker still.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Q

from django_livesim.models import Run
from django_livesim.protocol.records import Committed, Held, Write
from django_livesim.runtime.harm import Harm
from django_livesim.store import claiming
from django_livesim.store.looking import Look
from django_livesim.worker.keeping import versions
from django_livesim.worker.ledger import Ledger

PROBATION = 60.0  # seconds without harm after which a run that was struck is among others again


class OwnRun(Ledger):
    """Claims one run, and has its worker leave when that is over, or is not to be had."""

    def __init__(self, *, run: UUID, **options: Any) -> None:
        """Its row names the run, and has code for none: no other is to wait for it."""
        super().__init__(code=lambda: {"simulations": {}, "run": str(run)}, **options)
        self.run = run
        self.had = False
        """Whether it ever was the worker's."""
        self._struck = True
        self._until = 0.0  # by when a run that was struck stays in any case

    # -- the step thread ----------------------------------------------------------------------

    def write(self, write: Write, done: Callable[[Committed], None]) -> None:
        def noted(committed: Committed) -> None:
            done(committed)
            if committed is not Committed.YES or write.ended or write.release:
                self._drain()

        super().write(write, noted)

    def strike(self, run: UUID, epoch: int, harm: Harm) -> None:
        super().strike(run, epoch, harm)
        self._drain()

    # -- the thread of the database -----------------------------------------------------------

    def _claim(self, worker: UUID, held: list[UUID], seen: Look | None = None) -> list[Held]:
        if self.had:
            if self.run not in held or self._is_good():
                self._drain()
            return []
        claimed = super()._claim(worker, held, seen)
        self.had, self._until = bool(claimed), time.monotonic() + PROBATION
        if not claimed and not self._is_to_be_had(worker):
            self._drain()
        return claimed

    def _claimable(self) -> dict[str, int]:
        return {} if self.had else versions()

    def _take_free(self, worker: UUID, kept: list[UUID], limit: int) -> list[UUID]:
        queues, only = self._lease.queues, self.run
        return claiming.claim(
            worker, kept, queues=queues, simulations=self._claimable(), only=only, tell=self._tell
        )

    def _is_good(self) -> bool:
        """Whether it was here for what it has done, and may be among others by now."""
        if time.monotonic() < self._until:
            return False
        return not Run.objects.filter(
            Q(simulation__in=versions(blocking=True)) | claiming.STRUCK, id=self.run
        ).exists()

    def _is_to_be_had(self, worker: UUID) -> bool:
        """Whether it is free, though somebody has it locked; or its own, though it could not be loaded."""
        run = claiming.claimable(self._lease.queues, self._claimable()).filter(id=self.run)
        return bool(run.filter(claiming.NOBODYS | Q(worker=worker)).exists())
