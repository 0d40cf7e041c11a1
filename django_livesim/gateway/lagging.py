"""How late runs are served: commands that are due and not applied, runs that nobody steps."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q
from django.db.models.functions import Coalesce

from django_livesim import conf
from django_livesim.gateway.vitals import Sign, present
from django_livesim.models import Command, Run, Source
from django_livesim.protocol.names import CLAIMABLE
from django_livesim.store.moments import Moment

MOST = 1000  # waiting runs looked at
TOLD = 20  # of them told of one by one

Key = tuple[UUID, int]
"""A run and its epoch, which grows when somebody takes it."""


def limit() -> float:
    """Seconds of lag that are no fault: a worker that has died is replaced well within."""
    return float(2 * conf.settings.LEASE_TTL)


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A run that wants a worker and has none that lives."""

    run: UUID
    simulation: str
    queue: str
    status: str
    reason: str
    seconds: float
    """For how long that is known; it may be longer."""


class Waits:
    """The runs that wait, as seen in the looks of one process.

    No row says since when a run has nobody: what began and was let go in good
    order counts from the first look that finds it so. Used by one thread at a
    time; nothing is lost with the process but that.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, float] = {}

    def look(self) -> list[Wait]:
        """The oldest `MOST`, those that have waited longest first."""
        alive = list(present().values_list("id", flat=True))
        wanting = Run.objects.claimable().exclude(worker__in=alive)
        rows = wanting.annotate(now=Moment(), beaten=F("worker__beat_at"))
        rows = rows.defer("params", "params_set", "result", "error")
        now, before = time.monotonic(), self._seen
        found = list(rows.order_by("created_at", "id")[:MOST])
        self._seen = {(row.id, row.epoch): before.get((row.id, row.epoch), now) for row in found}
        waits = [self._wait(row, now) for row in found]
        return sorted(waits, key=lambda wait: -wait.seconds)

    def _wait(self, row: Any, now: float) -> Wait:
        seconds = now - self._seen[row.id, row.epoch]
        if row.beaten is not None:
            seconds = max(seconds, (row.now - row.beaten).total_seconds())
        elif row.started_at is None:
            seconds = max(seconds, (row.now - row.created_at).total_seconds())
        return Wait(
            run=row.id,
            simulation=row.simulation,
            queue=row.queue,
            status=row.status,
            reason=row.reason,
            seconds=seconds,
        )


def look_at_lag(waits: Waits) -> Sign:
    """Seconds and numbers of both, and which runs wait."""
    late, count = late_commands()
    waiting = waits.look()
    longest = round(waiting[0].seconds, 1) if waiting else 0.0
    told = [
        asdict(wait) | {"run": str(wait.run), "seconds": round(wait.seconds, 1)} for wait in waiting[:TOLD]
    ]
    figures = {
        "commands": {"due": count, "oldest": late},
        "runs": {"waiting": len(waiting), "oldest": longest, "each": told},
        "limit": limit(),
    }
    problems = []
    if late > limit():
        problems.append(f"a command is due for {late:.0f} s and not applied")
    if longest > limit():
        problems.append(f"a run waits for a worker for {longest:.0f} s")
    return Sign(figures=figures, problem="; ".join(problems))


def late_commands() -> tuple[float, int]:
    """Seconds for which the oldest is due, and how many are.

    Those for a process that is not attached wait for nobody.
    """
    alive = list(present().values_list("id", flat=True))
    served = Q(run__source=str(Source.WORKER)) | Q(run__worker__in=alive)
    due = Command.objects.filter(
        served,
        Q(due_at=None) | Q(due_at__lte=Moment()),
        outcome="",
        apply_seq=None,
        due_tick=None,
        run__status__in=[str(status) for status in CLAIMABLE],
    )
    since = due.annotate(since=Coalesce("due_at", "created_at"), now=Moment()).order_by("since")
    oldest = since.values_list("since", "now").first()
    if oldest is None:
        return 0.0, 0
    seconds = round(max((oldest[1] - oldest[0]).total_seconds(), 0.0), 1)
    return seconds, due.aggregate(count=Count("id"))["count"]
