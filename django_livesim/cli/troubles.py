"""What `list` and `inspect` tell of runs that hold up their worker, or have harmed it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.timezone import is_aware, localtime

from django_livesim import conf
from django_livesim.gateway import harming
from django_livesim.models import Run
from django_livesim.protocol.names import Status


def troubles(runs: Iterable[Run]) -> dict[UUID, dict[str, Any]]:
    """By run, facts for JSON: `strikes` that stand, when the last of them was, and `stepping`, in seconds."""
    runs = list(runs)
    struck = harming.strikes(runs)
    return {
        run.id: {
            "strikes": struck.get(run.id, 0),
            "struck": _local(run.struck_at) if run.id in struck else None,
            "stepping": harming.stepping(run),
        }
        for run in runs
    }


def _local(moment: datetime | None) -> datetime | None:
    """In the project's time zone, to the second."""
    if moment is None:
        return None
    return (localtime(moment) if is_aware(moment) else moment).replace(microsecond=0)


def costs(run: Run) -> dict[str, Any] | None:
    """What the worker has told last of what the run costs it; None where it told nothing."""
    load = harming.load(run)
    return None if load is None else asdict(load)


def told(run: Run, strikes: int, stepping: int, reason: str) -> str:
    """The reason, with what people want to know beside it."""
    words = [f"stepping for {stepping} s"] if stepping else []
    if strikes and run.status != Status.QUARANTINED:
        words.append(f"strike {strikes} of {conf.settings.STRIKES}")
    if again := harming.again_in(run):
        words.append(f"tried again in {again} s")
    return "; ".join([*words, *([reason] if reason else [])])
