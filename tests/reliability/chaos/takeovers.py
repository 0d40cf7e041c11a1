"""How long nobody stepped a run: from a death to the first that is seen of the heir."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from uuid import UUID

from django_livesim.models import Command
from tests.reliability.chaos.records import Death, Seen, Sent


class Signs:
    """When each epoch of each run was first and last seen by anybody: frames, and answers told."""

    def __init__(self, seen: Iterable[Seen], sent: Iterable[Sent]) -> None:
        self._signs: dict[UUID, list[tuple[float, int]]] = {}
        for each in seen:
            for frame in each.frames:
                self._signs.setdefault(each.run, []).append((frame.at, frame.epoch))
        told = {one.ref: one for one in sent if one.told_at is not None}
        rows = Command.objects.filter(run__in={one.run for one in told.values()}, epoch__isnull=False)
        for ref, run, epoch in rows.values_list("client_id", "run", "epoch"):
            if one := told.get(ref):
                self._signs.setdefault(run, []).append((one.told_at or 0.0, epoch))
        for signs in self._signs.values():
            signs.sort()

    def first_after(self, run: UUID, moment: float, epoch: int) -> float | None:
        """When something of a later epoch was first seen after that moment."""
        signs = self._signs.get(run, [])
        later = signs[bisect_right(signs, (moment, 0)) :]
        return next((at for at, of in later if of > epoch), None)

    def last_of(self, run: UUID, epoch: int, before: float) -> float | None:
        """When something of this epoch was last seen before that moment."""
        signs = [at for at, of in self._signs.get(run, []) if of == epoch and at < before]
        return signs[-1] if signs else None

    def taken(self, death: Death) -> dict[UUID, float | None]:
        """Seconds without anybody, of each run of it; None where no heir was seen."""
        found: dict[UUID, float | None] = {}
        for run, epoch in death.runs.items():
            first = self.first_after(run, death.at, epoch)
            since: float | None = death.at
            if first is not None and death.nemesis == "drain":
                since = self.last_of(run, epoch, first)
            found[run] = None if first is None or since is None else first - since
        return found
