"""How a task stands, in the words of the document and of celery-progress."""

from __future__ import annotations

from typing import Any

from django_livesim import gateway
from django_livesim.contrib.celery import key_of
from django_livesim.models import Run
from django_livesim.permissions import Actor, may_inspect
from django_livesim.protocol.errors import NoRun
from django_livesim.protocol.names import Role

UNKNOWN: dict[str, Any] = {"state": "PENDING", "complete": False, "success": None}
"""Of a task that there is not, and of one that its asker may not see: nobody learns which."""

DONE = {"pending": False, "current": 100, "total": 100, "percent": 100, "description": ""}
TERMINAL = {"finished": "SUCCESS", "failed": "FAILURE", "stopped": "REVOKED"}


def run_of(task_id: str, actor: Actor) -> Run | None:
    """The run of a task, where the actor may view it."""
    try:
        return gateway.get(f"external:{key_of(task_id)}", actor=actor)
    except NoRun:
        return None


def status_of(run: Run | None, actor: Actor) -> dict[str, Any]:
    """`{state, error?, complete, success, progress, result?}`; asks the database."""
    if run is None:
        return UNKNOWN | {"progress": _progress("PENDING", {})}
    _tick, words = gateway.stored_view(run, Role.VIEW) or (0, {})
    state = _state(run, words)
    status: dict[str, Any] = {"state": state, "complete": run.ended, "success": None}
    if state == "SUCCESS":
        return status | {"success": True, "progress": DONE, "result": run.result}
    status["progress"] = _progress(state, words)
    if state == "FAILURE":
        error = _error(run, actor)
        return status | {"success": False, "error": error, "result": error}
    if state == "RETRY":  # celery-progress wants it to be complete, and goes on listening
        again = {"next_retry_seconds": words.get("retry_in", 0), "message": run.reason}
        return status | {"complete": True, "success": False, "result": again}
    if state == "REVOKED":
        return status | {"success": False, "result": f"Task {run.reason or 'revoked'}"}
    return status | ({"result": run.reason} if run.ended else {})


def _state(run: Run, words: dict[str, Any]) -> str:
    """Celery's name. A run may have been ended on its page, where Celery has not said so."""
    told = str(words.get("state", "PENDING"))
    return told if not run.ended or told == "IGNORED" else TERMINAL[run.status]


def _progress(state: str, words: dict[str, Any]) -> dict[str, Any]:
    current, total = words.get("current", 0), words.get("total", 0) or 100
    return {
        "pending": state == "PENDING",
        "current": current,
        "total": total,
        "percent": round(100 * current / total, 2),
        "description": words.get("description", ""),
    }


def _error(run: Run, actor: Actor) -> str:
    """The last line of the traceback, for those who may read it."""
    lines = run.error.strip().splitlines() if may_inspect(actor, run) else []
    return lines[-1] if lines else run.reason
