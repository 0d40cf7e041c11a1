"""A task that tells how far it is, and learns that it was asked to stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from celery import states
from celery.contrib.django.task import DjangoTask

from django_livesim.contrib.celery.telling import is_silent, passed_over, tell
from django_livesim.protocol import plain

if TYPE_CHECKING:
    from django_livesim.models import Run

TEXT = 500  # characters of a description

ENDS = {states.SUCCESS: "finished", states.FAILURE: "failed", states.REVOKED: "stopped"}
ASKED = ("stopping", "stopped")


class LivesimTask(DjangoTask):
    """Celery's task, whose `update_state` is told on its run, too."""

    abstract = True

    @property
    def asked_to_stop(self) -> bool:
        """Whether somebody had asked that its run stop, or ended it, when `update_state` was last told."""
        return bool(getattr(self.request, "livesim_stop", False))

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any
    ) -> None:
        super().update_state(task_id=task_id, state=state, meta=meta, **kwargs)
        _progressed(self, task_id or self.request.id, state or states.STARTED, meta)


@passed_over
def _progressed(task: Any, task_id: str | None, state: str, meta: Any) -> None:
    if not task_id or is_silent():
        return
    meta = meta if isinstance(meta, dict) else {}
    current, total = _number(meta.get("current")), _number(meta.get("total"))
    description = plain.storable(str(meta.get("description") or ""))[:TEXT]
    request = task.request
    words = {"retries": request.retries or 0, "current": current, "total": total}

    def heard(run: Run) -> None:
        request.livesim_stop = run.status in ASKED
        if task_id == request.id:
            note(request, run)

    tell(
        task.name,
        task_id,
        request,
        ENDS.get(state, "running"),
        state,
        {**words, "description": description},
        heard=heard,
        progress=min(max(current / total, 0.0), 1.0) if total > 0 else None,
        text=description,
    )


def note(request: Any, run: Run) -> None:
    """Where the run stood when this attempt told of it last."""
    request.livesim_tick = run.tick


def _number(value: Any) -> int | float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if number else 0
