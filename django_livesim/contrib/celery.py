"""What becomes of Celery's tasks, told on runs by Celery's signals: `LIVESIM["CELERY"]` names which.

Nothing is kept here but until when progress is not told, and whether this is beat. Each word is one
transaction of the process that has it to say, after the one that may be open: the sender's, the child's that
runs the task, the worker's where that child is gone. What cannot be told is logged and passed over: the task
goes on. A process that dies before its word has committed has not said it; Celery is not asked later.

The order is that in which things happen: *waiting* is for a task of which nothing was told before, a further
attempt is told before the message for it is sent, and an end is final. What is sent for a further attempt
within a transaction is told once this attempt is over, unless that one has begun by then.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import partial, wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from celery import current_task, signals, states
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Reject, SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery.utils.saferepr import saferepr
from django.db import Error, connections, transaction

from django_livesim import conf
from django_livesim.bus.seldom import Seldom
from django_livesim.protocol import plain
from django_livesim.protocol.errors import BadArgs, BadState, NoRun, RunEnded
from django_livesim.protocol.names import EXTERNAL, Role

if TYPE_CHECKING:
    from django_livesim.models import Run

HEADER = "livesim"
"""The header of a message that says whose task it is, and who may watch: see `owned_by`."""

LIMIT = 5.0  # seconds for each statement of a word, on PostgreSQL
PAUSE = 5.0  # seconds without progress after a word that could not be told
TEXT = 500  # characters of a description
REPR = 1000  # characters of a result that is no plain JSON

BEGUN = {"retries": 0, "current": 0, "total": 0, "description": ""}
ENDS = {states.SUCCESS: "finished", states.FAILURE: "failed", states.REVOKED: "stopped"}
ASKED = ("stopping", "stopped")
LOST = (WorkerLostError, TimeLimitExceeded)
"""Failures that are Celery's own, so that everybody may read what they say."""

seldom = Seldom(logging.getLogger(__name__))

_whose: ContextVar[dict[str, Any] | None] = ContextVar("livesim_celery", default=None)
_silent_until = 0.0
_is_beat = False


class _Late(Exception):
    """Something was told of the task meanwhile."""


