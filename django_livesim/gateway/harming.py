"""What is told of runs that hold up their worker, or have harmed it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from django_livesim import conf
from django_livesim.models import Command, Run, Worker
from django_livesim.protocol import loads
from django_livesim.protocol.loads import RunLoad
from django_livesim.protocol.names import INSPECT, Status

CLAIMED_LATER = (Status.WAITING, Status.RUNNING, Status.PAUSED, Status.STOPPING)
"""In these a struck run is taken again, once it is held back no more."""


@dataclass(frozen=True, kw_only=True)
class Struck:
    """Strikes that stand: it has not come further since."""

    strikes: int
    most: int
    """So many bring it into quarantine."""
    tick: int | None
    """How far it had come when it was struck last."""
    at: datetime | None
    """When that was."""
    again_in: int
    """Seconds until a worker may take it again; 0 where it may."""


def _load(run: Run) -> dict[str, Any]:
    """What the worker that holds the run has told last; nothing where it is gone."""
    if run.worker is None or run.worker.state == Worker.State.GONE:
        return {}
    load: dict[str, Any] = run.worker.load
    return load


def load(run: Run) -> RunLoad | None:
    """What the run costs its worker, as that told last; None where it told nothing of it."""
    return loads.load_of(_load(run), run.pk)


def stepping(run: Run) -> int:
    """For how many seconds code of the run has been called, as its worker told last; 0: not for long."""
    return int(loads.stepping(_load(run), run.pk))


def again_in(run: Run) -> int:
    """Seconds for which a struck run is held back from workers; 0 where it is not."""
    if run.held_back_until is None or run.status not in CLAIMED_LATER:
        return 0
    return max(0, math.ceil((run.held_back_until - timezone.now()).total_seconds()))


def strikes(runs: Iterable[Run]) -> dict[UUID, int]:
    """The strikes that stand, by run that has any."""
    return {run.pk: run.strikes for run in runs if run.strikes and run.tick <= (run.struck_tick or 0)}


def struck(run: Run) -> Struck | None:
    """None where no strike stands, and it is not held back."""
    count = strikes([run]).get(run.pk, 0)
    if not count:
        return None
    most = conf.settings.STRIKES
    return Struck(strikes=count, most=most, tick=run.struck_tick, at=run.struck_at, again_in=again_in(run))


def waiting_commands(run: Run) -> int:
    """How many commands wait for the run, those for later among them."""
    return int(Command.objects.filter(run=run, outcome="").exclude(name=INSPECT).count())
