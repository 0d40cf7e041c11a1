"""What Celery's signals say, in the process that sends a task, runs it, or supervises the one that does."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from celery import current_task, signals, states
from celery.exceptions import Reject, TimeLimitExceeded, WorkerLostError
from django.db import Error, connections

from django_livesim import conf
from django_livesim.contrib.celery.owning import HEADER, header_for
from django_livesim.contrib.celery.task import note
from django_livesim.contrib.celery.telling import is_shown, tell

BEGUN = {"retries": 0, "current": 0, "total": 0, "description": ""}
LOST = (WorkerLostError, TimeLimitExceeded)
"""Failures that are Celery's own, so that everybody may read what they say."""

_is_beat = False


@signals.before_task_publish.connect
def _is_sent(sender: str, headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """Write on the message whose it is. One with the id of the task that runs here is its next attempt."""
    if not headers or "id" not in headers or not is_shown(sender):
        return
    request = current_task.request if current_task else None
    if whose := header_for(request):
        headers.setdefault(HEADER, whose)
    if request is not None and request.id == headers["id"]:
        request.livesim_goes_on = True
        _is_sent_again(sender, headers, request)


def _is_sent_again(name: str, headers: dict[str, Any], request: Any) -> None:
    raised = sys.exception()
    why = "" if raised is None else f"its code raised {type(raised).__name__}; "
    words = {"retries": headers.get("retries", 0), "retry_in": _seconds_until(headers.get("eta"))}
    text = f"{why}it is to be tried again"
    word = partial(tell, name, headers["id"], request, "waiting", states.RETRY, words, text=text)
    is_open = connections[conf.settings.DATABASE].in_atomic_block
    request.livesim_untold = word if is_open else None
    if not is_open:
        word()


def _seconds_until(eta: str | None) -> int:
    with suppress(TypeError, ValueError):  # without a time zone, or no moment
        return max(0, round((datetime.fromisoformat(eta or "") - datetime.now(UTC)).total_seconds()))
    return 0


@signals.after_task_publish.connect
def _was_sent(sender: str, headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """The broker has taken it. A worker may have told of it meanwhile, or be done with it."""
    if headers and "id" in headers and not (current_task and current_task.request.id == headers["id"]):
        was_open = connections[conf.settings.DATABASE].connection is not None
        tell(sender, headers["id"], headers, "waiting", states.PENDING, BEGUN, after=0)
        if _is_beat and not was_open:
            _leave()


@signals.beat_init.connect
@signals.beat_embedded_init.connect
def _beats(**kwargs: Any) -> None:
    """This is Celery's beat: no request and no task ends here, at which connections would be closed."""
    global _is_beat
    _is_beat = True


@signals.task_prerun.connect
def _begins(task_id: str, task: Any, **kwargs: Any) -> None:
    request = task.request
    words = {**BEGUN, "retries": request.retries or 0}
    tell(task.name, task_id, request, "running", states.STARTED, words, heard=partial(note, request))


@signals.task_success.connect
def _succeeded(sender: Any, result: Any, **kwargs: Any) -> None:
    tell(sender.name, sender.request.id, sender.request, "finished", states.SUCCESS, result=result)


@signals.task_failure.connect
@signals.task_internal_error.connect
def _failed(sender: Any, task_id: str, exception: BaseException, einfo: Any = None, **kwargs: Any) -> None:
    text = str(exception) if isinstance(exception, LOST) else f"its code raised {type(exception).__name__}"
    error = str(getattr(einfo, "traceback", None) or exception)
    tell(sender.name, task_id, sender.request, "failed", states.FAILURE, text=text, error=error)
    _leave()


@signals.task_postrun.connect
def _is_over(task_id: str, task: Any, state: str, retval: Any, **kwargs: Any) -> None:
    """Ends that have no signal of their own, and that it goes on, where that could not be told before."""
    request = task.request
    if state == states.REJECTED and isinstance(retval, Reject):
        how = ("waiting", states.PENDING) if retval.requeue else ("failed", states.FAILURE)
        tell(task.name, task_id, request, *how, text="it was rejected")
    elif untold := getattr(request, "livesim_untold", None):
        untold(after=getattr(request, "livesim_tick", None))
    elif state == states.IGNORED and not getattr(request, "livesim_goes_on", False):
        tell(task.name, task_id, request, "stopped", states.IGNORED, text="its result is ignored")


@signals.task_revoked.connect
def _was_revoked(sender: Any, request: Any, terminated: bool, expired: bool, **kwargs: Any) -> None:
    text = "terminated" if terminated else "expired" if expired else "revoked"
    tell(sender.name, request.id, request, "stopped", states.REVOKED, text=text)
    _leave()


@signals.task_unknown.connect
def _is_unknown(name: str, id: str, message: Any = None, **kwargs: Any) -> None:
    headers = getattr(message, "headers", None)
    tell(name, id, headers, "failed", states.FAILURE, text="no worker knows a task of this name")
    _leave()


def _leave() -> None:
    """Close what a worker's main process or beat has opened. Children that it forks are to have their own."""
    with suppress(Error):
        connection = connections[conf.settings.DATABASE]
        if not current_task and not connection.in_atomic_block:
            connection.close()