def _passed_over(function: Callable[..., None]) -> Callable[..., None]:
    """Whatever `function` raises is logged, and nobody's task fails by it."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        global _silent_until
        try:
            function(*args, **kwargs)
        except SoftTimeLimitExceeded:  # comes from outside, and is for the task
            raise
        except Exception:
            _silent_until = time.monotonic() + PAUSE
            seldom.warning("What became of a Celery task could not be told; the task goes on", exc_info=True)

    return call


@contextmanager
def owned_by(user: Any, *, visibility: str | None = None) -> Iterator[None]:
    """Tasks that are sent in this block, and those that they send, belong to `user`; None is nobody.

    `visibility` is as for `start`. Raises `BadArgs` where that is none.
    """
    from django_livesim.gateway.sharing import check_visibility

    if visibility is not None:
        check_visibility(visibility)
    pk = getattr(user, "pk", None)
    token = _whose.set({"owner": None if pk is None else str(pk), "visibility": visibility})
    try:
        yield
    finally:
        _whose.reset(token)


def key_of(task_id: str) -> str:
    """The key of the run that shows a task; its simulation is `external`."""
    return f"celery:{task_id}"


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


def _number(value: Any) -> int | float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if number else 0


# what Celery says. Receivers are found by name: `_is_shown` leaves out the tasks that nobody named


def _is_shown(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in conf.settings.CELERY)


@signals.before_task_publish.connect
def _is_sent(sender: str, headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """Write on the message whose it is. One with the id of the task that runs here is its next attempt."""
    if not headers or "id" not in headers or not _is_shown(sender):
        return
    request = current_task.request if current_task else None
    if whose := _whose.get() or _header(request):
        headers.setdefault(HEADER, whose)
    if request is not None and request.id == headers["id"]:
        request.livesim_goes_on = True
        _is_sent_again(sender, headers, request)


def _is_sent_again(name: str, headers: dict[str, Any], request: Any) -> None:
    raised = sys.exception()
    why = "" if raised is None else f"its code raised {type(raised).__name__}; "
    words = {"retries": headers.get("retries", 0), "retry_in": _seconds_until(headers.get("eta"))}
    text = f"{why}it is to be tried again"
    tell = partial(_tell, name, headers["id"], request, "waiting", states.RETRY, words, text=text)
    is_open = connections[conf.settings.DATABASE].in_atomic_block
    request.livesim_untold = tell if is_open else None
    if not is_open:
        tell()


def _seconds_until(eta: str | None) -> int:
    with suppress(TypeError, ValueError):  # without a time zone, or no moment
        return max(0, round((datetime.fromisoformat(eta or "") - datetime.now(UTC)).total_seconds()))
    return 0


@signals.after_task_publish.connect
def _was_sent(sender: str, headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
    """The broker has taken it. A worker may have told of it meanwhile, or be done with it."""
    if headers and "id" in headers and not (current_task and current_task.request.id == headers["id"]):
        was_open = connections[conf.settings.DATABASE].connection is not None
        _tell(sender, headers["id"], headers, "waiting", states.PENDING, BEGUN, after=0)
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
    _tell(task.name, task_id, request, "running", states.STARTED, words, heard=partial(_note, request))


def _note(request: Any, run: Run) -> None:
    """Where the run stood when this attempt told of it last."""
    request.livesim_tick = run.tick


@_passed_over
def _progressed(task: Any, task_id: str | None, state: str, meta: Any) -> None:
    if not task_id or time.monotonic() < _silent_until:
        return
    meta = meta if isinstance(meta, dict) else {}
    current, total = _number(meta.get("current")), _number(meta.get("total"))
    description = plain.storable(str(meta.get("description") or ""))[:TEXT]
    request = task.request
    words = {"retries": request.retries or 0, "current": current, "total": total}

    def heard(run: Run) -> None:
        request.livesim_stop = run.status in ASKED
        if task_id == request.id:
            _note(request, run)

    _tell(
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


@signals.task_success.connect
def _succeeded(sender: Any, result: Any, **kwargs: Any) -> None:
    _tell(sender.name, sender.request.id, sender.request, "finished", states.SUCCESS, result=result)


@signals.task_failure.connect
@signals.task_internal_error.connect
def _failed(sender: Any, task_id: str, exception: BaseException, einfo: Any = None, **kwargs: Any) -> None:
    text = str(exception) if isinstance(exception, LOST) else f"its code raised {type(exception).__name__}"
    error = str(getattr(einfo, "traceback", None) or exception)
    _tell(sender.name, task_id, sender.request, "failed", states.FAILURE, text=text, error=error)
    _leave()


@signals.task_postrun.connect
def _is_over(task_id: str, task: Any, state: str, retval: Any, **kwargs: Any) -> None:
    """Ends that have no signal of their own, and that it goes on, where that could not be told before."""
    request = task.request
    if state == states.REJECTED and isinstance(retval, Reject):
        how = ("waiting", states.PENDING) if retval.requeue else ("failed", states.FAILURE)
        _tell(task.name, task_id, request, *how, text="it was rejected")
    elif untold := getattr(request, "livesim_untold", None):
        untold(after=getattr(request, "livesim_tick", None))
    elif state == states.IGNORED and not getattr(request, "livesim_goes_on", False):
        _tell(task.name, task_id, request, "stopped", states.IGNORED, text="its result is ignored")


@signals.task_revoked.connect
def _was_revoked(sender: Any, request: Any, terminated: bool, expired: bool, **kwargs: Any) -> None:
    text = "terminated" if terminated else "expired" if expired else "revoked"
    _tell(sender.name, request.id, request, "stopped", states.REVOKED, text=text)
    _leave()


@signals.task_unknown.connect
def _is_unknown(name: str, id: str, message: Any = None, **kwargs: Any) -> None:
    headers = getattr(message, "headers", None)
    _tell(name, id, headers, "failed", states.FAILURE, text="no worker knows a task of this name")
    _leave()


def _leave() -> None:
    """Close what a worker's main process or beat has opened. Children that it forks are to have their own."""
    with suppress(Error):
        connection = connections[conf.settings.DATABASE]
        if not current_task and not connection.in_atomic_block:
            connection.close()


# telling


@_passed_over
def _tell(
    name: str,
    task_id: str,
    whose: Any,
    status: str,
    state: str,
    words: Mapping[str, Any] | None = None,
    *,
    after: int | None = None,
    heard: Callable[[Run], None] | None = None,
    **told: Any,
) -> None:
    """Tell it once the transaction that may be open has committed.

    `whose` is a request or the headers of a message; `words` go into the state, where those stay that
    are not among them. With `after` it is told only where nothing was since that tick of the run: with 0,
    where nothing ever was. `heard` gets the run that was told of, or had ended.
    """
    if not _is_shown(name):
        return
    told |= {"status": status, "name": name[:200], **_first(_header(whose) or _whose.get() or {})}
    words = {"task": name, "state": state, **(words or {})}

    @_passed_over
    def tell() -> None:
        run = _asked(lambda: _publish(key_of(task_id), words, told, after))
        if run is not None and heard is not None:
            heard(run)

    transaction.on_commit(tell, using=conf.settings.DATABASE)


def _header(whose: Any) -> dict[str, Any]:
    """What the message said of its owner: a request has the headers of its message as attributes.

    That of a task which runs in its caller's process has them in `headers`.
    """
    if whose is None:
        return {}
    found = whose.get(HEADER) or (whose.get("headers") or {}).get(HEADER)
    return found if isinstance(found, dict) else {}


def _first(header: Mapping[str, Any]) -> dict[str, Any]:
    """The owner and visibility of a run that this word may begin."""
    from django.contrib.auth import get_user_model

    pk = header.get("owner")
    owner = None if pk is None else SimpleNamespace(pk=get_user_model()._meta.pk.to_python(pk))
    return {"owner": owner, "visibility": header.get("visibility")}


def _asked(tell: Callable[[], Run | None]) -> Run | None:
    """What `tell` gives; once more over a new connection, where the one that there was has died since."""
    from django_livesim.gateway import asked

    connection = connections[conf.settings.DATABASE]
    was_open = connection.connection is not None
    try:
        return asked(tell, LIMIT)()
    except Error:
        connection.close_if_unusable_or_obsolete()
        if not was_open or connection.connection is not None:
            raise
        return asked(tell, LIMIT)()


def _publish(key: str, words: dict[str, Any], told: dict[str, Any], after: int | None) -> Run | None:
    """The run, as it ended where it had; None where something was told after that tick."""
    if "current" not in words:
        words = {**_told_before(key), **words}
    try:
        with transaction.atomic(using=conf.settings.DATABASE):
            run = _publish_what_fits(key, told | {"state": words})
            if after is not None and run.tick > after + 1:
                raise _Late
            return run
    except _Late:
        return None
    except RunEnded:
        return _shown(key)


def _shown(key: str) -> Run | None:
    from django_livesim import gateway

    with suppress(NoRun):
        return gateway.get(f"{EXTERNAL}:{key}")
    return None


def _told_before(key: str) -> dict[str, Any]:
    from django_livesim import gateway

    run = _shown(key)
    _tick, state = (run and gateway.stored_view(run, Role.VIEW)) or (0, {})
    return dict(state)


def _publish_what_fits(key: str, told: dict[str, Any]) -> Run:
    """Without progress that would go back; in place of a result that is no plain JSON, its `repr`."""
    from django_livesim import publish_state

    try:
        return publish_state(key, **told)
    except BadArgs:
        if told.get("progress") is None:
            raise
        return publish_state(key, **told | {"progress": None})
    except BadState:
        if told.get("result") is None:
            raise
        short = plain.storable(saferepr(told["result"], maxlen=REPR))
        return publish_state(key, **told | {"result": short})
